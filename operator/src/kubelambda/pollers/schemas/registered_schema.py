"""A schema as a registry has it, with those that it refers to."""

from dataclasses import dataclass
from enum import StrEnum


class SchemaKind(StrEnum):
    """What records of a schema are written in, in the words of events."""

    AVRO = "AVRO"
    JSON = "JSON"
    PROTOBUF = "PROTOBUF"


@dataclass(frozen=True, slots=True)
class SchemaReference:
    """A schema that another one refers to."""

    name: str
    """What the other one calls it: the name of a type, a URI, or the path of a file."""
    text: str


@dataclass(frozen=True, slots=True)
class RegisteredSchema:
    """A schema. `text` is JSON; of protobuf a file's descriptor in base64."""

    kind: SchemaKind
    text: str
    references: tuple[SchemaReference, ...] = ()
    """Each after those that it refers to itself."""

    @property
    def size(self) -> int:
        """Characters of all of it."""
        return len(self.text) + sum(len(each.text) for each in self.references)
