"""Reconciles a Function: code verified and published, references checked, reservation granted, status reported."""

import logging
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from kubelambda.api import labels
from kubelambda.api.function import DeployedCode, FunctionSpec, FunctionStatus, State
from kubelambda.api.reasons import Reason
from kubelambda.api.runtime import RuntimeSpec
from kubelambda.controllers import code_source, events
from kubelambda.controllers.cluster_state import FunctionView, function_view
from kubelambda.controllers.code_source import CodeUnavailable
from kubelambda.controllers.context import FIELD_MANAGER, Context
from kubelambda.controllers.queue import Key
from kubelambda.core import identity, reserved_concurrency
from kubelambda.core.archive import InvalidArchive
from kubelambda.core.function_status import Observation, Problem, decide
from kubelambda.core.reserved_concurrency import Grant, account_quota
from kubelambda.kube.client import Object
from kubelambda.kube.errors import NotFound
from kubelambda.kube.resources import CONFIG_MAPS, FUNCTIONS, NAMESPACES, SECRETS
from kubelambda.store.code_store import CodeStoreUnavailable

MISSING_RETRY_S = 5.0
"""How soon a missing Secret, ConfigMap, Runtime or URL is looked for again; nothing tells us when it appears."""

log = logging.getLogger(__name__)


async def reconcile(context: Context, key: Key) -> float | None:
    """One Function. Deleting it is the garbage collector's work; ours is to forget it."""
    try:
        body = await context.client.get(FUNCTIONS, key.name, key.namespace)
    except NotFound:
        _forget(context, key)
        return None
    view = function_view(body)
    previous = context.state.functions.get((key.namespace, key.name))
    context.state.functions[key.namespace, key.name] = view
    _notify_pools(context, key, view, previous)
    if "deletionTimestamp" in body["metadata"]:
        return None
    before = FunctionStatus.model_validate(body.get("status") or {})
    observed = await _observe(context, key, body, before)
    status = decide(observed, datetime.now(UTC))
    if status != before:
        await _report(context, key, body, before, status)
        context.state.functions[key.namespace, key.name] = FunctionView(
            uid=view.uid,
            runtime=view.runtime,
            requested=view.requested,
            granted=status.reserved_concurrent_executions,
            sha256=status.deployed.code.sha256 if status.deployed else None,
        )
    retry = observed.problem is not None and observed.problem.reason is not Reason.INVALID_CODE
    return MISSING_RETRY_S if retry or observed.grant.refusal else None


def _forget(context: Context, key: Key) -> None:
    view = context.state.functions.pop((key.namespace, key.name), None)
    if view is not None:
        _notify_pools(context, key, None, view)
        context.queue.add(Key("CodeStore", "", ""), 1.0)


def _notify_pools(context: Context, key: Key, view: FunctionView | None, previous: FunctionView | None) -> None:
    runtimes = {found.runtime for found in (view, previous) if found is not None and found.runtime}
    if view is None or previous is None or view.runtime != previous.runtime:
        for runtime in runtimes:
            context.queue.add(Key("Pool", key.namespace, runtime))
            context.queue.add(Key("Runtime", "", runtime), 1.0)
        context.queue.add(Key("Namespace", key.namespace, key.namespace))


async def _observe(context: Context, key: Key, body: Object, before: FunctionStatus) -> Observation:
    namespace = await context.client.get(NAMESPACES, key.namespace)
    annotations = namespace["metadata"].get("annotations") or {}
    account = identity.namespace_account_id(namespace["metadata"]["uid"], annotations)
    spec, code, problem = None, None, None
    try:
        spec = FunctionSpec.model_validate(body["spec"])
    except ValidationError as error:
        problem = Problem(Reason.INVALID_SPEC, _first_error(error))
    if spec is not None:
        code, problem = await _deployable(context, key, spec, before)
    grant = await _grant(context, key, spec, before, annotations)
    return Observation(
        name=key.name,
        generation=body["metadata"]["generation"],
        arn=identity.function_arn(context.settings.region, account, key.name),
        before=before,
        spec=spec,
        code=code,
        problem=problem,
        grant=grant,
    )


