"""What a poller needs of a stream, and what Kinesis and DynamoDB's streams have in common."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kubelambda.core.mapping.shard_lineage import Shard
from kubelambda.core.mapping.stream_rules import StartingPosition
from kubelambda.pollers.sources.source import AwsService
from kubelambda.pollers.sources.source_unreachable import SourceUnreachable

EXPIRED = "ExpiredIteratorException"
"""An iterator is used within five minutes."""
OVERRUN = frozenset({"ProvisionedThroughputExceededException", "LimitExceededException", "KMSThrottlingException"})
TRIMMED = frozenset({"TrimmedDataAccessException", "InvalidArgumentException", "ResourceNotFoundException"})


@dataclass(frozen=True, slots=True)
class ReadRecord:
    """A record as its source hands it over: what keeps its order, and its form in an event."""

    sequence: str
    key: str
    arrival: datetime
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """What one look at a shard brought. `iterator` is None once the shard is closed and read to its end."""

    records: Sequence[ReadRecord]
    iterator: str | None


class StreamSource(ABC):
    """One stream. Every method raises `SourceUnreachable`."""

    interval_s = 1.0
    """Between two looks at a shard that brought nothing."""

    def __init__(self, service: AwsService, arn: str) -> None:
        self._service = service
        self._arn = arn

    @abstractmethod
    async def shards(self) -> list[Shard]:
        """Every shard that the stream still keeps, closed ones too."""

    @abstractmethod
    async def begin(self, shard: str, position: StartingPosition) -> str:
        """An iterator at the begin of a shard that was never read."""

    @abstractmethod
    async def go_on(self, shard: str, sequence: str) -> str:
        """An iterator after a record; at the oldest one when that is not kept any more."""

    @abstractmethod
    async def read(self, shard: str, iterator: str) -> Reading:
        """The next records, as many as one call may bring."""

    async def _iterator(self, **arguments: Any) -> str:
        found: str = (await self._service.call("get_shard_iterator", **arguments))["ShardIterator"]
        return found

    async def _after(self, sequence: str, **arguments: Any) -> str:
        try:
            return await self._iterator(ShardIteratorType="AFTER_SEQUENCE_NUMBER", **arguments, **self._at(sequence))
        except SourceUnreachable as error:
            if error.code not in TRIMMED:
                raise
            return await self._iterator(ShardIteratorType="TRIM_HORIZON", **arguments)

    @staticmethod
    @abstractmethod
    def _at(sequence: str) -> dict[str, str]:
        """The argument that names a record."""
