"""The stream of a table of DynamoDB, or of anything that speaks its protocol (§7.4)."""

from datetime import UTC, datetime
from typing import Any

from kubelambda.core.mapping.shard_lineage import Shard
from kubelambda.core.mapping.stream_record import dynamodb_record, item_key, utc
from kubelambda.core.mapping.stream_rules import StartingPosition
from kubelambda.pollers.sources.source import AwsService
from kubelambda.pollers.sources.stream import Reading, ReadRecord, StreamSource

_RECORDS_MAX = 1000


class DynamoDbStream(StreamSource):
    """Its shards cannot be begun at a time: they are read from their oldest record, and what is older is left out."""

    interval_s = 0.25

    def __init__(self, service: AwsService, arn: str) -> None:
        super().__init__(service, arn)
        self._not_before: dict[str, datetime] = {}

    async def shards(self) -> list[Shard]:
        """Page by page."""
        found: list[dict[str, Any]] = []
        arguments: dict[str, Any] = {"StreamArn": self._arn}
        while True:
            described = (await self._service.call("describe_stream", **arguments))["StreamDescription"]
            found += described["Shards"]
            if not described.get("LastEvaluatedShardId"):
                break
            arguments["ExclusiveStartShardId"] = described["LastEvaluatedShardId"]
        return [Shard(each["ShardId"], tuple(filter(None, (each.get("ParentShardId"),)))) for each in found]

    async def begin(self, shard: str, position: StartingPosition) -> str:
        """At the oldest record."""
        if position.at is not None:
            self._not_before[shard] = position.at.replace(microsecond=0)
        return await self._iterator(StreamArn=self._arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON")

    async def go_on(self, shard: str, sequence: str) -> str:
        """After a record."""
        return await self._after(sequence, StreamArn=self._arn, ShardId=shard)

    async def read(self, shard: str, iterator: str) -> Reading:
        """At most 1 000 records and 1 MB."""
        answer = await self._service.call("get_records", ShardIterator=iterator, Limit=_RECORDS_MAX)
        records = []
        for each in answer["Records"]:
            change = each["dynamodb"]
            created = utc(change.get("ApproximateCreationDateTime") or datetime.now(UTC))
            if created >= self._not_before.get(shard, created):
                records.append(
                    ReadRecord(change["SequenceNumber"], item_key(each), created, dynamodb_record(each, self._arn))
                )
        return Reading(records, answer.get("NextShardIterator"))

    @staticmethod
    def _at(sequence: str) -> dict[str, str]:
        return {"SequenceNumber": sequence}
