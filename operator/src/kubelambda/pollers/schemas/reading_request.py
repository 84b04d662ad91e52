"""What a poller and the process that reads records by their schemas say to each other."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec

from kubelambda.pollers.schemas.registered_schema import RegisteredSchema

LENGTH_BYTES: Final = 4
"""Before each message, which is MessagePack."""


@dataclass(frozen=True, slots=True)
class ReadingBounds:
    """What reading a record may take."""

    processor_s: float = 5.0
    """Of a processor, with its schema when that is new."""
    memory_bytes: int = 160 << 20
    """Of the process: a usual record of 6 MB takes about half of it."""

    def __str__(self) -> str:
        return f"{self.processor_s:g} s of a processor, or {self.memory_bytes >> 20} MB"


class ReadingResult(StrEnum):
    """What came of a record."""

    READ = "read"
    SCHEMA_ASKED = "schema asked"
    """The process has not, or no longer, the schema: the request is to come again with it."""
    UNDECODABLE = "undecodable"
    """The record is not of its schema."""
    UNSERVED = "unserved"
    """No record of the schema is read."""
    TOO_LARGE = "too large"
    """As JSON it has more bytes than were wanted."""


class ReadingRequest(msgspec.Struct, frozen=True, array_like=True):
    """A record that is to be read."""

    schema_id: int
    """Of its schema, among all that the process is told of."""
    data: bytes
    said_max_bytes: int = 0
    """Of what it says as JSON; 0 when only its validity is asked for."""
    schema: RegisteredSchema | None = None


class ReadingAnswer(msgspec.Struct, frozen=True, array_like=True):
    """What came of it."""

    reading: ReadingResult
    why: str = ""
    said: bytes = b""
    """What the record says, as JSON."""
    last: bool = False
    """Whether the process ends now."""
