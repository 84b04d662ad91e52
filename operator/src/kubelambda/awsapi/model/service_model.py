"""A service as botocore describes it: operations with their routes, shapes with their constraints, errors."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import unquote

from kubelambda.api import limits

type Shape = Mapping[str, Any]

_FOLDER = Path(__file__).parent
_LABEL: Final = "{"
# What the model allows for features that nobody but AWS has, or what an installation decides.
_OURS: Final[Mapping[str, Shape]] = {
    "MemorySize": {"type": "integer", "min": limits.MEMORY_MIN_MB, "max": limits.MEMORY_MAX_MB},
    "Timeout": {"type": "integer", "min": limits.TIMEOUT_MIN_S, "max": limits.TIMEOUT_MAX_S},
    "Runtime": {"type": "string"},
    # Names of objects here, which need not begin as AWS's ids do.
    "SubnetId": {"type": "string", "max": 253},
    "SecurityGroupId": {"type": "string", "max": 253},
    "FileSystemArn": {"type": "string", "max": 253},
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: how it is asked for, and what it answers."""

    name: str
    method: str
    segments: tuple[str, ...]
    """Of its path; `{Name}` stands for any one segment."""
    query: tuple[tuple[str, str], ...]
    """What the query must say for it to be this operation and not its neighbour."""
    status: int
    """Of a success."""
    input: str | None
    output: str | None


@dataclass(frozen=True, slots=True)
class Route:
    """An operation that a request asks for, with what its path names."""

    operation: Operation
    labels: Mapping[str, str]


class ServiceModel:
    """Operations and shapes of one service."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._shapes: Mapping[str, Shape] = {**document["shapes"], **_ours(document["shapes"])}
        self.operations = {name: _operation(name, found) for name, found in document["operations"].items()}
        self.target_prefix: str = document["metadata"].get("targetPrefix", "")

    @classmethod
    def load(cls, name: str) -> Self:
        """The model that this package brings under `name`."""
        return cls(json.loads((_FOLDER / f"{name}.json").read_bytes()))

    def shape(self, name: str) -> Shape:
        """A shape. Raises `KeyError`."""
        return self._shapes[name]

    def members(self, name: str | None) -> Mapping[str, Shape]:
        """Members of a structure; none of no structure."""
        return self._shapes[name].get("members", {}) if name else {}

    def route(self, method: str, path: str, query: Mapping[str, list[str]]) -> Route | None:
        """The operation at an encoded `path`; of two, the one that asks more of the query."""
        given = tuple(unquote(segment) for segment in path.strip("/").split("/"))
        found: Route | None = None
        for operation in self.operations.values():
            if operation.method != method or any(value not in query.get(name, ()) for name, value in operation.query):
                continue
            labels = _match(operation.segments, given)
            if labels is not None and (found is None or len(operation.query) > len(found.operation.query)):
                found = Route(operation, labels)
        return found

    def error(self, name: str) -> tuple[int, str]:
        """Status of an error, and the member that carries its text: `Message` of some, `message` of others (§0.2)."""
        found = self._shapes.get(name)
        if found is None or not found.get("exception"):
            return 400, "message"
        status = found.get("error", {}).get("httpStatusCode", 500 if found.get("fault") else 400)
        return status, "Message" if "Message" in found.get("members", {}) else "message"


def _ours(shapes: Mapping[str, Shape]) -> dict[str, Shape]:
    return {name: shape for name, shape in _OURS.items() if name in shapes}


def _operation(name: str, found: Mapping[str, Any]) -> Operation:
    path, _, query = found["http"]["requestUri"].partition("?")
    pairs = tuple(tuple(pair.split("=", 1)) for pair in query.split("&")) if query else ()
    return Operation(
        name=name,
        method=found["http"]["method"],
        segments=tuple(path.strip("/").split("/")),
        query=pairs,
        status=found["http"].get("responseCode", 200),
        input=found.get("input", {}).get("shape"),
        output=found.get("output", {}).get("shape"),
    )


def _match(segments: tuple[str, ...], given: tuple[str, ...]) -> dict[str, str] | None:
    if len(segments) != len(given):
        return None
    labels = {}
    for segment, value in zip(segments, given, strict=True):
        if segment.startswith(_LABEL):
            if not value:
                return None
            labels[segment.strip("{}")] = value
        elif segment != value:
            return None
    return labels
