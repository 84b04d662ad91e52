"""What a schema of Avro must be so that no record of it can harm whoever reads it: pure (§7.5.6).

Readers of Avro trust its counts. A list whose items take no bytes may claim any length, and one record of it would fill
our memory; a type within itself nests as deep as a record likes, and the stack of a reader in C does not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_DEPTH_MAX: Final = 64
_NAMED: Final = frozenset({"record", "error", "enum", "fixed"})


class UnservedSchema(ValueError):
    """A schema that no record is read by; the message says why."""


@dataclass(slots=True)
class AvroTypes:
    """What is known of named types, over a schema and those that it refers to."""

    empty: dict[str, bool] = field(default_factory=dict)
    """Whether a value of it may take no bytes, by its full name; of a type that is not at its end yet, it is not."""
    recursive: bool = False
    """Whether a type has itself within it."""
    _open: set[str] = field(default_factory=set)

    def plain(self, schema: Any) -> Any:
        """The schema without logical types: values are then what JSON can say. Raises `UnservedSchema`."""
        return self._plain(schema, "", 0)[0]

    def _plain(self, schema: Any, namespace: str, depth: int) -> tuple[Any, bool]:
        """A schema so, and whether a value of it may take no bytes."""
        if depth > _DEPTH_MAX:
            raise UnservedSchema(f"its types are nested deeper than {_DEPTH_MAX}")
        if isinstance(schema, str):
            return schema, self._named(schema, namespace)
        if isinstance(schema, list):  # a union: its value begins with which of them it is
            return [self._plain(each, namespace, depth + 1)[0] for each in schema], False
        if not isinstance(schema, Mapping) or "type" not in schema:
            raise UnservedSchema("it is no schema of Avro")
        found = {name: each for name, each in schema.items() if name != "logicalType"}
        kind = schema["type"]
        if isinstance(kind, str) and kind in _NAMED:
            return self._defined(found, kind, namespace, depth)
        if kind == "array":
            found["items"], empty = self._plain(schema.get("items"), namespace, depth + 1)
            if empty:
                raise UnservedSchema("the items of a list take no bytes: its length is anybody's claim")
            return found, False
        if kind == "map":
            found["values"], _ = self._plain(schema.get("values"), namespace, depth + 1)
            return found, False
        found["type"], empty = self._plain(kind, namespace, depth + 1)
        return found, empty

    def _defined(self, found: dict[str, Any], kind: str, namespace: str, depth: int) -> tuple[Any, bool]:
        """A type with a name."""
        name = _full(str(found.get("name")), str(found.get("namespace", namespace)))
        if kind == "fixed":
            self.empty[name] = found.get("size") == 0
        elif kind == "enum":
            self.empty[name] = False
        else:
            self._open.add(name)
            self.empty[name] = False
            fields = found.get("fields")
            if not isinstance(fields, list) or not all(isinstance(each, Mapping) for each in fields):
                raise UnservedSchema(f"{name} has no fields")
            inner, empty = name.rpartition(".")[0], True
            found["fields"] = plain = []
            for each in fields:
                of_type, nothing = self._plain(each.get("type"), inner, depth + 1)
                plain.append({**each, "type": of_type})
                empty = empty and nothing
            self._open.discard(name)
            self.empty[name] = empty
        return found, self.empty[name]

    def _named(self, name: str, namespace: str) -> bool:
        """Whether a value of a type by its name may take no bytes."""
        if name == "null":
            return True
        full = _full(name, namespace)
        if full in self._open:
            self.recursive = True
        return self.empty.get(full, self.empty.get(name, False))


def _full(name: str, namespace: str) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"
