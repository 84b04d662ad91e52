"""Reconciles a Layer: its content is verified and stored, and every change of it is published as a LayerVersion."""

import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial

from pydantic import ValidationError

from kubelambda.api import labels
from kubelambda.api.kinds.deployed_configuration import DeployedCode
from kubelambda.api.kinds.function_code import Code
from kubelambda.api.kinds.layer import LayerContent, LayerSpec, LayerStatus, LayerVersionContent, LayerVersionSpec
from kubelambda.api.reasons import Reason
from kubelambda.controllers.account.namespace_facts import account_of, with_namespace
from kubelambda.controllers.code import archive_facts, code_source
from kubelambda.controllers.code.code_origin import wanted_archive
from kubelambda.controllers.code.code_state import CodeState
from kubelambda.controllers.layer.layer_facts import WATCHED_LAYER_VERSIONS, WATCHED_LAYERS, LayerFacts
from kubelambda.controllers.machinery import changes, recorder
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.declaration import Change, Controller, Follow
from kubelambda.controllers.machinery.object_status import apply_status, read_status
from kubelambda.controllers.machinery.work_queue import BackOff, Key, Outcome
from kubelambda.core.code.invalid_archive import InvalidArchive
from kubelambda.core.code.layer_publication import LayerObservation, decide_layer, new_layer_version
from kubelambda.core.code.layer_reference import layer_name_of, layer_version_name
from kubelambda.core.code.layer_versions import LayerVersionFacts
from kubelambda.core.function.observation import Problem, invalid_spec
from kubelambda.kube.errors import Forbidden
from kubelambda.kube.jitter import spread
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import LAYER_VERSIONS, LAYERS
from kubelambda.store.code.code_store import CodeStoreUnavailable

KIND = "Layer"
LOOK_AGAIN_MAX_S = 30.0
CONFIG_MAP_CHECK_S = 60.0
"""How often a ConfigMap that holds the content is looked at."""

log = logging.getLogger(__name__)


async def reconcile(code: CodeState, context: Context, key: Key) -> Outcome:
    """One Layer."""
    body = await context.client.find(LAYERS, key.name, key.namespace)
    if body is None:
        code.forget(key)
        changes.forget(context, WATCHED_LAYERS, key.namespace, key.name, by=key)
        return None
    await changes.observe(context, WATCHED_LAYERS, body, by=key)
    if "deletionTimestamp" in body["metadata"]:
        return None
    observed = await _observe(code, context, key, body)
    version = new_layer_version(observed)
    if version is not None:
        await _publish(context, key, body, version)
    status = decide_layer(observed, version.version if version else None, datetime.now(UTC))
    if status != observed.before:
        await apply_status(context, LAYERS, body, status)
        await recorder.record_transition(context.client, LAYERS, body, observed.before.conditions, status.conditions)
    return _next_look(observed)


async def _observe(code: CodeState, context: Context, key: Key, body: Object) -> LayerObservation:
    spec, name = _spec(body), layer_name_of(body)
    content: LayerVersionContent | Problem | None = None
    if isinstance(spec, LayerSpec):
        content = await _content(code, context, key, name, spec.content)
    return LayerObservation(
        name=name,
        generation=body["metadata"]["generation"],
        region=context.settings.region,
        account=account_of(context, key.namespace),
        before=read_status(LayerStatus, body),
        spec=spec,
        content=content,
        numbers=frozenset(
            facts.number
            for _, facts in context.cluster[WATCHED_LAYER_VERSIONS].within(key.namespace)
            if facts.layer == name
        ),
    )


async def _content(
    state: CodeState, context: Context, key: Key, layer: str, content: LayerContent
) -> LayerVersionContent | Problem | None:
    """The archive in the code store, or why it is not there; None while it is fetched."""
    source = Code.model_validate(content.model_dump(by_alias=True, exclude_none=True))
    try:
        published = _published_from(state, context, key, layer, content)
        found = await code_source.resolve(state, context, key, source, inline_file_name="", deployed=published)
        if not isinstance(found, DeployedCode):
            return found
        size = await archive_facts.unzipped_size(state, found.sha256)
    except InvalidArchive as error:
        return Problem(Reason.INVALID_CODE, str(error), terminal=True)
    except CodeStoreUnavailable as error:
        return Problem(Reason.CODE_STORE_UNAVAILABLE, str(error))
    except Forbidden:
        text = f"ConfigMaps of namespace {key.namespace} cannot be read: it has no Function yet"
        return Problem(Reason.CODE_UNAVAILABLE, text)
    return LayerVersionContent(
        sha256=found.sha256,
        size=found.size,
        unzipped_size=size,
        signature=state.store.upload_signature(key.namespace, found.sha256),
        source=found.source,
        resolved=found.resolved,
    )


