"""Reconciles a Function: code verified and published, references checked, reservation granted, status reported."""

import logging
import random
from datetime import UTC, datetime

from pydantic import ValidationError

from kubelambda.api import labels
from kubelambda.api.kinds.function import FunctionSpec, FunctionStatus
from kubelambda.api.kinds.runtime import RuntimeSpec
from kubelambda.api.reasons import Reason
from kubelambda.controllers.code import code_source
from kubelambda.controllers.function import references
from kubelambda.controllers.machinery import changes, recorder
from kubelambda.controllers.machinery.cluster_state import function_facts
from kubelambda.controllers.machinery.context import FIELD_MANAGER, Context
from kubelambda.controllers.machinery.work_queue import BackOff, Key, Outcome
from kubelambda.core.account import identity
from kubelambda.core.account.reserved_concurrency import Grant, account_quota, allocate
from kubelambda.core.function.function_status import Observation, Problem, decide
from kubelambda.core.function.object_name import function_name_of
from kubelambda.kube.errors import NotFound
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import FUNCTIONS, NAMESPACES

LOOK_AGAIN_MAX_S = 30.0
"""The longest pause before a missing Secret or ConfigMap is looked for again; nothing tells us when it appears."""
CONFIG_MAP_CHECK_S = 60.0
"""How often a ConfigMap that holds code is looked at; the kubelet takes as long to update a mounted one."""

log = logging.getLogger(__name__)


async def reconcile(context: Context, key: Key) -> Outcome:
    """One Function. Deleting its environments is the garbage collector's work; ours is to forget it."""
    try:
        body = await context.client.get(FUNCTIONS, key.name, key.namespace)
    except NotFound:
        context.failed_downloads.pop((key.namespace, key.name), None)
        changes.take_in_function(context, key.namespace, key.name, None)
        return None
    changes.take_in_function(context, key.namespace, key.name, function_facts(body))
    if "deletionTimestamp" in body["metadata"]:
        return None
    before = _status(body)
    observed = await _observe(context, key, body, before)
    status = decide(observed, datetime.now(UTC))
    if status != before:
        await _report(context, key, body, before, status)
    return _next_look(observed)


def _status(body: Object) -> FunctionStatus:
    """The status as far as this release understands it: another release may have written more."""
    try:
        return FunctionStatus.model_validate(body.get("status") or {}, extra="ignore")
    except ValidationError:
        return FunctionStatus()


def _next_look(observed: Observation) -> Outcome:
    """Runtimes, reservations and downloads announce themselves; what else is missing must be looked for."""
    match observed.problem:
        case Problem(reason=Reason.REFERENCE_MISSING | Reason.CODE_STORE_UNAVAILABLE):
            return BackOff(LOOK_AGAIN_MAX_S)
        case Problem(reason=Reason.CODE_UNAVAILABLE) if _follows_config_map(observed):
            return BackOff(LOOK_AGAIN_MAX_S)
        case None | Problem(reason=Reason.INVALID_CODE) if _follows_config_map(observed):
            return CONFIG_MAP_CHECK_S * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
    return None


def _follows_config_map(observed: Observation) -> bool:
    return isinstance(observed.spec, FunctionSpec) and observed.spec.code.config_map_ref is not None


async def _observe(context: Context, key: Key, body: Object, before: FunctionStatus) -> Observation:
    uid, annotations = await _namespace(context, key.namespace)
    account = identity.namespace_account_id(uid, annotations)
    spec = _spec(body)
    runtime = _runtime(context, spec)
    code, missing = None, None
    if isinstance(spec, FunctionSpec):
        missing = await references.missing(context.client, key.namespace, spec.environment)
        if isinstance(runtime, RuntimeSpec):
            code = await code_source.resolve(context, key, spec.code, runtime.inline_file_name)
    return Observation(
        name=key.name,
        generation=body["metadata"]["generation"],
        arn=identity.function_arn(context.settings.region, account, function_name_of(body)),
        before=before,
        grant=_grant(context, key, annotations),
        spec=spec,
        runtime=runtime,
        code=code,
        references=missing,
    )


async def _namespace(context: Context, name: str) -> tuple[str, dict[str, str]]:
    """Uid and annotations; asked for when the watch did not show it yet."""
    view = context.state.namespaces.get(name)
    if view is not None:
        return view.uid, view.annotations
    metadata = (await context.client.get(NAMESPACES, name))["metadata"]
    return metadata["uid"], metadata.get("annotations") or {}


def _spec(body: Object) -> FunctionSpec | Problem:
    try:
        return FunctionSpec.model_validate(body["spec"])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ("spec", *first["loc"]))
        return Problem(Reason.INVALID_SPEC, f"{where}: {first['msg']}", terminal=True)


def _runtime(context: Context, spec: FunctionSpec | Problem) -> RuntimeSpec | Problem | None:
    if isinstance(spec, Problem):
        return None
    found = context.state.runtimes.get(spec.runtime or "")
    if found is None:
        known = ", ".join(sorted(context.state.runtimes)) or "none"
        return Problem(Reason.RUNTIME_NOT_FOUND, f"Runtime {spec.runtime} does not exist; there are: {known}")
    try:
        return RuntimeSpec.model_validate(found["spec"], extra="ignore")
    except ValidationError as error:
        return Problem(Reason.RUNTIME_NOT_FOUND, f"Runtime {spec.runtime} cannot be used: {error.errors()[0]['msg']}")


def _grant(context: Context, key: Key, annotations: dict[str, str]) -> Grant:
    """Decided and remembered in one go: two functions that ask at once can never both get what is there once."""
    grants = allocate(
        context.state.reservations(key.namespace),
        quota=account_quota(annotations.get(labels.CONCURRENT_EXECUTIONS), context.settings.account_concurrency),
        minimum=context.settings.unreserved_minimum,
    )
    found = grants.get(key.name, Grant(None))
    view = context.state.function(key.namespace, key.name)
    if view is not None:
        context.state.grants[view.uid] = found.granted
    return found


async def _report(context: Context, key: Key, body: Object, before: FunctionStatus, status: FunctionStatus) -> None:
    manifest = {
        "metadata": {"name": key.name, "namespace": key.namespace},
        "status": status.model_dump(mode="json", by_alias=True, exclude_none=True),
    }
    after = await context.client.apply(FUNCTIONS, manifest, manager=FIELD_MANAGER, subresource="status")
    changes.take_in_function(context, key.namespace, key.name, function_facts(after))
    await recorder.record_transition(context.client, FUNCTIONS, body, before.conditions, status.conditions)
    if status.state is not before.state:
        log.info("function %s/%s is %s", key.namespace, key.name, status.state)
