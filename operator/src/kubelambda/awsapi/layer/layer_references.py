"""Layers that a function shall have: whether they can be used, said before anything is written (§1.3, Appendix A)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from kubelambda.api import limits
from kubelambda.awsapi.account.directory import AccountView
from kubelambda.awsapi.api_error import ApiError, invalid_parameter
from kubelambda.awsapi.call import Call, Services
from kubelambda.awsapi.layer.layer_objects import LayerName, find_layer_version_object, require_shared
from kubelambda.core.code.layer_reference import LayerReference, parse_layer

_TWICE: Final = "Two different versions of the same layer are not allowed to be referenced in the same function."


@dataclass(frozen=True, slots=True)
class NamedLayer:
    """The archive of a layer version: its digest, and its bytes."""

    sha256: str
    size: int


async def named_layers(services: Services, call: Call, account: AccountView) -> dict[str, NamedLayer]:
    """The layers that the call names, by ARN. Raises `ApiError`."""
    arns: list[str] = call.parameters.get("Layers") or []
    if len(arns) > limits.LAYERS_MAX:
        raise invalid_parameter(f"Cannot reference more than {limits.LAYERS_MAX} layers.")
    known: dict[str, str] = {}
    found: dict[str, NamedLayer] = {}
    for arn in arns:
        reference = parse_layer(arn)
        if reference is None:
            raise _absent(arn)
        if reference.layer in known:
            raise invalid_parameter(f"{_TWICE} {known[reference.layer]} and {arn} are versions of the same layer.")
        known[reference.layer] = arn
        found[arn] = await _named(services, call, account, reference, arn)
    return found


async def _named(
    services: Services, call: Call, account: AccountView, reference: LayerReference, arn: str
) -> NamedLayer:
    region = services.settings.region
    if reference.number < 1:
        raise invalid_parameter("Layer Version Cannot be less than 1")
    if reference.region != region:
        text = "Layers are not in the same region as the function."
        raise invalid_parameter(f"{text} Layers are expected to be in region {region}.")
    name = LayerName(account, region, reference.layer, reference.number)
    if reference.account != account.id:
        owner = services.accounts.by_id(reference.account or "") or AccountView("", reference.account or "", None)
        name = replace(name, account=owner)
        await require_shared(services, call, name, account)
    body = await find_layer_version_object(services, name)
    if body is None or "deletionTimestamp" in body["metadata"]:
        raise _absent(arn)
    content = body["spec"]["content"]
    return NamedLayer(content["sha256"], content["size"])


def with_layer_sizes(members: dict[str, Any], layers: Mapping[str, NamedLayer]) -> dict[str, Any]:
    """A FunctionConfiguration with the sizes of layers that are not deployed yet."""
    for layer in members.get("Layers", ()):
        if not layer["CodeSize"] and layer["Arn"] in layers:
            layer["CodeSize"] = layers[layer["Arn"]].size
    return members


def _absent(arn: str) -> ApiError:
    return invalid_parameter(f"Layer version {arn} does not exist.")
