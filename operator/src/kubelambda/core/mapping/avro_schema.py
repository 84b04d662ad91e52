"""What a schema of Avro must be so that no record of it can harm whoever reads it: pure (§7.5.6).

Readers of Avro trust its counts. A value may take no bytes: a list of such may claim any length, a record of them may
hold itself out again and again, and one record of few bytes would fill our memory. A type within itself nests as deep
as a record likes, types that name one another as deep as there are types, and the stack of a reader in C does not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_DEPTH_MAX: Final = 64
_FREE_OF_BYTE: Final = 4
"""For each byte that is read so many values may come that take none."""
_FREE_MAX: Final = 10_000
"""Beyond those, for the whole record."""
_NAMED: Final = frozenset({"record", "error", "enum", "fixed"})
_PRIMITIVE: Final = frozenset({"boolean", "int", "long", "float", "double", "bytes", "string"})


class UnservedSchema(ValueError):
    """A schema that no record is read by; the message says why."""


@dataclass(frozen=True, slots=True)
class _Weight:
    """What a value of a type can be at its worst."""

    free: int
    """Values in it that take no bytes, less those that its bytes make up for."""
    height: int = 1
    """How deep it nests, through the types that it names."""


_NULL: Final = _Weight(1)
_PLAIN: Final = _Weight(-_FREE_OF_BYTE)
"""Of a type that takes a byte at least."""
_ITSELF: Final = _Weight(0)
"""Of a type within itself: what comes of it may not be more."""


@dataclass(slots=True)
class AvroTypes:
    """What is known of named types, over a schema and those that it refers to."""

    recursive: bool = False
    """Whether a type has itself within it."""
    _known: dict[str, _Weight] = field(default_factory=dict)
    """By full name, once a type is at its end."""
    _open: set[str] = field(default_factory=set)
    _within_itself: set[str] = field(default_factory=set)

    def plain(self, schema: Any) -> Any:
        """The schema without logical types: values are then what JSON can say. Raises `UnservedSchema`."""
        return self._plain(schema, "", 0)[0]

    def _plain(self, schema: Any, namespace: str, depth: int) -> tuple[Any, _Weight]:
        """A schema so, and what a value of it can be."""
        if depth > _DEPTH_MAX:
            raise UnservedSchema(f"its types are nested deeper than {_DEPTH_MAX}")
        if isinstance(schema, str):
            return schema, self._named(schema, namespace)
        if isinstance(schema, list):  # a union: its value begins with which of them it is
            found = [self._plain(each, namespace, depth + 1) for each in schema]
            worst = max((weight.free for _, weight in found), default=0)
            return [each for each, _ in found], _around((weight for _, weight in found), worst - _FREE_OF_BYTE)
        if not isinstance(schema, Mapping) or "type" not in schema:
            raise UnservedSchema("it is no schema of Avro")
        kind = schema["type"]
        if isinstance(kind, str) and kind in _NAMED:
            return self._defined(schema, kind, namespace, depth)
        plain = {name: each for name, each in schema.items() if name != "logicalType"}
        if kind not in ("array", "map"):
            plain["type"], weight = self._plain(kind, namespace, depth + 1)
            return plain, weight
        inner = "items" if kind == "array" else "values"
        plain[inner], weight = self._plain(schema.get(inner), namespace, depth + 1)
        key = _FREE_OF_BYTE if kind == "map" else 0
        if weight.free > key:
            raise UnservedSchema("a list or a map of values that take no bytes: how many there are is anybody's claim")
        return plain, _around([weight], -_FREE_OF_BYTE)

    def _defined(self, schema: Mapping[str, Any], kind: str, namespace: str, depth: int) -> tuple[Any, _Weight]:
        """A type with a name."""
        found = {name: each for name, each in schema.items() if name != "logicalType"}
        name = _full(found.get("name"), found.get("namespace", namespace))
        if name in self._open or name in self._known:
            raise UnservedSchema(f"{name} is defined twice")
        if kind == "enum":
            weight = _PLAIN
        elif kind == "fixed":
            size = found.get("size")
            if not isinstance(size, int) or size < 0:
                raise UnservedSchema(f"{name} has no size")
            weight = _PLAIN if size else _NULL
        else:
            found["fields"], weight = self._fields(name, found.get("fields"), depth)
        self._known[name] = weight
        return found, weight

    def _fields(self, name: str, fields: Any, depth: int) -> tuple[list[Any], _Weight]:
        """The fields of a record, and what the record can be."""
        if not isinstance(fields, list) or not all(isinstance(each, Mapping) for each in fields):
            raise UnservedSchema(f"{name} has no fields")
        self._open.add(name)
        found = [self._plain(each.get("type"), name.rpartition(".")[0], depth + 1) for each in fields]
        self._open.discard(name)
        weight = _around((each for _, each in found), 1 + sum(each.free for _, each in found))
        if weight.free > (_ITSELF.free if name in self._within_itself else _FREE_MAX):
            raise UnservedSchema(f"{name} has too many values that take no bytes")
        return [{**each, "type": plain} for each, (plain, _) in zip(fields, found, strict=True)], weight

    def _named(self, name: str, namespace: str) -> _Weight:
        """What a value of a type by its name can be."""
        if name == "null":
            return _NULL
        if name in _PRIMITIVE:
            return _PLAIN
        full = _full(name, namespace)
        if full in self._open:
            self.recursive = True
            self._within_itself.add(full)
            return _ITSELF
        if full not in self._known:
            raise UnservedSchema(f"it names {full}, which is no type")
        return self._known[full]


def _around(within: Iterable[_Weight], free: int) -> _Weight:
    """What holds others. Raises `UnservedSchema`."""
    height = 1 + max((each.height for each in within), default=0)
    if height > _DEPTH_MAX:
        raise UnservedSchema(f"its types are nested deeper than {_DEPTH_MAX}")
    return _Weight(free, height)


def _full(name: Any, namespace: Any) -> str:
    """As readers have it: a name with a dot is complete."""
    if not isinstance(name, str) or not isinstance(namespace, str | None):
        raise UnservedSchema("a type has a name that is none")
    return name if "." in name or not namespace else f"{namespace}.{name}"
