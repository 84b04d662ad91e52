"""Pollers of Kinesis's and DynamoDB's streams against a server that speaks them: order, retries, positions (§7.4)."""

import asyncio
import base64
import json
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest
from aiobotocore.session import AioSession
from tests.pollers.conftest import Answer, Function, eventually
from tests.pollers.streams import StreamOfTests, number, settled

from kubelambda.core.mapping.shard_lineage import Shard, ShardProgress
from kubelambda.core.mapping.stream_rules import StartingPosition
from kubelambda.pollers import shard_worker, stream_poller
from kubelambda.pollers.sources.kinesis import KinesisStream
from kubelambda.pollers.sources.stream import Reading, ReadRecord, StreamSource

WHO = {"aws_access_key_id": "tests", "aws_secret_access_key": "tests", "region_name": "us-east-1"}
QUEUE = "arn:aws:sqs:us-east-1:123456789012:failed"
BUCKET = "arn:aws:s3:::failed"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Periods of a test."""
    monkeypatch.setattr(KinesisStream, "interval_s", 0.1)
    monkeypatch.setattr(shard_worker, "_BUSY_S", 0.02)
    monkeypatch.setattr(stream_poller, "_LIST_S", 0.5)
    monkeypatch.setattr(stream_poller, "_CHECKPOINT_S", 0.1)


class Kinesis(StreamOfTests):
    """A stream of Kinesis."""

    client: Any
    name: str

    async def put(self, *numbers: int, key: str = "") -> None:
        """Puts records; each has a key of its own unless one is given."""
        for each in numbers:
            data = json.dumps({"n": each, "even": each % 2 == 0}).encode()
            await self.client.put_record(StreamName=self.name, Data=data, PartitionKey=key or str(each))


@pytest.fixture
async def kinesis(aws_url: str, function: Function) -> AsyncIterator[Kinesis]:
    """A stream of one shard."""
    async with AioSession().create_client("kinesis", endpoint_url=aws_url, **WHO) as client:
        name = f"s-{uuid.uuid4().hex[:8]}"
        await client.create_stream(StreamName=name, ShardCount=1)
        arn = (await client.describe_stream(StreamName=name))["StreamDescription"]["StreamARN"]
        stream = Kinesis(arn, aws_url, function.url, function)
        stream.client, stream.name = client, name
        yield stream
        function.pause.set()
        await stream.kill()


async def test_records_come_in_order_with_lambdas_members(kinesis: Kinesis) -> None:
    """From the oldest on, in batches of the asked size."""
    await kinesis.put(*range(25))
    kinesis.poll(size=10)
    await settled(lambda: len(kinesis.function.records) == 25)
    assert kinesis.numbers() == list(range(25))
    assert [len(event["Records"]) for event in kinesis.function.events[:2]] == [10, 10]
    record = kinesis.function.records[0]
    sequence = record["kinesis"].pop("sequenceNumber")
    assert isinstance(record["kinesis"].pop("approximateArrivalTimestamp"), float)
    assert record["eventID"] == f"shardId-000000000000:{sequence}"
    assert record["kinesis"] == {
        "kinesisSchemaVersion": "1.0",
        "partitionKey": "0",
        "data": "eyJuIjogMCwgImV2ZW4iOiB0cnVlfQ==",
    }
    assert (record["eventSource"], record["eventName"]) == ("aws:kinesis", "aws:kinesis:record")
    assert record["eventSourceARN"] == kinesis.arn


async def test_the_next_poller_goes_on_where_the_last_one_was_done(kinesis: Kinesis) -> None:
    """After a drain nothing comes twice."""
    await kinesis.put(*range(10))
    kinesis.poll(size=3)
    await eventually(lambda: len(kinesis.function.records) >= 4)
    await kinesis.stop()
    await kinesis.put(*range(10, 15))
    kinesis.poll(size=3)
    await settled(lambda: len(kinesis.function.records) == 15)
    assert kinesis.numbers() == list(range(15))


async def test_what_was_not_done_when_the_poller_died_comes_again(kinesis: Kinesis) -> None:
    """The position is written after the answer, never before it."""
    await kinesis.put(*range(3))
    kinesis.function.pause.clear()
    kinesis.poll(size=3)
    await eventually(lambda: kinesis.function.running == 1)
    await asyncio.sleep(0.4)
    assert not any(known.sequence for known in kinesis.kept.positions.values())
    await kinesis.kill()
    kinesis.function.pause.set()
    kinesis.poll(size=3)
    await eventually(lambda: len(kinesis.function.records) == 6)
    assert kinesis.numbers() == [0, 1, 2, 0, 1, 2]


async def test_a_batch_that_fails_holds_up_its_shard(kinesis: Kinesis) -> None:
    """Until it succeeds: what follows waits for it."""
    answers: list[Answer] = [(200, True, {}), (429, False, {}), (200, True, {})]
    kinesis.function.answer = lambda _: answers.pop(0) if answers else (200, False, None)
    await kinesis.put(*range(4))
    kinesis.poll(size=2)
    await settled(lambda: len(kinesis.function.records) == 10)
    assert kinesis.numbers() == [0, 1, 0, 1, 0, 1, 0, 1, 2, 3]


async def test_a_batch_is_given_up_after_its_retries_and_told_of(kinesis: Kinesis) -> None:
    """A queue gets what identifies the batch; throttles are no retries."""
    answers: list[Answer] = [(200, True, {}), (429, False, {}), (200, True, {})]
    kinesis.function.answer = lambda _: answers.pop(0) if answers else (200, False, None)
    await kinesis.put(*range(4))
    kinesis.poll(size=2, max_retries=1, on_failure=QUEUE)
    await settled(lambda: len(kinesis.function.records) == 8)
    assert kinesis.numbers() == [0, 1, 0, 1, 0, 1, 2, 3]
    ((destination, record),) = kinesis.destination.sent
    body = json.loads(record.body)
    assert destination == QUEUE
    assert body["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert body["requestContext"]["approximateInvokeCount"] == 2
    assert body["responseContext"] == {
        "statusCode": 200,
        "executedVersion": "$LATEST",
        "functionError": "Unhandled",
    }
    batch = body["KinesisBatchInfo"]
    first, second = (each["kinesis"]["sequenceNumber"] for each in kinesis.function.records[:2])
    assert (batch["startSequenceNumber"], batch["endSequenceNumber"], batch["batchSize"]) == (first, second, 2)
    assert "payload" not in body


async def test_halving_finds_the_one_record_that_fails(kinesis: Kinesis) -> None:
    """It alone is given up, with its own content for a bucket."""

    def answer(event: Any) -> Answer:
        return 200, any(number(record) == 5 for record in event["Records"]), {}

    kinesis.function.answer = answer
    await kinesis.put(*range(8))
    kinesis.poll(size=8, bisect=True, max_retries=0, on_failure=BUCKET)
    await eventually(lambda: bool(kinesis.destination.sent) and kinesis.numbers()[-2:] == [6, 7])
    ((_, record),) = kinesis.destination.sent
    assert [number(each) for each in json.loads(record.body)["payload"]["Records"]] == [5]
    assert record.object_key.startswith("aws/lambda/uid/shardId-000000000000/")
    good = [number(each) for event in kinesis.function.events if not answer(event)[1] for each in event["Records"]]
    assert good == [0, 1, 2, 3, 4, 6, 7]


async def test_a_batch_goes_on_with_the_first_record_that_is_named(kinesis: Kinesis) -> None:
    """What is before it is done; what follows it comes again even when it was not named."""
    failed: list[bool] = []

    def answer(event: Any) -> Answer:
        bad = [each for each in event["Records"] if number(each) == 2 and not failed]
        failed.extend(True for _ in bad)
        return (
            200,
            False,
            {"batchItemFailures": [{"itemIdentifier": each["kinesis"]["sequenceNumber"]} for each in bad]},
        )

    kinesis.function.answer = answer
    await kinesis.put(*range(5))
    kinesis.poll(size=5, reports_failures=True)
    await settled(lambda: len(kinesis.function.records) == 8)
    assert kinesis.numbers() == [0, 1, 2, 3, 4, 2, 3, 4]


async def test_records_of_one_key_keep_their_order_in_parallel_lanes(kinesis: Kinesis) -> None:
    """And others are worked beside them."""
    for each in range(40):
        await kinesis.put(each, key=f"key-{each % 8}")
    kinesis.function.pause.clear()
    kinesis.poll(size=2, lanes=4)
    await eventually(lambda: kinesis.function.running > 1)
    kinesis.function.pause.set()
    await settled(lambda: len(kinesis.function.records) == 40)
    assert kinesis.function.most <= 4
    for key in range(8):
        own = [each for each in kinesis.numbers() if each % 8 == key]
        assert own == sorted(own)


async def test_what_no_filter_lets_through_is_passed_over_for_good(kinesis: Kinesis) -> None:
    """The position moves over it."""
    await kinesis.put(0, 1, 2, 3)
    kinesis.poll(patterns=('{"data": {"even": [true]}}',))
    await settled(lambda: len(kinesis.function.records) == 2)
    await kinesis.stop()
    assert kinesis.numbers() == [0, 2]
    kinesis.poll()
    await settled(lambda: len(kinesis.function.records) == 2)


class SplitStream(StreamSource):
    """Stands in for a stream whose shard was split: moto moves a parent's records, and never ends a closed shard."""

    interval_s = 0.05
    _SHARDS: ClassVar = {"parent": range(5), "left": range(5, 10), "right": range(10, 15)}

    def __init__(self) -> None:
        pass

    async def shards(self) -> list[Shard]:
        """The children of a parent that is closed; theirs are open."""
        return [Shard("left", ("parent",)), Shard("right", ("parent", "forgotten")), Shard("parent")]

    async def begin(self, shard: str, position: StartingPosition) -> str:
        """At its first record."""
        return "0"

    async def go_on(self, shard: str, sequence: str) -> str:
        """After a record."""
        return str(self._SHARDS[shard].index(int(sequence)) + 1)

    async def read(self, shard: str, iterator: str) -> Reading:
        """Two records."""
        numbers = self._SHARDS[shard][int(iterator) :][:2]
        records = [ReadRecord(str(n), str(n), datetime.now(UTC), _kinesis_record(n)) for n in numbers]
        ended = shard == "parent" and not numbers
        return Reading(records, None if ended else str(int(iterator) + len(numbers)))

    @staticmethod
    def _at(sequence: str) -> dict[str, str]:
        return {}


