"""A stream of Kinesis, or of anything that speaks its protocol (§7.4)."""

from typing import Any

from kubelambda.core.mapping.shard_lineage import Shard
from kubelambda.core.mapping.stream_record import kinesis_record, utc
from kubelambda.core.mapping.stream_rules import StartingPosition
from kubelambda.pollers.sources.source import AwsService
from kubelambda.pollers.sources.stream import Reading, ReadRecord, StreamSource

_RECORDS_MAX = 10_000


class KinesisStream(StreamSource):
    """`role` is the identity that records name as their reader."""

    def __init__(self, service: AwsService, arn: str, role: str) -> None:
        super().__init__(service, arn)
        self._role = role
        self._stream = {"StreamARN": arn}

    async def shards(self) -> list[Shard]:
        """With both parents of a shard that was merged of two."""
        found: list[dict[str, Any]] = []
        arguments: dict[str, Any] = dict(self._stream)
        while True:
            answer = await self._service.call("list_shards", **arguments)
            found += answer["Shards"]
            if not answer.get("NextToken"):
                break
            arguments = {"NextToken": answer["NextToken"]}
        return [
            Shard(each["ShardId"], tuple(filter(None, (each.get("ParentShardId"), each.get("AdjacentParentShardId")))))
            for each in found
        ]

    async def begin(self, shard: str, position: StartingPosition) -> str:
        """At a time, or at the oldest record."""
        if position.at is None:
            return await self._iterator(ShardId=shard, ShardIteratorType="TRIM_HORIZON", **self._stream)
        return await self._iterator(
            ShardId=shard, ShardIteratorType="AT_TIMESTAMP", Timestamp=position.at, **self._stream
        )

    async def go_on(self, shard: str, sequence: str) -> str:
        """After a record."""
        return await self._after(sequence, ShardId=shard, **self._stream)

    async def read(self, shard: str, iterator: str) -> Reading:
        """At most 10 000 records and 10 MB."""
        answer = await self._service.call("get_records", ShardIterator=iterator, Limit=_RECORDS_MAX, **self._stream)
        records = [
            ReadRecord(
                each["SequenceNumber"],
                each["PartitionKey"],
                utc(each["ApproximateArrivalTimestamp"]),
                kinesis_record(each, self._arn, shard, self._role),
            )
            for each in answer["Records"]
        ]
        return Reading(records, answer.get("NextShardIterator"))

    @staticmethod
    def _at(sequence: str) -> dict[str, str]:
        return {"StartingSequenceNumber": sequence}