async def _deployable(
    context: Context, key: Key, spec: FunctionSpec, before: FunctionStatus
) -> tuple[DeployedCode | None, Problem | None]:
    """The published code, or why there is none."""
    runtime = context.state.runtimes.get(spec.runtime or "")
    if runtime is None:
        known = ", ".join(sorted(context.state.runtimes)) or "none"
        message = f"Runtime {spec.runtime} does not exist; there are: {known}"
        return None, Problem(Reason.RUNTIME_NOT_FOUND, message, "InvalidRuntime")
    missing = await _missing_references(context, key.namespace, spec)
    if missing:
        return None, Problem(Reason.REFERENCE_MISSING, "; ".join(missing))
    file_name = RuntimeSpec.model_validate(runtime["spec"]).inline_file_name
    try:
        code = await _published(context, key, spec, before, file_name)
    except InvalidArchive as error:
        return None, Problem(Reason.INVALID_CODE, str(error), "InvalidZipFileException")
    except CodeUnavailable as error:
        return None, Problem(Reason.CODE_UNAVAILABLE, str(error), "InvalidZipFileException")
    except CodeStoreUnavailable as error:
        return None, Problem(Reason.CODE_STORE_UNAVAILABLE, str(error), "InternalError")
    return code, None


async def _published(
    context: Context, key: Key, spec: FunctionSpec, before: FunctionStatus, file_name: str
) -> DeployedCode:
    known = before.deployed.code if before.deployed else None
    if known is not None and known.sha256 == spec.code.sha256 and await context.store.has(known.sha256):
        return known
    if spec.code.url is not None:
        async with context.downloads:
            found = await code_source.fetch(context.client, key.namespace, spec.code, file_name)
    else:
        found = await code_source.fetch(context.client, key.namespace, spec.code, file_name)
    if not await context.store.has(found.sha256):
        await context.store.put(found.sha256, found.data)
    return DeployedCode(sha256=found.sha256, size=len(found.data))


async def _missing_references(context: Context, namespace: str, spec: FunctionSpec) -> list[str]:
    """Says of every reference without an object or key which it is."""
    missing = []
    for variable in spec.environment.from_:
        secret = variable.secret_key_ref
        reference = secret or variable.config_map_key_ref
        if reference is None or reference.optional:
            continue
        resource = SECRETS if secret else CONFIG_MAPS
        where = f"environment.from {variable.name}: {resource.kind} {reference.name}"
        try:
            found = await context.client.get(resource, reference.name, namespace)
        except NotFound:
            missing.append(f"{where} with key {reference.key} does not exist in namespace {namespace}")
            continue
        if reference.key not in (found.get("data") or {}):
            missing.append(f"{where} has no key {reference.key}")
    return missing


async def _grant(
    context: Context, key: Key, spec: FunctionSpec | None, before: FunctionStatus, annotations: dict[str, str]
) -> Grant:
    previous = before.reserved_concurrent_executions
    if spec is None:
        return Grant(previous)
    async with context.accounts[key.namespace]:
        found = reserved_concurrency.grant(
            requested=spec.reserved_concurrent_executions,
            previous=previous,
            others=context.state.reserved_by_others(key.namespace, key.name),
            quota=account_quota(annotations.get(labels.CONCURRENT_EXECUTIONS), context.settings.account_concurrency),
            minimum=context.settings.unreserved_minimum,
        )
        view = context.state.functions[key.namespace, key.name]
        context.state.functions[key.namespace, key.name] = FunctionView(
            uid=view.uid, runtime=view.runtime, requested=view.requested, granted=found.granted, sha256=view.sha256
        )
    return found


async def _report(context: Context, key: Key, body: Object, before: FunctionStatus, status: FunctionStatus) -> None:
    manifest: dict[str, Any] = {
        "metadata": {"name": key.name, "namespace": key.namespace},
        "status": status.model_dump(mode="json", by_alias=True, exclude_none=True),
    }
    await context.client.apply(FUNCTIONS, manifest, manager=FIELD_MANAGER, subresource="status")
    ready = status.conditions[0]
    known = next((condition for condition in before.conditions if condition.type == "Ready"), None)
    if known is None or (known.status, known.reason, known.message) != (ready.status, ready.reason, ready.message):
        await events.record(context.client, FUNCTIONS, body, ready)
    if status.state is State.ACTIVE and before.state is not State.ACTIVE:
        log.info("function %s/%s is active", key.namespace, key.name)


def _first_error(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"spec.{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