def _kinesis_record(n: int) -> dict[str, Any]:
    data = base64.b64encode(json.dumps({"n": n}).encode()).decode()
    return {"kinesis": {"sequenceNumber": str(n), "data": data}}


async def test_children_are_read_once_their_parent_is_done(kinesis: Kinesis) -> None:
    """Nothing of them comes before the last record of their parent; which is not read again by the next poller."""
    kinesis.function.pause.clear()
    kinesis.poll(SplitStream(), size=1)
    await eventually(lambda: kinesis.function.running == 1)
    await asyncio.sleep(0.3)
    assert kinesis.function.most == 1
    kinesis.function.pause.set()
    await settled(lambda: len(kinesis.function.records) == 15)
    assert kinesis.numbers()[:5] == list(range(5))
    assert sorted(kinesis.numbers()) == list(range(15))
    await kinesis.stop()
    assert kinesis.kept.positions == {
        "parent": ShardProgress("4", finished=True),
        "left": ShardProgress("9"),
        "right": ShardProgress("14"),
    }
    kinesis.poll(SplitStream(), size=1)
    await settled(lambda: len(kinesis.function.records) == 15)


async def test_a_window_hands_its_state_on_until_it_ends(kinesis: Kinesis) -> None:
    """The last invocation of a window is marked, has no records, and its state is forgotten."""

    def answer(event: Any) -> Answer:
        return 200, False, {"state": {"sum": event["state"].get("sum", 0) + sum(map(number, event["Records"]))}}

    kinesis.function.answer = answer
    kinesis.poll(size=2, tumbling_s=2)
    await kinesis.put(*range(1, 6))

    def finals() -> list[Any]:
        return [event for event in kinesis.function.events if event["isFinalInvokeForWindow"]]

    await eventually(lambda: sum(event["state"].get("sum", 0) for event in finals()) == 15)
    assert all(not event["Records"] and event["shardId"] and event["window"]["start"] for event in finals())
    assert all(event["state"] == {} for event in _first_of_windows(kinesis.function.events))


