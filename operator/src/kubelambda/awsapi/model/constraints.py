"""Whether parameters fit their shapes, and Lambda's words for it when they do not (§0.4): all of it in one answer."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from kubelambda.awsapi.model.body_receiver import LargeBlob
from kubelambda.awsapi.model.service_model import ServiceModel, Shape

NOT_NULL: Final = "Member must not be null"
# Java's classes of characters, which Python's expressions lack, and its pairs for what is one character here.
_CLASSES: Final = {
    r"\p{L}\p{Z}\p{N}": r"\w\s",
    r"\p{Print}": r"[^\x00-\x1f\x7f]",
    r"\uD800\uDC00-\uDBFF\uDFFF": r"\U00010000-\U0010ffff",
}
_LOCATIONS: Final = ("querystring", "header", "uri")
"""The order in which Lambda looks at the parts of a request; the body comes last."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One constraint that a parameter does not satisfy. `value` is None where it must not be repeated."""

    path: str
    constraint: str
    value: str | None

    def __str__(self) -> str:
        shown = "Value" if self.value is None else f"Value {self.value}"
        return f"{shown} at '{self.path}' failed to satisfy constraint: {self.constraint}"


def message(violations: list[Violation]) -> str:
    """Lambda's sentence for one or several."""
    count = f"{len(violations)} validation error{'s' if len(violations) > 1 else ''} detected"
    return f"{count}: " + "; ".join(map(str, violations))


def violations(model: ServiceModel, shape_name: str | None, parameters: Mapping[str, Any]) -> list[Violation]:
    """Everything that is wrong with the parameters of an operation."""
    return list(_structure(model, model.shape(shape_name), parameters, "")) if shape_name else []


def _structure(model: ServiceModel, shape: Shape, given: Mapping[str, Any], path: str) -> Iterator[Violation]:
    members = shape.get("members", {})
    required = shape.get("required", ())
    for name in sorted(members, key=lambda name: _order(members[name])):
        where = f"{path}{_lower(name)}"
        if given.get(name) is not None:
            yield from _value(model, model.shape(members[name]["shape"]), given[name], where)
        elif name in required:
            yield Violation(where, NOT_NULL, "null")
    for name in given.keys() - members.keys():
        yield Violation(f"{path}{_lower(name)}", "Member is unknown to this operation", f"'{_shown(given[name])}'")


def _order(member: Shape) -> int:
    location = member.get("location")
    return _LOCATIONS.index(location) if location in _LOCATIONS else len(_LOCATIONS)


def _value(model: ServiceModel, shape: Shape, value: Any, path: str) -> Iterator[Violation]:
    if not _has_type(shape["type"], value):
        yield Violation(path, f"Member must be {_TYPE_NAMES[shape['type']]}", _quoted(shape, value))
    elif shape["type"] == "structure":
        yield from _structure(model, shape, value, f"{path}.")
    elif shape["type"] == "list":
        yield from _own(shape, value, path)
        yield from _list(model, model.shape(shape["member"]["shape"]), value, path)
    elif shape["type"] == "map":
        yield from _own(shape, value, path)
        yield from _map(model, shape, value, path)
    else:
        yield from _own(shape, value, path)


def _own(shape: Shape, value: Any, path: str) -> Iterator[Violation]:
    for constraint, holds in _scalar(shape, value):
        if not holds:
            yield Violation(path, constraint, _quoted(shape, value))


def _list(model: ServiceModel, member: Shape, values: list[Any], path: str) -> Iterator[Violation]:
    """Members that are structures are named one by one, others are only said to be wrong somewhere."""
    if member["type"] == "structure":
        for number, value in enumerate(values, 1):
            yield from _value(model, member, value, f"{path}.{number}.member")
    elif not all(_fits(member, value) for value in values):
        constraint = f"Member must satisfy constraint: [{', '.join([*_constraints(member), NOT_NULL])}]"
        yield Violation(path, constraint, _quoted(member, values))


def _map(model: ServiceModel, shape: Shape, given: Mapping[str, Any], path: str) -> Iterator[Violation]:
    key, value = model.shape(shape["key"]["shape"]), model.shape(shape["value"]["shape"])
    if not all(_fits(key, name) for name in given):
        constraint = f"Map keys must satisfy constraint: [{', '.join(_constraints(key))}]"
        yield Violation(path, constraint, _quoted(shape, given))
    if value["type"] in ("structure", "list"):
        for name, found in given.items():
            yield from _value(model, value, found, f"{path}.{name}.member")
    elif not all(_fits(value, found) for found in given.values()):
        constraint = f"Map value must satisfy constraint: [{', '.join([*_constraints(value), NOT_NULL])}]"
        yield Violation(path, constraint, _quoted(shape, given))


def _fits(shape: Shape, value: Any) -> bool:
    return _has_type(shape["type"], value) and all(holds for _, holds in _scalar(shape, value))


def _constraints(shape: Shape) -> list[str]:
    """Every constraint of a shape, as Lambda lists them when a member of a collection breaks one."""
    sample: Any = 0 if shape["type"] in _NUMBERS else ""
    return [constraint for constraint, _ in _scalar(shape, sample)]


def _scalar(shape: Shape, value: Any) -> Iterator[tuple[str, bool]]:
    """Every constraint of a shape, and whether `value` satisfies it."""
    if shape["type"] in _NUMBERS:
        measure, size = "value", value
    else:
        measure, size = "length", len(value) if hasattr(value, "__len__") else 0
    exact = float if shape["type"] in ("double", "float") else int
    if "max" in shape:
        yield f"Member must have {measure} less than or equal to {exact(shape['max'])}", size <= shape["max"]
    if "min" in shape:
        yield f"Member must have {measure} greater than or equal to {exact(shape['min'])}", size >= shape["min"]
    if "pattern" in shape:
        holds = isinstance(value, str) and _expression(shape["pattern"]).fullmatch(value) is not None
        yield f"Member must satisfy regular expression pattern: {shape['pattern']}", holds
    if "enum" in shape:
        yield f"Member must satisfy enum value set: [{', '.join(shape['enum'])}]", value in shape["enum"]


@lru_cache(maxsize=256)
def _expression(pattern: str) -> re.Pattern[str]:
    for theirs, ours in _CLASSES.items():
        pattern = pattern.replace(theirs, ours)
    return re.compile(pattern)


_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "double": (int, float),
    "float": (int, float),
    "boolean": (bool,),
    "blob": (str, LargeBlob),
    "timestamp": (int, float, str),
    "list": (list,),
    "map": (Mapping,),
    "structure": (Mapping,),
}
_NUMBERS: Final = frozenset({"integer", "long", "double", "float"})
_TYPE_NAMES: Final = {
    "string": "a string",
    "integer": "an integer",
    "long": "an integer",
    "double": "a number",
    "float": "a number",
    "boolean": "true or false",
    "blob": "base64",
    "timestamp": "a time",
    "list": "a list",
    "map": "a map",
    "structure": "a structure",
}


def _has_type(kind: str, value: Any) -> bool:
    return isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _quoted(shape: Shape, value: Any) -> str | None:
    return None if shape.get("sensitive") else f"'{_shown(value)}'"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}={_shown(found)}" for name, found in value.items()) + "}"
    return str(value)


def decoded(text: str) -> bytes | None:
    """The bytes of a blob; None when it is no base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]
