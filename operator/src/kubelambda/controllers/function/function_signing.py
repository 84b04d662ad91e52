"""Looks at the signatures of new code and new layers of a function that has a code signing configuration (§1.5.4)."""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial

from kubelambda.api.kinds.deployed_configuration import DeployedCode, DeployedConfiguration
from kubelambda.api.kinds.deployed_signing import DeployedSigning, UntrustedArchive
from kubelambda.api.kinds.function import FunctionSpec, FunctionStatus
from kubelambda.api.kinds.function_image import DeployedImage
from kubelambda.api.kinds.function_mounts import DeployedLayer
from kubelambda.api.reasons import Reason
from kubelambda.controllers.code.archive_facts import content_of
from kubelambda.controllers.code.code_state import CodeState
from kubelambda.controllers.code.signing_facts import (
    WATCHED_SIGNING_CONFIGS,
    WATCHED_SIGNING_PROFILES,
    known_profiles,
)
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS
from kubelambda.controllers.machinery import unseen
from kubelambda.controllers.machinery.asked import Asker
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.declaration import Change
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.core.code.code_trust import DeployedArchives, ProfileVersion, SigningPolicy, new_archives
from kubelambda.core.code.invalid_archive import InvalidArchive
from kubelambda.core.code.signing_decision import signing_decision
from kubelambda.core.code.signing_objects import SigningConfigFacts, chosen_config, not_found_text
from kubelambda.core.function.observation import Problem
from kubelambda.kube.event_recorder import record_event
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import FUNCTIONS
from kubelambda.store.code.code_store import CodeStoreUnavailable


async def signing_of(
    state: CodeState,
    context: Context,
    asker: Asker,
    spec: FunctionSpec,
    *,
    account: str,
    code: DeployedCode | DeployedImage | Problem | None,
    layers: Sequence[DeployedLayer] | Problem,
    before: DeployedConfiguration | None,
) -> DeployedSigning | Problem | None:
    """What the signatures say. None: nothing is to be said, or nothing yet."""
    reference = spec.code_signing_config_arn
    if reference is None:
        return None
    config = await _config(context, asker, reference, account)
    if config is None:
        return Problem(Reason.SIGNING_CONFIG_NOT_FOUND, not_found_text(reference))
    if not isinstance(code, DeployedCode) or isinstance(layers, Problem):
        return None
    archives = {code.sha256: "the code"} | {layer.sha256: f"layer {layer.arn}" for layer in layers}
    try:
        known = _archives(before.code, before.layers) if before is not None else DeployedArchives()
        new = new_archives(_archives(code, layers), known)
        contents = {sha256: await content_of(state, sha256) for sha256 in new.digests}
    except CodeStoreUnavailable as error:
        return Problem(Reason.CODE_STORE_UNAVAILABLE, str(error))
    except InvalidArchive as error:
        return Problem(Reason.INVALID_CODE_SIGNATURE, str(error), terminal=True)
    decide = partial(
        signing_decision,
        spec.function_name or asker.key.name,
        archives,
        contents,
        code=code.sha256,
        before=before.signing if before is not None else None,
        now=datetime.now(UTC),
    )
    decided = decide(_policy(context, asker, config, account))
    if not _is_trusted(decided, contents) and await _read_signers(context, asker, contents):
        decided = decide(_policy(context, asker, _known_config(context, asker, reference, account) or config, account))
    return decided


def _policy(context: Context, asker: Asker, config: SigningConfigFacts, account: str) -> SigningPolicy:
    return config.policy(context.settings.region, account, known_profiles(context.cluster, asker.key.namespace))


def _is_trusted(decided: DeployedSigning | Problem, contents: Collection[str]) -> bool:
    """Whether nothing was found against what was looked at."""
    return isinstance(decided, DeployedSigning) and not any(each.sha256 in contents for each in decided.untrusted)


async def _read_signers(context: Context, asker: Asker, contents: Iterable[str]) -> bool:
    """Reads once who may sign, and with which keys: both may have been said just before the function, or its code.

    False when that was done for the same archives.
    """
    namespace, why = asker.key.namespace, " ".join(sorted(contents))
    configs = await unseen.read_all(context, asker, WATCHED_SIGNING_CONFIGS, namespace, why)
    return await unseen.read_all(context, asker, WATCHED_SIGNING_PROFILES, namespace, why) or configs


async def _config(context: Context, asker: Asker, reference: str, account: str) -> SigningConfigFacts | None:
    """A configuration; asked for when no event showed it yet: it may have been made just before the function."""
    found = _known_config(context, asker, reference, account)
    if found is None and await unseen.read_all(context, asker, WATCHED_SIGNING_CONFIGS, asker.key.namespace, reference):
        return _known_config(context, asker, reference, account)
    return found


def _known_config(context: Context, asker: Asker, reference: str, account: str) -> SigningConfigFacts | None:
    known = context.cluster[WATCHED_SIGNING_CONFIGS].within(asker.key.namespace)
    return chosen_config(reference, known, context.settings.region, account)


def _archives(code: DeployedCode, layers: Sequence[DeployedLayer]) -> DeployedArchives:
    return DeployedArchives(code.sha256, [layer.sha256 for layer in layers])


async def tell(
    state: CodeState, context: Context, key: Key, body: Object, *, before: FunctionStatus, after: FunctionStatus
) -> None:
    """Counts and tells of what was deployed though its signature is not trusted (§9.3)."""
    known = {each.sha256 for each in _untrusted(before)}
    for each in _untrusted(after):
        if each.sha256 in known:
            continue
        if state.signature_errors is not None:
            state.signature_errors.labels(key.namespace, key.name).inc()
        await record_event(
            context.client,
            FUNCTIONS,
            body["metadata"],
            Reason.SIGNATURE_NOT_TRUSTED,
            f"deployed with a warning: {each.problem}",
            warning=True,
            action="Reconcile",
        )


def _untrusted(status: FunctionStatus) -> Sequence[UntrustedArchive]:
    signing = status.deployed.signing if status.deployed is not None else None
    return signing.untrusted if signing is not None else ()


def under_any(change: Change[SigningConfigFacts] | Change[tuple[ProfileVersion, ...]]) -> Iterable[Key]:
    """Functions with a configuration: what was refused may be allowed now, and a publisher may have become known."""
    for name, facts in change.cluster[WATCHED_FUNCTIONS].within(change.namespace):
        if facts.signing_config is not None:
            yield Key("Function", change.namespace, name)
