"""Layers of a function: which versions it names, and whether they can be used together (§1.3, §1.5.5). Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from kubelambda.api import limits
from kubelambda.api.kinds.function_mounts import DeployedLayer
from kubelambda.api.reasons import Reason
from kubelambda.core.code.layer_reference import LayerReference, layer_version_arn, parse_layer
from kubelambda.core.code.layer_sharing import account_root, layer_denial
from kubelambda.core.function.observation import Problem


@dataclass(frozen=True, slots=True)
class LayerVersionFacts:
    """The parts of a LayerVersion that functions are deployed by."""

    uid: str
    layer: str
    number: int
    sha256: str
    size: int
    unzipped_size: int
    signature: str
    runtimes: tuple[str, ...]
    architectures: tuple[str, ...]
    terminating: bool = False
    source: str | None = None
    """Where the archive was fetched from, by name."""
    resolved: str | None = None


@dataclass(frozen=True, slots=True)
class LayerScope:
    """The account whose layers a function may use in any case, and what the layers must fit."""

    region: str
    account: str
    runtime: str
    architecture: str = "x86_64"


@dataclass(frozen=True, slots=True)
class ChosenLayer:
    """A layer version that a function names and may use."""

    arn: str
    version: LayerVersionFacts

    @property
    def deployed(self) -> DeployedLayer:
        """What environments need to know of it."""
        return DeployedLayer(arn=self.arn, sha256=self.version.sha256, size=self.version.size)


def chosen_layers(
    names: Sequence[str],
    versions: Mapping[str, LayerVersionFacts],
    scope: LayerScope,
    shared: Mapping[str, LayerVersionFacts] = MappingProxyType({}),
) -> tuple[ChosenLayer, ...] | Problem:
    """The versions that `names` are, in their order, or why they cannot be used, in Lambda's words where it has them.

    `versions` are those of the function's namespace, by name of the object; `shared` those of other accounts that the
    function may use, by ARN.
    """
    named: dict[str, tuple[LayerReference, str]] = {}
    for name in names:
        reference = parse_layer(name)
        if reference is None:
            return _refused(f"{name} names no layer version")
        arn = layer_version_arn(
            reference.region or scope.region, reference.account or scope.account, reference.layer, reference.number
        )
        layer_arn = arn.rpartition(":")[0]  # two accounts may have layers of one name
        if (known := named.get(layer_arn)) is not None:
            text = "Two different versions of the same layer are not allowed to be referenced in the same function."
            return _refused(f"{text} {known[1]} and {arn} are versions of the same layer.")
        named[layer_arn] = (reference, arn)
    found: list[ChosenLayer] = []
    for reference, arn in named.values():
        out_of_reach = _out_of_reach(reference, scope)
        if out_of_reach is not None:
            return _refused(out_of_reach)
        if reference.account in (None, scope.account):
            version = _own(reference, arn, versions, scope)
        else:
            version = _of_others(arn, shared, scope)
        if isinstance(version, Problem):
            return version
        found.append(ChosenLayer(arn, version))
    return tuple(found)


def _own(
    reference: LayerReference, arn: str, versions: Mapping[str, LayerVersionFacts], scope: LayerScope
) -> LayerVersionFacts | Problem:
    version = versions.get(reference.object_name)
    if version is None or (version.layer, version.number) != (reference.layer, reference.number):
        return Problem(Reason.LAYER_NOT_FOUND, f"Layer version {arn} does not exist.")
    return _fitting(version, arn, scope)


def _of_others(arn: str, shared: Mapping[str, LayerVersionFacts], scope: LayerScope) -> LayerVersionFacts | Problem:
    """What is not shared with the account, it does not learn of either."""
    version = shared.get(arn)
    if version is None:
        return Problem(Reason.LAYER_NOT_FOUND, layer_denial(account_root(scope.account), arn))
    return _fitting(version, arn, scope)


def _fitting(version: LayerVersionFacts, arn: str, scope: LayerScope) -> LayerVersionFacts | Problem:
    for fit, mine in ((version.runtimes, scope.runtime), (version.architectures, scope.architecture)):
        if fit and mine not in fit:
            return _refused(f"Layer version {arn} is compatible with {', '.join(fit)}, not with {mine}.")
    return version


def _out_of_reach(reference: LayerReference, scope: LayerScope) -> str | None:
    if reference.number < 1:
        return "Layer Version Cannot be less than 1"
    if reference.region not in (None, scope.region):
        text = "Layers are not in the same region as the function."
        return f"{text} Layers are expected to be in region {scope.region}."
    return None


def too_large_together(code_bytes: int, layers: Iterable[LayerVersionFacts]) -> Problem | None:
    """What is in the way of unpacking code and layers into one environment; `code_bytes` are the code's, unpacked."""
    total = code_bytes + sum(layer.unzipped_size for layer in layers)
    if total < limits.UNZIPPED_MAX_BYTES:
        return None
    return _refused(
        f"Function code combined with layers exceeds the maximum allowed size of {limits.UNZIPPED_MAX_BYTES} bytes. "
        f"The actual size is {total} bytes."
    )


def _refused(message: str) -> Problem:
    return Problem(Reason.INVALID_LAYERS, message, terminal=True)
