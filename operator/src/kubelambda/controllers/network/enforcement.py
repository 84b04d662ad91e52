"""Tries whether the cluster enforces NetworkPolicies, when we begin to lead and nobody knows, and every day."""

import contextlib
import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial

from kubelambda.api.reasons import Reason
from kubelambda.controllers.machinery import changes
from kubelambda.controllers.machinery.context import FIELD_MANAGER, Context
from kubelambda.controllers.machinery.declaration import Change, Controller, Follow
from kubelambda.controllers.machinery.work_queue import Key, Outcome
from kubelambda.controllers.network.enforcement_facts import (
    WATCHED_ENFORCEMENT,
    EnforcementFacts,
    enforcement_record,
)
from kubelambda.controllers.network.node_facts import WATCHED_NODES
from kubelambda.core.network.enforcement_probe import (
    LOOK_S,
    ClearPods,
    Conclude,
    EnforcementVerdict,
    ObservedProbe,
    ProbePod,
    ProbeTimes,
    Rest,
    StartListener,
    StartProbers,
    next_step,
    unknown,
)
from kubelambda.kube.errors import Conflict, Forbidden, Invalid, NotFound
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import NETWORK_POLICIES, PODS
from kubelambda.resources.enforcement_probe_objects import (
    PROBE_LISTENER,
    PROBE_POLICY,
    PROBE_PROBERS,
    PodOwner,
    ProbePods,
    probe_policy,
)

KEY = Key("NetworkProbe", "", "")
LOOK_AGAIN_S = 60.0
"""The longest pause before what is kept is read again: somebody may have taken it away before anything watched it."""

log = logging.getLogger(__name__)


def controller(pod: PodOwner | None) -> Controller[Context]:
    """There is one probe. Its pods go with `pod`, our own, whatever becomes of us."""
    return Controller(
        KEY.kind,
        partial(reconcile, pod),
        follows=(Follow(WATCHED_ENFORCEMENT, _lost), Follow(WATCHED_NODES, lambda _: ())),
        first_keys=(KEY,),
    )


async def reconcile(owner: PodOwner | None, context: Context, key: Key) -> Outcome:  # noqa: ARG001 - there is one probe
    """The next step of a try, or nothing until one is due."""
    probe = context.settings.network.probe
    if probe is None:
        await _forget(context)
        return None
    observed = await _observe(context)
    times = ProbeTimes(probe.interval_seconds, probe.retry_seconds, probe.limit_seconds)
    pods = ProbePods(context.settings, probe.image, 2 * probe.limit_seconds, owner)
    match next_step(observed, times, datetime.now(UTC)):
        case Rest(seconds):
            return min(seconds, LOOK_AGAIN_S)
        case ClearPods():
            await _clear(context)
        case StartListener():
            await _keep(context, observed.verdict, observed.at)
            await _create(context, pods.listener())
        case StartProbers(address, numbers):
            for number in numbers:
                await _create(context, pods.prober(number, address))
        case Conclude(verdict):
            await _conclude(context, verdict)
    return LOOK_S


async def _observe(context: Context) -> ObservedProbe:
    system = context.settings.system_namespace
    policy, known = await context.client.find(NETWORK_POLICIES, PROBE_POLICY, system), None
    if policy is None:
        changes.forget(context, WATCHED_ENFORCEMENT, system, PROBE_POLICY, by=KEY)
    else:
        known = await changes.observe(context, WATCHED_ENFORCEMENT, policy, by=KEY)
    listener = await context.client.find(PODS, PROBE_LISTENER, system)
    probers = [probe_pod(await context.client.find(PODS, name, system)) for name in PROBE_PROBERS]
    wanted = max(1, sum(node.takes_pods for _, node in context.cluster[WATCHED_NODES]))
    verdict, at = (known.verdict, known.at) if known else (None, None)
    there = [each for number, each in enumerate(probers) if number < wanted or each is not None]
    return ObservedProbe(verdict, at, probe_pod(listener), there)


def probe_pod(body: Object | None) -> ProbePod | None:
    """What decisions are made by of a pod."""
    if body is None:
        return None
    metadata, status = body["metadata"], body.get("status") or {}
    container: Object = next(iter(status.get("containerStatuses") or ()), {})
    ended: Object = (container.get("state") or {}).get("terminated") or {}
    return ProbePod(
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        phase=status.get("phase") or "Pending",
        address=status.get("podIP") or "",
        terminating="deletionTimestamp" in metadata,
        exit_code=ended.get("exitCode"),
        said=_said(status, container, ended),
        node=(body.get("spec") or {}).get("nodeName") or "",
    )


def _said(status: Object, container: Object, ended: Object) -> str:
    waiting: Object = (container.get("state") or {}).get("waiting") or {}
    unscheduled = [each for each in status.get("conditions") or () if each.get("status") == "False"]
    for told in (ended, waiting, status, *unscheduled):
        if found := told.get("message") or told.get("reason"):
            return str(found)
    return ""


async def _create(context: Context, manifest: Object) -> None:
    """Makes a pod. Where the cluster does not let us, that is what was found."""
    try:
        with contextlib.suppress(Conflict):
            await context.client.create(PODS, manifest, context.settings.system_namespace)
    except (Forbidden, Invalid) as error:
        await _conclude(context, unknown(Reason.PROBE_FAILED, f"its pod is refused: {error}"[:1024]))


async def _conclude(context: Context, verdict: EnforcementVerdict) -> None:
    log.log(
        logging.WARNING if verdict.enforced is False else logging.INFO,
        "NetworkPolicies: %s: %s",
        verdict.reason,
        verdict.message,
    )
    await _keep(context, verdict, datetime.now(UTC))
    await _clear(context)


async def _keep(context: Context, verdict: EnforcementVerdict | None, at: datetime | None) -> None:
    record = enforcement_record(verdict, at) if verdict and at else None
    manifest = probe_policy(context.settings.system_namespace, record)
    after = await context.client.apply(NETWORK_POLICIES, manifest, manager=FIELD_MANAGER)
    await changes.observe(context, WATCHED_ENFORCEMENT, after, by=KEY)


async def _clear(context: Context) -> None:
    for name in (*PROBE_PROBERS, PROBE_LISTENER):
        with contextlib.suppress(NotFound):
            await context.client.delete(PODS, name, context.settings.system_namespace)


async def _forget(context: Context) -> None:
    """Nobody tries any more: what was found goes. Its pods went with the operator that made them."""
    system = context.settings.system_namespace
    if context.cluster[WATCHED_ENFORCEMENT].get(system, PROBE_POLICY) is not None:
        with contextlib.suppress(NotFound):
            await context.client.delete(NETWORK_POLICIES, PROBE_POLICY, system)


def _lost(change: Change[EnforcementFacts]) -> Iterable[Key]:
    """Whoever deletes the policy wants it tried anew."""
    if change.after is None:
        yield KEY
