"""Where an alias leads, and what it says of itself, out of what was observed: pure (§1.5.2, §5.7).

A move is made before the old version is left: callers get the new version once its provisioned environments are
available. Until then, also when that takes too long, the old one serves with its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from kubelambda.api.conditions import Fact, conditions_of, merge, timestamp
from kubelambda.api.kinds.alias import AliasMove, AliasSpec, AliasStatus
from kubelambda.api.kinds.provisioned_concurrency import ProvisionedConcurrencyState
from kubelambda.api.reasons import Reason
from kubelambda.core.account.reserved_concurrency import Grant
from kubelambda.core.event.named_targets import DESTINATIONS_READY
from kubelambda.core.function.observation import Problem
from kubelambda.core.function.provisioning import (
    NO_PROVISION,
    RELEASE_S,
    Provision,
    provisioned_status,
    readiness,
    replicas,
    seconds_since,
)
from kubelambda.core.function.version_route import VersionRoute

LATEST = "$LATEST"
OWN_CONDITIONS = frozenset({"Ready", "ProvisionedConcurrencyReady", DESTINATIONS_READY, "Reconciling", "Stalled"})
"""What the operator says; ScalingActive is the scaler's."""

LEAVE_S = 5.0
"""Frontends hear well within this long that an alias leads elsewhere, busy as the cluster may be; then the environments
that it led to may go."""


@dataclass(frozen=True, slots=True)
class VersionState:
    """A version as far as an alias cares."""

    code_sha256: str | None = None
    fault: str = ""
    """Why it cannot be invoked."""


@dataclass(frozen=True, slots=True)
class AliasObservation:
    """Everything that the status of an alias depends on."""

    generation: int
    spec: AliasSpec
    before: AliasStatus
    arn: str
    """Of the function, without a qualifier."""
    function_exists: bool
    elder: str | None
    """The older object that is the same alias of the same function."""
    versions: Mapping[str, VersionState]
    """By number, and $LATEST while the function has a deployment."""
    requested: int = 0
    """Provisioned environments that are asked for now."""
    grant: Grant = field(default_factory=lambda: Grant(0))
    url: str | None = None
    """Its HTTP address, where it has one."""
    destinations: Fact | None = None
    """Whether the EventTargets are there that its destinations name; None where they name none."""
    provisions: Mapping[str, Provision] = field(default_factory=dict)
    """What there is of them, by version."""


@dataclass(frozen=True, slots=True)
class AliasDecision:
    """What to report, the provisioned environments to keep by version, and when time alone changes something."""

    status: AliasStatus
    replicas: Mapping[str, int]
    look_again_s: float | None = None


def the_only_one(observed: AliasObservation, wanted: VersionRoute | None) -> Problem | None:  # noqa: ARG001 - one shape of check
    """Of two objects the older one is the alias."""
    if observed.elder is None:
        return None
    text = f"Alias {observed.elder} is alias {observed.spec.name} of function {observed.spec.function_name} already"
    return Problem(Reason.DUPLICATE, text, terminal=True)


def function_exists(observed: AliasObservation, wanted: VersionRoute | None) -> Problem | None:  # noqa: ARG001
    """Nothing can be invoked without."""
    if observed.function_exists:
        return None
    return Problem(Reason.FUNCTION_NOT_FOUND, f"Function not found: {observed.arn}")


def code_is_known(observed: AliasObservation, wanted: VersionRoute | None) -> Problem | None:
    """A version with the code that the alias names."""
    if wanted is not None:
        return None
    return Problem(Reason.VERSION_NOT_FOUND, f"no version has the code with SHA-256 {observed.spec.code_sha256}")


def versions_exist(observed: AliasObservation, wanted: VersionRoute | None) -> Problem | None:
    """Both of them."""
    for version in wanted.versions() if wanted else ():
        if version not in observed.versions:
            return Problem(Reason.VERSION_NOT_FOUND, f"Function not found: {observed.arn}:{version}")
    return None