def _published_from(
    state: CodeState, context: Context, key: Key, layer: str, content: LayerContent
) -> DeployedCode | None:
    """What the newest version from that very source has: an object that was replaced publishes nothing by itself."""
    wanted = wanted_archive(content)
    versions = [
        facts
        for _, facts in context.cluster[WATCHED_LAYER_VERSIONS].within(key.namespace)
        if wanted is not None and facts.layer == layer and facts.source == wanted.name
    ]
    newest = max(versions, key=lambda facts: facts.number, default=None)
    if newest is None or newest.signature != state.store.upload_signature(key.namespace, newest.sha256):
        return None
    return DeployedCode(sha256=newest.sha256, size=newest.size, source=newest.source, resolved=newest.resolved)


async def _publish(context: Context, key: Key, body: Object, version: LayerVersionSpec) -> None:
    """Makes the object. A number that is taken is a conflict, and tried again with what is known then."""
    manifest = {
        "apiVersion": LAYER_VERSIONS.api_version,
        "kind": LAYER_VERSIONS.kind,
        "metadata": {
            "name": layer_version_name(version.layer_name, version.version),
            "namespace": key.namespace,
            "labels": {labels.MANAGED_BY: labels.MANAGER},
            "finalizers": [labels.LAYER_VERSION_FINALIZER],
            "ownerReferences": [
                {
                    "apiVersion": LAYERS.api_version,
                    "kind": KIND,
                    "name": key.name,
                    "uid": body["metadata"]["uid"],
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "spec": version.model_dump(mode="json", by_alias=True, exclude_none=True),
    }
    created = await context.client.create(LAYER_VERSIONS, manifest, key.namespace)
    await changes.observe(context, WATCHED_LAYER_VERSIONS, created, by=key)
    log.info("layer %s/%s published version %d", key.namespace, key.name, version.version)


def _spec(body: Object) -> LayerSpec | Problem:
    try:
        return LayerSpec.model_validate(body["spec"])
    except ValidationError as error:
        return invalid_spec(error)


def _next_look(observed: LayerObservation) -> Outcome:
    """Downloads announce themselves; ConfigMaps and the store must be looked at."""
    if isinstance(observed.content, Problem):
        if observed.content.reason is Reason.CODE_STORE_UNAVAILABLE:
            return BackOff(LOOK_AGAIN_MAX_S)
        looked_for = _is_stored(observed) or _follows_config_map(observed)
        if observed.content.reason is Reason.CODE_UNAVAILABLE and looked_for:
            return BackOff(LOOK_AGAIN_MAX_S)
    if _follows_config_map(observed):
        return spread(CONFIG_MAP_CHECK_S)
    return None


def _is_stored(observed: LayerObservation) -> bool:
    return isinstance(observed.spec, LayerSpec) and observed.spec.content.stored is not None


def _follows_config_map(observed: LayerObservation) -> bool:
    return isinstance(observed.spec, LayerSpec) and observed.spec.content.config_map_ref is not None


def _itself(change: Change[LayerFacts]) -> Iterable[Key]:
    yield Key(KIND, change.namespace, change.name)


def _seen(change: Change[LayerVersionFacts]) -> Iterable[Key]:  # noqa: ARG001
    """Versions are only known: a Layer publishes when it changes, not when one of them is deleted."""
    return ()


def controller(code: CodeState) -> Controller[Context]:
    """Layers."""
    return Controller(
        KIND,
        partial(reconcile, code),
        follows=(
            with_namespace(WATCHED_LAYERS),
            Follow(WATCHED_LAYER_VERSIONS, _seen),
            Follow(WATCHED_LAYERS, _itself, resync=True),
        ),
    )
