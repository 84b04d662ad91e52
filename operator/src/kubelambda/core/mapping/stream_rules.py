"""How a mapping wants the records of a stream, and a record on its way (§7.4)."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

FOREVER: Final = -1


@dataclass(frozen=True, slots=True)
class StreamRules:
    """Batches, and what becomes of those that fail. Times in seconds."""

    size: int = 100
    window_s: float = 0.0
    lanes: int = 1
    """Batches of one shard at once; records of one partition key are in one lane."""
    max_retries: int = FOREVER
    max_age_s: int = FOREVER
    bisect: bool = False
    tumbling_s: int = 0


class GivenUp(StrEnum):
    """Why records were given up, in Lambda's words."""

    RETRY_ATTEMPTS_EXHAUSTED = "RetryAttemptsExhausted"
    RECORD_AGE_EXCEEDED = "RecordAgeExceeded"
    MAXIMUM_PAYLOAD_SIZE_EXCEEDED = "MaximumPayloadSizeExceeded"
    """Of Kafka: no event can hold the record."""
    SCHEMA_NOT_FOUND = "SCHEMA_NOT_FOUND"
    """Of Kafka: the registry does not know the record's schema."""
    DESERIALIZATION_ERROR = "DESERIALIZATION_ERROR"
    """Of Kafka: the record is not of its schema."""


@dataclass(frozen=True, slots=True, eq=False)
class StreamRecord:
    """A record that the function is to get, or one that it never does."""

    sequence: str
    key: str
    """Records of one key keep their order."""
    arrival: datetime
    encoded: bytes
    refused: GivenUp | None = None
    """Why no function gets it, whatever becomes of those around it."""


@dataclass(frozen=True, slots=True)
class StartingPosition:
    """Where a shard is begun that was never read: at its oldest record, or at a time."""

    at: datetime | None = None
