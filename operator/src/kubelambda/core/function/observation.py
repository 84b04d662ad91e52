"""What was observed of a Function: everything that its status depends on."""

from dataclasses import dataclass

from pydantic import ValidationError

from kubelambda.api.conditions import Condition, Fact
from kubelambda.api.kinds.deployed_configuration import DeployedCode
from kubelambda.api.kinds.deployed_signing import DeployedSigning
from kubelambda.api.kinds.function import FunctionSpec, FunctionStatus
from kubelambda.api.kinds.function_image import DeployedImage
from kubelambda.api.kinds.function_mounts import DeployedFileSystem, DeployedLayer
from kubelambda.api.kinds.runtime import RuntimeSpec
from kubelambda.api.kinds.vpc_config import DeployedNetwork
from kubelambda.api.reasons import Reason
from kubelambda.core.account.reserved_concurrency import Grant
from kubelambda.core.network.enforcement_probe import EnforcementVerdict
from kubelambda.core.pool.runtime_status import PoolFailure


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something cannot be used as it stands, as whoever looked at it says it."""

    reason: Reason
    message: str
    terminal: bool = False
    """Whether nothing but a change of the spec can help; otherwise it is tried again."""

    @property
    def facts(self) -> list[Fact]:
        """What conditions say of an object that cannot be used because of it."""
        kind = "Stalled" if self.terminal else "Reconciling"
        return [("Ready", "False", self.reason, self.message), (kind, "True", self.reason, self.message)]


def invalid_spec(error: ValidationError) -> Problem:
    """What is wrong with a spec that this release cannot read, by the first place that is."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in ("spec", *first["loc"]))
    return Problem(Reason.INVALID_SPEC, f"{where}: {first['msg']}", terminal=True)


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
    pool_failure: PoolFailure | None = None
    """Why no more environments start that it could have, where none do."""
    code: DeployedCode | DeployedImage | Problem | None = None
    references: Problem | None = None
    network: DeployedNetwork | Problem | None = None
    """Where its vpcConfig puts it; None for a function without."""
    enforcement: EnforcementVerdict | None = None
    """Whether the cluster enforces NetworkPolicies; None for a function without a vpcConfig."""
    layers: tuple[DeployedLayer, ...] | Problem = ()
    url: str | None = None
    """Its HTTP address, where it has one."""
    file_systems: tuple[DeployedFileSystem, ...] | Problem = ()
    mounted: Condition | None = None
    """Whether environments could mount them, where that was tried."""
    destinations: Fact | None = None
    """Whether the EventTargets are there that its destinations name; None where they name none."""
    signing: DeployedSigning | Problem | None = None
    """What the signatures say; None of a function without a code signing configuration."""
    bandwidth_mbit: int | None = None
    """Its share of the network; None where nobody limits it."""
