"""Looks up the layer versions that a function wants: of its own account, and of others that share theirs with it."""

import hmac
from collections.abc import Iterable

from kubelambda.api.kinds.deployed_configuration import DeployedCode, DeployedConfiguration
from kubelambda.api.kinds.function import FunctionSpec
from kubelambda.api.kinds.function_image import DeployedImage
from kubelambda.api.kinds.function_mounts import DeployedLayer
from kubelambda.api.reasons import Reason
from kubelambda.controllers.account.namespace_facts import NamespaceFacts, account_in, namespace_of_account
from kubelambda.controllers.code import archive_facts
from kubelambda.controllers.code.code_state import CodeState
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS
from kubelambda.controllers.layer.layer_facts import WATCHED_LAYER_VERSIONS, WATCHED_LAYERS, LayerFacts
from kubelambda.controllers.machinery import unseen
from kubelambda.controllers.machinery.asked import Asker
from kubelambda.controllers.machinery.cluster import Cluster
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.declaration import Change
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.core.account.identity import namespace_account_id
from kubelambda.core.code.invalid_archive import InvalidArchive
from kubelambda.core.code.layer_reference import LayerReference, layer_object_name, parse_layer
from kubelambda.core.code.layer_sharing import is_shared_with
from kubelambda.core.code.layer_versions import (
    ChosenLayer,
    LayerScope,
    LayerVersionFacts,
    chosen_layers,
    too_large_together,
)
from kubelambda.core.function.observation import Problem
from kubelambda.store.code.code_store import CodeStoreUnavailable

_FUNCTION = "Function"


async def layers_of(
    state: CodeState,
    context: Context,
    asker: Asker,
    spec: FunctionSpec,
    *,
    account: str,
    code: DeployedCode | DeployedImage | Problem | None,
    before: DeployedConfiguration | None,
) -> tuple[DeployedLayer, ...] | Problem:
    """The layers to deploy, or why they cannot be used. What is deployed already is not measured again."""
    if not spec.layers:
        return ()
    scope = LayerScope(context.settings.region, account, spec.runtime or "")
    try:
        chosen = await _chosen(state, context, asker, spec, scope=scope, before=before)
        if isinstance(chosen, Problem):
            return chosen
        layers = tuple(each.deployed for each in chosen)
        if isinstance(code, DeployedCode) and not (before and before.code == code and tuple(before.layers) == layers):
            return await _too_large(state, code, chosen) or layers
    except CodeStoreUnavailable as error:
        return Problem(Reason.CODE_STORE_UNAVAILABLE, str(error))
    except InvalidArchive as error:
        return Problem(Reason.INVALID_CODE, str(error), terminal=True)
    return layers


async def _chosen(
    state: CodeState,
    context: Context,
    asker: Asker,
    spec: FunctionSpec,
    *,
    scope: LayerScope,
    before: DeployedConfiguration | None,
) -> tuple[ChosenLayer, ...] | Problem:
    namespace = asker.key.namespace
    for reference in filter(None, map(parse_layer, spec.layers)):
        if reference.account in (None, scope.account):
            await unseen.find(context, asker, WATCHED_LAYER_VERSIONS, namespace, reference.object_name)
    known = dict(context.cluster[WATCHED_LAYER_VERSIONS].within(namespace))
    shared = await _shared(state, context, asker, spec, scope=scope, before=before)
    chosen = chosen_layers(spec.layers, known, scope, shared)
    if isinstance(chosen, Problem):
        absent = chosen.reason is Reason.LAYER_NOT_FOUND
        return (await _published_soon(context, asker, spec, scope) if absent else None) or chosen
    own = [each.version for each in chosen if each.arn not in shared]
    return _forged(state, namespace, own) or chosen


async def _published_soon(context: Context, asker: Asker, spec: FunctionSpec, scope: LayerScope) -> Problem | None:
    """A layer of the account that may have the version in a moment: both were made together, or the layer changed."""
    namespace = asker.key.namespace
    for reference in filter(None, map(parse_layer, spec.layers)):
        version = context.cluster[WATCHED_LAYER_VERSIONS].get(namespace, reference.object_name)
        if version is not None or reference.account not in (None, scope.account):
            continue
        layer = await unseen.find(context, asker, WATCHED_LAYERS, namespace, layer_object_name(reference.layer))
        came = context.cluster[WATCHED_LAYER_VERSIONS].get(namespace, reference.object_name) is not None
        if came or (layer is not None and layer.publishing and layer.layer == reference.layer):
            return Problem(Reason.IN_PROGRESS, f"layer {reference.layer} is being published")
    return None


def _forged(state: CodeState, namespace: str, versions: Iterable[LayerVersionFacts]) -> Problem | None:
    for version in versions:
        if not _is_published(state, namespace, version):
            text = f"version {version.number} of layer {version.layer} was not published by this installation"
            return Problem(Reason.INVALID_LAYERS, text, terminal=True)
    return None


