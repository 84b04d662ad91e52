"""Between Lambda's members and the fields of our kinds: the same names, but for the case of the first letter."""

from collections.abc import Mapping
from typing import Any

from kubelambda.awsapi.model.service_model import ServiceModel, Shape


def field_name(member: str) -> str:
    """`BatchSize` as `batchSize`, `URI` as `uri`."""
    return member.lower() if member.isupper() else member[:1].lower() + member[1:]


def to_field(model: ServiceModel, shape_name: str, value: Any) -> Any:
    """A parameter of the shape as our kinds write it. Keys of maps are the caller's own and stay."""
    shape = model.shape(shape_name)
    match shape["type"]:
        case "structure":
            members = shape["members"]
            return {field_name(name): to_field(model, members[name]["shape"], each) for name, each in value.items()}
        case "list":
            return [to_field(model, shape["member"]["shape"], each) for each in value]
        case "map":
            return {name: to_field(model, shape["value"]["shape"], each) for name, each in value.items()}
    return value


def from_field(model: ServiceModel, shape_name: str, value: Any) -> Any:
    """What our kinds say, as a member of the shape; fields that it has no member for are left out."""
    shape = model.shape(shape_name)
    match shape["type"]:
        case "structure":
            return members_of(model, shape, value)
        case "list":
            return [from_field(model, shape["member"]["shape"], each) for each in value]
        case "map":
            return {name: from_field(model, shape["value"]["shape"], each) for name, each in value.items()}
    return value


def members_of(model: ServiceModel, shape: Shape, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Members of a structure that fields give a value to."""
    found = {name: (member["shape"], fields.get(field_name(name))) for name, member in shape["members"].items()}
    return {name: from_field(model, member, value) for name, (member, value) in found.items() if value is not None}
