"""The status of a Function out of what was observed: pure, the same for the same observation (§1.4)."""

import base64
from dataclasses import dataclass
from datetime import datetime

from kubelambda.api.conditions import Condition, ConditionStatus, merge, timestamp
from kubelambda.api.function import (
    DeployedCode,
    DeployedConfiguration,
    FunctionSpec,
    FunctionStatus,
    LastUpdateStatus,
    State,
)
from kubelambda.api.reasons import Reason
from kubelambda.core.reserved_concurrency import Grant
from kubelambda.core.revision import revision


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a Function cannot be deployed as it stands."""

    reason: Reason
    message: str
    state_reason_code: str = "InvalidConfiguration"


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything that a status depends on. `code` is None when it could not be fetched and published."""

    name: str
    generation: int
    arn: str
    before: FunctionStatus
    spec: FunctionSpec | None
    code: DeployedCode | None
    problem: Problem | None
    grant: Grant


def deployed_configuration(name: str, spec: FunctionSpec, code: DeployedCode) -> DeployedConfiguration:
    """The snapshot that frontends run."""
    if spec.runtime is None or spec.handler is None:
        raise ValueError("only zip functions are served")
    found = DeployedConfiguration(
        revision="0" * 16,
        runtime=spec.runtime,
        handler=spec.handler,
        code=code,
        memory_size=spec.memory_size,
        timeout=spec.timeout,
        ephemeral_storage=spec.ephemeral_storage.size,
        environment=spec.environment,
        log_group=spec.logging_config.log_group or f"/aws/lambda/{name}",
    )
    return found.model_copy(update={"revision": revision(found.model_dump(mode="json", by_alias=True))})


def decide(observed: Observation, now: datetime) -> FunctionStatus:
    """The status to report. A failed update leaves the previous deployment serving (§1.4.3)."""
    before = observed.before
    deployed, problem = before.deployed, observed.problem
    if problem is None and observed.spec is not None and observed.code is not None:
        deployed = deployed_configuration(observed.name, observed.spec, observed.code)
    changed = deployed is not None and deployed != before.deployed
    code_sha256 = base64.b64encode(bytes.fromhex(deployed.code.sha256)).decode() if deployed else None
    return FunctionStatus(
        observed_generation=observed.generation,
        state=State.ACTIVE if deployed else State.FAILED,
        state_reason=None if deployed or problem is None else problem.message,
        state_reason_code=None if deployed or problem is None else problem.state_reason_code,
        last_update_status=LastUpdateStatus.FAILED if problem else LastUpdateStatus.SUCCESSFUL,
        last_update_status_reason=problem.message if problem else None,
        last_update_status_reason_code=problem.state_reason_code if problem else None,
        last_modified=_lambda_time(now) if changed else before.last_modified,
        function_arn=observed.arn,
        code_size=deployed.code.size if deployed else None,
        code_sha256=code_sha256,
        reserved_concurrent_executions=observed.grant.granted,
        deployed=deployed,
        conditions=merge(before.conditions, _conditions(observed, now)),
    )


def _conditions(observed: Observation, now: datetime) -> list[Condition]:
    problem, refusal = observed.problem, observed.grant.refusal

    def condition(kind: str, status: ConditionStatus, reason: Reason, message: str) -> Condition:
        return Condition(
            type=kind,
            status=status,
            reason=reason,
            message=message[:1024],
            observed_generation=observed.generation,
            last_transition_time=timestamp(now),
        )

    if problem:
        ready = condition("Ready", "False", problem.reason, problem.message)
    elif refusal:
        ready = condition("Ready", "False", Reason.REFUSED, refusal)
    else:
        ready = condition("Ready", "True", Reason.DEPLOYED, "environments run this configuration")
    stalled = problem is not None or refusal is not None
    concurrency = (
        condition("ConcurrencyGranted", "False", Reason.REFUSED, refusal)
        if refusal
        else condition("ConcurrencyGranted", "True", *_granted(observed.grant.granted))
    )
    return [
        ready,
        concurrency,
        condition("Reconciling", "False", ready_reason(ready), ""),
        condition("Stalled", "True" if stalled else "False", ready_reason(ready), ready.message if stalled else ""),
    ]


def ready_reason(ready: Condition) -> Reason:
    """The reason that the summarising conditions share."""
    return Reason(ready.reason)


def _granted(granted: int | None) -> tuple[Reason, str]:
    if granted is None:
        return Reason.NOT_REQUESTED, "the function shares the unreserved concurrency of its account"
    return Reason.GRANTED, f"{granted} concurrent executions are reserved"


def _lambda_time(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03d}+0000"
