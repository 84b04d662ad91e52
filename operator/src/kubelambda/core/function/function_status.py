"""The status of a Function out of what was observed: pure, the same for the same observation (§1.4).

```
            no deployment yet       a deployment serves
  waiting   Pending                 Active, update InProgress: the code is fetched, or the platform is at fault
  problem   Failed                  Active, update Failed: the previous deployment stays
  none      Active, Successful      Active, update Successful
```

What goes missing after an update that was successful is no failure of that update: conditions tell it.
"""

import base64
from collections.abc import Sequence
from datetime import datetime

from kubelambda.api.conditions import Condition, conditions_of, merge
from kubelambda.api.kinds.deployed_configuration import DeployedCode, DeployedConfiguration
from kubelambda.api.kinds.deployed_signing import DeployedSigning
from kubelambda.api.kinds.function import FunctionSpec, FunctionStatus, LastUpdateStatus, State
from kubelambda.api.kinds.function_image import IMAGE_RUNTIME, DeployedImage
from kubelambda.api.kinds.function_mounts import DeployedFileSystem, DeployedLayer
from kubelambda.api.kinds.runtime import RuntimeSpec
from kubelambda.api.kinds.vpc_config import DeployedNetwork
from kubelambda.api.reasons import Reason
from kubelambda.core.function.observation import Observation, Problem
from kubelambda.core.function.problems import Finding, findings, first_fault
from kubelambda.core.function.revision import NOT_OF_ENVIRONMENTS, revision

CREATING = "The function is being created."


def deployed_configuration(
    name: str,
    spec: FunctionSpec,
    runtime: RuntimeSpec,
    code: DeployedCode | DeployedImage,
    network: DeployedNetwork | None = None,
    *,
    layers: Sequence[DeployedLayer] = (),
    file_systems: Sequence[DeployedFileSystem] = (),
    signing: DeployedSigning | None = None,
    bandwidth_mbit: int | None = None,
) -> DeployedConfiguration:
    """The snapshot that frontends run. Its revision also covers what the runtime makes environments from."""
    found = DeployedConfiguration(
        revision="0" * 16,
        function_name=spec.function_name,
        runtime=spec.runtime or IMAGE_RUNTIME,
        handler=spec.handler or "",
        code=DeployedCode(sha256=code.digest, size=0) if isinstance(code, DeployedImage) else code,
        image=code if isinstance(code, DeployedImage) else None,
        memory_size=spec.memory_size,
        timeout=spec.timeout,
        ephemeral_storage=spec.ephemeral_storage.size,
        environment=spec.environment,
        network=network,
        layers=list(layers),
        file_systems=list(file_systems),
        signing=signing,
        bandwidth_mbit=bandwidth_mbit,
        dead_letter_target=spec.dead_letter_config.target_arn if spec.dead_letter_config else None,
        log_group=spec.logging_config.log_group or f"/aws/lambda/{spec.function_name or name}",
    )
    made_from = found.model_dump(mode="json", by_alias=True, exclude=NOT_OF_ENVIRONMENTS)
    made_from |= {"image": runtime.image, "bootstrap": runtime.bootstrap}
    return found.model_copy(update={"revision": revision(made_from)})


def decide(observed: Observation, now: datetime) -> FunctionStatus:
    """The status to report. A failed update leaves the previous deployment serving (§1.4.3)."""
    before, found = observed.before, findings(observed)
    deployed = _deployed(observed)
    fault = _fault_of_update(observed, found)
    state, update = _states(fault, deployed=deployed is not None)
    reason = None if fault is None else CREATING if fault.reason is Reason.IN_PROGRESS else fault.message
    code = fault.code if fault else None
    return FunctionStatus(
        observed_generation=observed.generation,
        state=state,
        state_reason=reason if state is not State.ACTIVE else None,
        state_reason_code=code if state is not State.ACTIVE else None,
        last_update_status=update,
        last_update_status_reason=reason if update else None,
        last_update_status_reason_code=code if update else None,
        last_modified=lambda_time(now) if _modified(before.deployed, deployed) else before.last_modified,
        function_arn=observed.arn,
        function_url=observed.url,
        code_size=deployed.code.size if deployed else None,
        code_sha256=code_sha256(deployed.code) if deployed else None,
        reserved_concurrent_executions=observed.grant.granted,
        deployed=deployed,
        last_published=before.last_published,
        conditions=merge(before.conditions, _conditions(observed, found, now)),
    )