def _is_published(state: CodeState, namespace: str, version: LayerVersionFacts) -> bool:
    return hmac.compare_digest(version.signature, state.store.upload_signature(namespace, version.sha256))


async def _too_large(state: CodeState, code: DeployedCode, layers: Iterable[ChosenLayer]) -> Problem | None:
    return too_large_together(await archive_facts.unzipped_size(state, code.sha256), [each.version for each in layers])


async def _shared(
    state: CodeState,
    context: Context,
    asker: Asker,
    spec: FunctionSpec,
    *,
    scope: LayerScope,
    before: DeployedConfiguration | None,
) -> dict[str, LayerVersionFacts]:
    """Those of other accounts that the function may use, by ARN.

    Who withdraws a permission, or deletes the version, takes nothing away from the functions that have it.
    """
    deployed = {layer.arn: layer for layer in before.layers} if before is not None else {}
    found: dict[str, LayerVersionFacts] = {}
    for arn in spec.layers:
        reference = parse_layer(arn)
        if reference is None or reference.account in (None, scope.account):
            continue
        version = await _offered(state, context, asker, reference, scope.account)
        if version is None and arn in deployed:
            version = await _kept(state, reference, deployed[arn])
        if version is not None:
            found[arn] = version
    return found


async def _offered(
    state: CodeState, context: Context, asker: Asker, reference: LayerReference, account: str
) -> LayerVersionFacts | None:
    """A version whose account lets this one have it. An account id that is another namespace's opens nothing."""
    cluster = context.cluster
    owner = namespace_of_account(cluster, reference.account or "")
    if owner is None or namespace_of_account(cluster, account) != asker.key.namespace:
        return None
    version = await unseen.find(context, asker, WATCHED_LAYER_VERSIONS, owner, reference.object_name)
    if version is None or (version.layer, version.number) != (reference.layer, reference.number):
        return None
    if version.terminating or not _is_published(state, owner, version):
        return None
    return version if await _is_granted(context, asker, owner, reference, account) else None


async def _is_granted(context: Context, asker: Asker, owner: str, reference: LayerReference, account: str) -> bool:
    """What is known to be granted is; else the Layer is read: it may have been shared a moment ago."""
    layers = (facts for _, facts in context.cluster[WATCHED_LAYERS].within(owner) if facts.layer == reference.layer)
    if any(is_shared_with(facts.grants, reference.number, account) for facts in layers):
        return True
    facts = await unseen.read(context, asker, WATCHED_LAYERS, owner, layer_object_name(reference.layer))
    if facts is None or facts.layer != reference.layer:
        return False
    return is_shared_with(facts.grants, reference.number, account)


async def _kept(state: CodeState, reference: LayerReference, layer: DeployedLayer) -> LayerVersionFacts:
    """What the function has of a version that it would not get any more."""
    size = await archive_facts.unzipped_size(state, layer.sha256)
    return LayerVersionFacts("", reference.layer, reference.number, layer.sha256, layer.size, size, "", (), ())


def users_of_layer_version(change: Change[LayerVersionFacts]) -> Iterable[Key]:
    """Functions that wait for a layer version, or lose one."""
    if change.before is not None and change.after is not None:
        return
    for name, function in change.cluster[WATCHED_FUNCTIONS].within(change.namespace):
        if change.name in function.layer_versions:
            yield Key(_FUNCTION, change.namespace, name)
    layers = {facts.layer for facts in change.either}
    yield from _elsewhere(change.cluster, change.namespace, layers)


def users_of_layer(change: Change[LayerFacts]) -> Iterable[Key]:
    """Functions of other accounts, when another policy may let them have a version."""
    before, after = (each.grants if each is not None else () for each in (change.before, change.after))
    if before != after:
        yield from _elsewhere(change.cluster, change.namespace, {facts.layer for facts in change.either})


def users_of_account(change: Change[NamespaceFacts]) -> Iterable[Key]:
    """Functions that name layers of an account that is a namespace now, or is none any more."""
    ids = {namespace_account_id(facts.uid, facts.annotations) for facts in change.either}
    if change.before is None or change.after is None or len(ids) > 1:
        yield from _naming(change.cluster, change.name, tuple(f":{account}:layer:" for account in ids))


def _elsewhere(cluster: Cluster, namespace: str, layers: Iterable[str]) -> Iterable[Key]:
    account = account_in(cluster, namespace)
    return _naming(cluster, namespace, tuple(f":{account}:layer:{layer}:" for layer in layers))


def _naming(cluster: Cluster, namespace: str, parts: tuple[str, ...]) -> Iterable[Key]:
    """Functions of other namespaces that name a layer whose ARN has one of `parts`."""
    for (other, name), facts in cluster[WATCHED_FUNCTIONS]:
        if other != namespace and any(part in arn for arn in facts.named_arns for part in parts):
            yield Key(_FUNCTION, other, name)
