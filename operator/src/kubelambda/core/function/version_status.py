"""The status of a FunctionVersion out of what was observed: pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from kubelambda.api.conditions import Condition, Fact, conditions_of, merge
from kubelambda.api.kinds.deployed_configuration import DeployedConfiguration
from kubelambda.api.kinds.function import State
from kubelambda.api.kinds.function_version import FunctionVersionStatus
from kubelambda.api.kinds.provisioned_concurrency import ProvisionedConcurrencyStatus
from kubelambda.api.kinds.runtime import RuntimeSpec
from kubelambda.api.reasons import Reason
from kubelambda.core.function.function_status import code_sha256, lambda_time
from kubelambda.core.function.observation import Problem
from kubelambda.core.function.provisioning import readiness
from kubelambda.core.function.version_publication import NewVersion, SameVersion, refreshed
from kubelambda.core.network.enforcement_probe import EnforcementVerdict, enforcement_fact

ARCHIVE_LOST: Final = Problem(
    Reason.CODE_UNAVAILABLE, "the code store has lost the archive of this version", terminal=True
)


@dataclass(slots=True)
class VersionObservation:
    """Everything that the status of a version depends on."""

    generation: int
    arn: str
    """Without the qualifier."""
    before: FunctionVersionStatus
    publication: NewVersion | SameVersion | Problem | None = None
    """What publishing gave; None for a version that was published before."""
    runtime: RuntimeSpec | Problem | None = None
    code_lost: Problem | None = None
    """That the code store has its archive no more, or its registry its image: of that, nodes may still have it."""
    holders: tuple[str, ...] = ()
    """Aliases that keep it from being deleted, when somebody wants that."""
    provisioned: ProvisionedConcurrencyStatus | None = None
    destinations: Fact | None = None
    """Whether the EventTargets are there that its destinations name; None where they name none."""
    enforcement: EnforcementVerdict | None = None
    """Whether the cluster enforces NetworkPolicies; None for a version without a vpcConfig."""


def decide_version(observed: VersionObservation, now: datetime) -> FunctionVersionStatus:
    """The status to report. What was published once stays, whatever becomes of the Function."""
    before = observed.before
    deployed = _deployed(observed)
    number = before.version
    if isinstance(observed.publication, NewVersion | SameVersion):
        number = str(observed.publication.number)
    problem = _problem(observed)
    state = State.ACTIVE if number else State.FAILED if problem and problem.terminal else State.PENDING
    return FunctionVersionStatus(
        observed_generation=observed.generation,
        version=number,
        function_arn=f"{observed.arn}:{number}" if number else None,
        state=state,
        state_reason=problem.message if problem and state is not State.ACTIVE else None,
        state_reason_code=_code(state),
        last_modified=before.last_modified or (lambda_time(now) if number else None),
        code_size=deployed.code.size if deployed else None,
        code_sha256=code_sha256(deployed.code) if deployed else None,
        deployed=deployed,
        provisioned_concurrency=observed.provisioned,
        conditions=merge(before.conditions, _conditions(observed, problem, now)),
    )


def _deployed(observed: VersionObservation) -> DeployedConfiguration | None:
    deployed = observed.before.deployed
    if isinstance(observed.publication, NewVersion):
        deployed = observed.publication.deployed
    if deployed is not None and isinstance(observed.runtime, RuntimeSpec):
        return refreshed(deployed, observed.runtime)
    return deployed


def _problem(observed: VersionObservation) -> Problem | None:
    """The first thing that is in the way of running it."""
    if isinstance(observed.publication, Problem):
        return observed.publication
    if observed.code_lost is not None:
        return observed.code_lost
    return observed.runtime if isinstance(observed.runtime, Problem) else None


def _code(state: State) -> str | None:
    return {State.PENDING: "Creating", State.FAILED: "InvalidConfiguration"}.get(state)


def _conditions(observed: VersionObservation, problem: Problem | None, now: datetime) -> list[Condition]:
    facts: list[Fact] = []
    if problem is not None:
        facts += problem.facts
    elif isinstance(observed.publication, SameVersion):
        text = f"nothing changed since version {observed.publication.number}: this is that version"
        facts.append(("Ready", "True", Reason.UNCHANGED, text))
    elif not any(each.reason == Reason.UNCHANGED for each in observed.before.conditions):
        facts.append(("Ready", "True", Reason.PUBLISHED, "the version can be invoked"))
    else:
        kept = next(each for each in observed.before.conditions if each.reason == Reason.UNCHANGED)
        facts.append(("Ready", "True", Reason.UNCHANGED, kept.message))
    if observed.provisioned is not None:
        facts.append(("ProvisionedConcurrencyReady", *readiness(observed.provisioned)))
    if observed.destinations is not None:
        facts.append(observed.destinations)
    if observed.enforcement is not None:
        facts.append(enforcement_fact(observed.enforcement))
    if observed.holders:
        text = f"aliases use this version: {', '.join(sorted(observed.holders))}; point them elsewhere first"
        facts.append(("DeletionRefused", "True", Reason.IN_USE, text))
    return conditions_of(facts, now, generation=observed.generation)