def versions_differ(observed: AliasObservation, wanted: VersionRoute | None) -> Problem | None:  # noqa: ARG001
    """The schema cannot tell when the version is found by its code."""
    if wanted is None or wanted.version not in wanted.weights:
        return None
    text = (
        f"Invalid function version {wanted.version}. Function version {wanted.version} is already included in "
        "routing configuration."
    )
    return Problem(Reason.INVALID_SPEC, text, terminal=True)


def versions_can_run(observed: AliasObservation, wanted: VersionRoute | None) -> Problem | None:
    """A version that has failed takes no traffic."""
    for version in wanted.versions() if wanted else ():
        fault = observed.versions[version].fault
        if fault:
            return Problem(Reason.VERSION_NOT_READY, f"version {version} cannot be invoked: {fault}")
    return None


CHECKS: tuple[Callable[[AliasObservation, VersionRoute | None], Problem | None], ...] = (
    the_only_one,
    function_exists,
    code_is_known,
    versions_exist,
    versions_differ,
    versions_can_run,
)


def decide_alias(observed: AliasObservation, now: datetime) -> AliasDecision:
    """The route, its environments, and the words for both."""
    before, wanted = observed.before, _wanted(observed)
    problem = next((found for check in CHECKS if (found := check(observed, wanted))), None)
    present = _present(observed)
    allocated = observed.grant.granted or 0
    target = present if problem or wanted is None else wanted
    moving = (
        present is not None and target is not None and target != present and not _there(observed, target, allocated)
    )
    routed = present if moving else target
    move = _move(observed, target, allocated, now) if moving and target else None
    # What callers got until this very decision stays until they have heard of it, whoever dies in between.
    left = present is not None and target is not None and present != target
    wanted_replicas = _replicas(target, present if left else None, allocated) if observed.requested else {}
    reduced_s = seconds_since(before.provisioned_concurrency, observed.requested, now)
    there = observed.provisions
    kept = {
        version: replicas(count, there.get(version, NO_PROVISION), reduced_s=reduced_s)
        for version, count in wanted_replicas.items()
    }
    late = move is not None and _late_by(observed, move, now) >= 0
    status = AliasStatus(
        observed_generation=observed.generation,
        alias_arn=f"{observed.arn}:{observed.spec.name}",
        function_url=None if observed.elder else observed.url,
        function_version=wanted.version if wanted else None,
        routed_version=routed.version if routed else None,
        routed_version_weights=dict(routed.weights) if routed else {},
        move=move,
        selector=before.selector,
        scaling=before.scaling,
        last_scaling_activity=before.last_scaling_activity,
    )
    status = _provisioned(observed, status, routed, target, now)
    told = _told(status, problem, late=late)
    if observed.destinations is not None:
        told.append(observed.destinations)
    own = [each for each in before.conditions if each.type in OWN_CONDITIONS]
    others = [each for each in before.conditions if each.type not in OWN_CONDITIONS]
    conditions = merge(own, conditions_of(told, now, generation=observed.generation))
    wait = -_late_by(observed, move, now) if move and not late else None
    if kept != wanted_replicas:
        wait = min(RELEASE_S - reduced_s, RELEASE_S if wait is None else wait)
    if left and not moving and kept:
        wait = LEAVE_S
    return AliasDecision(status.model_copy(update={"conditions": conditions + others}), kept, wait)


def _wanted(observed: AliasObservation) -> VersionRoute | None:
    """What the spec names; None when its code is nobody's."""
    spec = observed.spec
    version = spec.function_version
    if version is None:
        numbers = [n for n, state in observed.versions.items() if n != LATEST and state.code_sha256 == spec.code_sha256]
        version = max(numbers, key=int, default=None)
    weights = spec.routing_config.additional_version_weights if spec.routing_config else {}
    return None if version is None else VersionRoute(version, weights)


def _present(observed: AliasObservation) -> VersionRoute | None:
    """What callers get so far, as far as it can still be had."""
    version = observed.before.routed_version
    if version is None or version not in observed.versions or observed.elder or not observed.function_exists:
        return None
    weights = {v: w for v, w in observed.before.routed_version_weights.items() if v in observed.versions}
    return VersionRoute(version, weights)