def _deployed(observed: Observation) -> DeployedConfiguration | None:
    network, layers, file_systems = observed.network, observed.layers, observed.file_systems
    if isinstance(network, Problem) or isinstance(layers, Problem) or isinstance(file_systems, Problem):
        return observed.before.deployed
    signing = observed.signing
    if isinstance(signing, Problem):
        return observed.before.deployed
    match (observed.spec, observed.runtime, observed.code, observed.references):
        case (FunctionSpec() as spec, RuntimeSpec() as runtime, DeployedCode() | DeployedImage() as code, None):
            return deployed_configuration(
                observed.name,
                spec,
                runtime,
                code,
                network,
                layers=layers,
                file_systems=file_systems,
                signing=signing,
                bandwidth_mbit=observed.bandwidth_mbit,
            )
    return observed.before.deployed


def _states(fault: Finding | None, *, deployed: bool) -> tuple[State, LastUpdateStatus | None]:
    """Whether it can be invoked, and how the update went: Lambda reports none of a function that was never there."""
    if fault is None:
        return (State.ACTIVE, LastUpdateStatus.SUCCESSFUL) if deployed else (State.PENDING, None)
    if deployed:
        return State.ACTIVE, LastUpdateStatus.IN_PROGRESS if fault.ours else LastUpdateStatus.FAILED
    return State.PENDING if fault.ours else State.FAILED, None


def _fault_of_update(observed: Observation, found: list[Finding]) -> Finding | None:
    """What keeps the present spec and code from being deployed. Where they are, what went missing since hides nothing.

    That they cannot be looked at meanwhile is no failure either.
    """
    faults = [finding for finding in found if finding.blocks and not finding.good]
    if any(fault.outside for fault in faults) and _is_updated(observed):
        faults = [fault for fault in faults if not fault.outside and not fault.ours]
    return faults[0] if faults else None


def _is_updated(observed: Observation) -> bool:
    """Whether the present spec has been deployed, with the code that it means now, as far as that is known."""
    before, code = observed.before, observed.code
    if before.deployed is None or before.last_update_status is not LastUpdateStatus.SUCCESSFUL:
        return False
    digest = code.digest if isinstance(code, DeployedImage) else code.sha256 if isinstance(code, DeployedCode) else None
    return before.observed_generation == observed.generation and digest in (None, before.deployed.code.sha256)


def _modified(before: DeployedConfiguration | None, after: DeployedConfiguration | None) -> bool:
    """Whether people changed something; another image of the runtime or setting of the installation is none of it."""
    if before is None or after is None:
        return after is not None
    return before.model_copy(update={"revision": after.revision, "bandwidth_mbit": after.bandwidth_mbit}) != after


def _conditions(observed: Observation, found: list[Finding], now: datetime) -> list[Condition]:
    fault = first_fault(found)
    ready = Finding("Ready", "True", Reason.DEPLOYED, "environments run this configuration")
    if fault is not None:
        ready = Finding("Ready", "False", fault.reason, fault.message)
    told = [ready, *found]
    if fault is not None:
        told.append(Finding("Stalled" if fault.hopeless else "Reconciling", "True", fault.reason, fault.message))
    facts = ((each.condition, each.status, each.reason, each.message) for each in told if each.condition is not None)
    return conditions_of(facts, now, generation=observed.generation)


def code_sha256(code: DeployedCode) -> str:
    """The digest as Lambda writes it: base64."""
    return base64.b64encode(bytes.fromhex(code.sha256)).decode()


def lambda_time(now: datetime) -> str:
    """A time as Lambda writes it."""
    return now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03d}+0000"
