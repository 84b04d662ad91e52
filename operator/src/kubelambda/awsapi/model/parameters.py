"""The parameters of an operation out of the parts of a request that carry them (rest-json)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubelambda.awsapi.model.service_model import Operation, ServiceModel

_TRUTH = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Parts:
    """Where parameters are in a request. Header names are lower case."""

    labels: Mapping[str, str]
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: Mapping[str, Any]


def collect(model: ServiceModel, operation: Operation, parts: Parts) -> dict[str, Any]:
    """Parameters by member name. What cannot be what its shape says stays as it came, for `constraints` to say so."""
    members = model.members(operation.input)
    elsewhere = {name for name, member in members.items() if "location" in member}
    found = {name: _part(model, name, members[name], parts) for name in elsewhere}
    found |= {name: value for name, value in parts.body.items() if name not in elsewhere}
    return {name: value for name, value in found.items() if value is not None}


def _part(model: ServiceModel, name: str, member: Mapping[str, Any], parts: Parts) -> Any:
    wire_name = member.get("locationName", name)
    kind = model.shape(member["shape"])["type"]
    match member["location"]:
        case "uri":
            text: str | None = parts.labels.get(wire_name)
        case "querystring" if kind == "list":
            return parts.query.get(wire_name)
        case "querystring":
            text = parts.query[wire_name][0] if wire_name in parts.query else None
        case _:
            text = parts.headers.get(wire_name.lower())
    return None if text is None else _typed(kind, text)


def _typed(kind: str, text: str) -> Any:
    if kind in ("integer", "long") and text.removeprefix("-").isdecimal():
        return int(text)
    if kind == "boolean":
        return _TRUTH.get(text.lower(), text)
    return text
