"""The status of a Function out of what was observed: pure, the same for the same observation (§1.4).

```
            no deployment yet                      a deployment serves
  fetching  Pending                                Active, update InProgress
  problem   Failed (Pending when it is ours)       Active, update Failed: the previous deployment stays
  none      Active, update Successful              Active, update Successful
```
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from kubelambda.api.conditions import Condition, ConditionStatus, merge, timestamp
from kubelambda.api.kinds.function import (
    DeployedCode,
    DeployedConfiguration,
    FunctionSpec,
    FunctionStatus,
    LastUpdateStatus,
    State,
)
from kubelambda.api.kinds.runtime import RuntimeSpec
from kubelambda.api.reasons import Reason
from kubelambda.core.account.reserved_concurrency import Grant
from kubelambda.core.function.revision import revision

CREATING = "The function is being created."
FETCHING = "the code is being fetched"
_MESSAGE_MAX_CHARS = 1024
_STATE_REASON_CODES = {
    Reason.RUNTIME_NOT_FOUND: "InvalidRuntime",
    Reason.INVALID_CODE: "InvalidZipFileException",
    Reason.CODE_UNAVAILABLE: "InvalidZipFileException",
    Reason.CODE_STORE_UNAVAILABLE: "InternalError",
}

type Fact = tuple[str, ConditionStatus, Reason, str]
"""A condition's type, status, reason and message."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a Function cannot be deployed as it stands."""

    reason: Reason
    message: str
    terminal: bool = False
    """Whether nothing but a change of the spec can help; otherwise it is tried again."""

    @property
    def code(self) -> str:
        """Lambda's word for it (§1.4.6)."""
        return _STATE_REASON_CODES.get(self.reason, "InvalidConfiguration")


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything that a status depends on. `code` is None while it is fetched."""

    name: str
    generation: int
    arn: str
    before: FunctionStatus
    grant: Grant
    spec: FunctionSpec | Problem
    runtime: RuntimeSpec | Problem | None = None
    code: DeployedCode | Problem | None = None
    references: Problem | None = None

    @property
    def problem(self) -> Problem | None:
        """The first thing that is in the way."""
        found = (self.spec, self.runtime, self.code, self.references)
        return next((each for each in found if isinstance(each, Problem)), None)


def deployed_configuration(
    name: str, spec: FunctionSpec, runtime: RuntimeSpec, code: DeployedCode
) -> DeployedConfiguration:
    """The snapshot that frontends run. Its revision also covers what the runtime makes environments from."""
    if spec.runtime is None or spec.handler is None:
        raise ValueError("only zip functions are served")
    found = DeployedConfiguration(
        revision="0" * 16,
        function_name=spec.function_name,
        runtime=spec.runtime,
        handler=spec.handler,
        code=code,
        memory_size=spec.memory_size,
        timeout=spec.timeout,
        ephemeral_storage=spec.ephemeral_storage.size,
        environment=spec.environment,
        log_group=spec.logging_config.log_group or f"/aws/lambda/{spec.function_name or name}",
    )
    made_from = found.model_dump(mode="json", by_alias=True) | {"image": runtime.image, "bootstrap": runtime.bootstrap}
    return found.model_copy(update={"revision": revision(made_from)})


def decide(observed: Observation, now: datetime) -> FunctionStatus:
    """The status to report. A failed update leaves the previous deployment serving (§1.4.3)."""
    before, problem = observed.before, observed.problem
    deployed = _deployed(observed)
    fetching = problem is None and observed.code is None
    state, state_problem = _state(deployed, problem, fetching=fetching)
    update = LastUpdateStatus.FAILED if problem else LastUpdateStatus.SUCCESSFUL
    if fetching:
        update = LastUpdateStatus.IN_PROGRESS
    update_problem = problem or (Problem(Reason.IN_PROGRESS, CREATING) if fetching else None)
    return FunctionStatus(
        observed_generation=observed.generation,
        state=state,
        state_reason=state_problem.message if state_problem else None,
        state_reason_code=_code(state_problem),
        # Lambda reports no update of a function that was never there.
        last_update_status=update if deployed else None,
        last_update_status_reason=update_problem.message if deployed and update_problem else None,
        last_update_status_reason_code=_code(update_problem) if deployed else None,
        last_modified=_lambda_time(now) if _modified(before.deployed, deployed) else before.last_modified,
        function_arn=observed.arn,
        code_size=deployed.code.size if deployed else None,
        code_sha256=base64.b64encode(bytes.fromhex(deployed.code.sha256)).decode() if deployed else None,
        reserved_concurrent_executions=observed.grant.granted,
        deployed=deployed,
        conditions=merge(before.conditions, _conditions(observed, now)),
    )


def _deployed(observed: Observation) -> DeployedConfiguration | None:
    match (observed.spec, observed.runtime, observed.code, observed.references):
        case (FunctionSpec() as spec, RuntimeSpec() as runtime, DeployedCode() as code, None):
            return deployed_configuration(observed.name, spec, runtime, code)
    return observed.before.deployed


def _state(
    deployed: DeployedConfiguration | None, problem: Problem | None, *, fetching: bool
) -> tuple[State, Problem | None]:
    if deployed:
        return State.ACTIVE, None
    if fetching or problem is None or problem.reason is Reason.CODE_STORE_UNAVAILABLE:
        return State.PENDING, problem or Problem(Reason.IN_PROGRESS, CREATING)
    return State.FAILED, problem


def _code(problem: Problem | None) -> str | None:
    if problem is None:
        return None
    return "Creating" if problem.reason is Reason.IN_PROGRESS else problem.code


def _modified(before: DeployedConfiguration | None, after: DeployedConfiguration | None) -> bool:
    """Whether people changed something; a new image of the runtime alone is no modification."""
    if before is None or after is None:
        return after is not None
    return before.model_copy(update={"revision": after.revision}) != after


def _conditions(observed: Observation, now: datetime) -> list[Condition]:
    facts = [_ready(observed), *_parts(observed), _concurrency(observed.grant)]
    _, status, reason, message = facts[0]
    if status == "False":
        problem = observed.problem
        hopeless = problem.terminal if problem else observed.grant.refusal is not None
        facts.append(("Stalled" if hopeless else "Reconciling", "True", reason, message))
    return [
        Condition(
            type=kind,
            status=status,
            reason=reason,
            message=message[:_MESSAGE_MAX_CHARS],
            observed_generation=observed.generation,
            last_transition_time=timestamp(now),
        )
        for kind, status, reason, message in facts
    ]


def _ready(observed: Observation) -> Fact:
    """The summary: the first thing that is in the way."""
    if observed.problem:
        return "Ready", "False", observed.problem.reason, observed.problem.message
    if observed.code is None:
        return "Ready", "False", Reason.IN_PROGRESS, FETCHING
    if observed.grant.refusal:
        return "Ready", "False", Reason.REFUSED, observed.grant.refusal
    return "Ready", "True", Reason.DEPLOYED, "environments run this configuration"


def _parts(observed: Observation) -> Iterator[Fact]:
    """Runtime and code, as far as they were looked at; what was not has no condition."""
    match observed.runtime:
        case Problem() as missing:
            yield "RuntimeReady", "False", missing.reason, missing.message
        case RuntimeSpec():
            yield "RuntimeReady", "True", Reason.RUNTIME_FOUND, ""
    match observed.code:
        case Problem() as unusable:
            yield "CodeReady", "False", unusable.reason, unusable.message
        case DeployedCode() as code:
            yield "CodeReady", "True", Reason.CODE_PUBLISHED, f"{code.size} bytes, sha256 {code.sha256}"
        case None if isinstance(observed.runtime, RuntimeSpec):
            yield "CodeReady", "Unknown", Reason.IN_PROGRESS, FETCHING


def _concurrency(grant: Grant) -> Fact:
    if grant.refusal:
        return "ConcurrencyGranted", "False", Reason.REFUSED, grant.refusal
    if grant.granted is None:
        message = "the function shares the unreserved concurrency of its account"
        return "ConcurrencyGranted", "True", Reason.NOT_REQUESTED, message
    return "ConcurrencyGranted", "True", Reason.GRANTED, f"{grant.granted} concurrent executions are reserved"


def _lambda_time(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03d}+0000"