def _first_of_windows(events: list[Any]) -> list[Any]:
    starts: dict[str, Any] = {}
    for event in events:
        starts.setdefault(event["window"]["start"], event)
    return list(starts.values())


async def test_changes_of_a_table_come_with_their_images(aws_url: str, function: Function) -> None:
    """DynamoDB's stream: numbers as texts, bytes in base64, the time in whole seconds."""
    async with AioSession().create_client("dynamodb", endpoint_url=aws_url, **WHO) as tables:
        name = f"t-{uuid.uuid4().hex[:8]}"
        made = await tables.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        stream = StreamOfTests(made["TableDescription"]["LatestStreamArn"], aws_url, function.url, function)
        for each in range(3):
            item = {"id": {"S": "same"}, "n": {"N": str(each)}, "raw": {"B": b"\xff"}}
            await tables.put_item(TableName=name, Item=item)
        stream.poll(size=2, patterns=('{"eventName": ["INSERT", "MODIFY"]}',))
        await settled(lambda: len(function.records) == 3)
        await stream.stop()
    assert stream.numbers() == [0, 1, 2]
    first = function.records[0]
    assert (first["eventName"], first["eventSource"], first["eventVersion"]) == ("INSERT", "aws:dynamodb", "1.1")
    assert first["dynamodb"]["Keys"] == {"id": {"S": "same"}}
    assert first["dynamodb"]["NewImage"]["raw"] == {"B": "/w=="}
    assert isinstance(first["dynamodb"]["ApproximateCreationDateTime"], int)
    assert function.records[1]["eventName"] == "MODIFY"