def _there(observed: AliasObservation, route: VersionRoute, environments: int) -> bool:
    shares = route.shares(environments)
    return all(observed.provisions.get(v, NO_PROVISION).available >= count for v, count in shares.items())


def _replicas(target: VersionRoute | None, leaving: VersionRoute | None, environments: int) -> dict[str, int]:
    """Of what is left, as many as it has until nobody gets it any more."""
    found: dict[str, int] = {}
    for route in (leaving, target):
        for version, count in (route.shares(environments) if route else {}).items():
            found[version] = max(count, found.get(version, 0))
    return found


def _move(observed: AliasObservation, target: VersionRoute, environments: int, now: datetime) -> AliasMove:
    """The first version that is not there yet, and since when it is waited for."""
    shares = target.shares(environments).items()
    version = next(v for v, count in shares if observed.provisions.get(v, NO_PROVISION).available < count)
    known = observed.before.move
    return known if known is not None and known.version == version else AliasMove(version=version, since=timestamp(now))


def _late_by(observed: AliasObservation, move: AliasMove, now: datetime) -> float:
    """Seconds beyond the deadline; less than 0 before it."""
    wanted = observed.spec.provisioned_concurrency
    deadline = wanted.progress_deadline_seconds if wanted else 0
    return (now - datetime.fromisoformat(move.since)).total_seconds() - deadline


def _provisioned(
    observed: AliasObservation,
    status: AliasStatus,
    routed: VersionRoute | None,
    target: VersionRoute | None,
    now: datetime,
) -> AliasStatus:
    """How far the environments are that callers get; while it moves, that is in progress whatever there is of them."""
    if observed.spec.provisioned_concurrency is None or observed.elder is not None:
        return status
    available, failing = 0, NO_PROVISION
    allocated = observed.grant.granted or 0
    for version, count in (routed.shares(allocated) if routed else {}).items():
        available += min(count, observed.provisions.get(version, NO_PROVISION).available)
    for version in target.versions() if target else ():
        failing = failing if failing.failure else observed.provisions.get(version, NO_PROVISION)
    before = observed.before.provisioned_concurrency
    if before is not None and observed.before.observed_generation != observed.generation:
        # Whatever failed was of the versions of yesterday.
        before = before.model_copy(update={"status": ProvisionedConcurrencyState.IN_PROGRESS, "init_error": ""})
    found = provisioned_status(
        before,
        observed.requested,
        observed.grant,
        Provision(available, failing.failure, init_error=failing.init_error),
        now,
    )
    if status.move is not None and found.status is ProvisionedConcurrencyState.READY:
        state = ProvisionedConcurrencyState.FAILED if failing.failure else ProvisionedConcurrencyState.IN_PROGRESS
        told = {"status": state, "status_reason": failing.failure, "init_error": failing.init_error}
        found = found.model_copy(update=told)
    return status.model_copy(update={"provisioned_concurrency": found})


def _told(status: AliasStatus, problem: Problem | None, *, late: bool) -> list[Fact]:
    facts: list[Fact] = []
    if problem is not None:
        facts += problem.facts
    elif status.move is not None:
        reason = Reason.PROGRESS_DEADLINE_EXCEEDED if late else Reason.IN_PROGRESS
        text = f"version {status.routed_version} serves until version {status.move.version} is provisioned"
        facts += [("Ready", "False", reason, text), ("Reconciling", "True", reason, text)]
    else:
        shares = "".join(f", version {v} for {w:.0%}" for v, w in status.routed_version_weights.items())
        facts.append(("Ready", "True", Reason.ROUTED, f"callers get version {status.routed_version}{shares}"))
    if status.provisioned_concurrency is not None:
        told = readiness(status.provisioned_concurrency)
        if late and told[0] != "True":
            told = ("False", Reason.PROGRESS_DEADLINE_EXCEEDED, told[2])
        facts.append(("ProvisionedConcurrencyReady", *told))
    return facts
