"""Pollers of Kafka against a real broker: order, offsets, failures, rebalances, and a broker that dies (§7.5)."""

import asyncio
import base64
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest
from tests.pollers.conftest import Answer, Function, eventually
from tests.pollers.kafka_broker import PASSWORD, STRANGER, USER, KafkaBroker
from tests.pollers.topics import TopicOfTests, moment

from kubelambda.api.reasons import Reason
from kubelambda.pollers import kafka_poller
from kubelambda.pollers.batch_room import MappingRoom
from kubelambda.pollers.sources.source_unreachable import SourceUnreachable
from kubelambda.pollers.sources.tls_login import TlsLogin

WAIT_S = 120.0
QUEUE = "arn:aws:sqs:us-east-1:123456789012:failed"
ACCESS = [{"type": "SASL_SCRAM_512_AUTH", "uri": "login"}, {"type": "SERVER_ROOT_CA_CERTIFICATE", "uri": "authority"}]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Periods of a test."""
    monkeypatch.setattr(kafka_poller, "_LOOK_S", 0.3)
    monkeypatch.setattr(kafka_poller, "_REPORT_S", 0.3)


@pytest.fixture
async def make_topic(kafka_broker: KafkaBroker, function: Function) -> AsyncIterator[Callable[..., Any]]:
    """Makes a topic."""
    made = []

    async def make(partitions: int = 1) -> TopicOfTests:
        found = TopicOfTests(kafka_broker, f"orders-{uuid.uuid4().hex[:8]}", function)
        await kafka_broker.create_topic(found.name, partitions)
        made.append(found)
        return found

    yield make
    for each in made:
        await each.close()


@pytest.fixture
async def topic(make_topic: Callable[..., Any]) -> TopicOfTests:
    """A topic of one partition."""
    found: TopicOfTests = await make_topic()
    return found


async def comes_true(holds: Callable[[], bool]) -> None:
    """Returns once `holds`."""
    await eventually(holds, WAIT_S)


async def commits(topic: TopicOfTests, offset: int, partition: int = 0) -> None:
    """Returns once the group is at `offset`."""
    deadline = time.monotonic() + WAIT_S
    while (found := await topic.committed(partition)) != offset:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.1)


async def test_records_come_in_order_with_lambdas_members(topic: TopicOfTests) -> None:
    """From the oldest on, in batches of the asked size; headers are signed bytes."""
    stamp = int(time.time()) * 1000 + 123
    producer = topic.broker.producer()
    await producer.start()
    await producer.send_and_wait(topic.name, b'{"n":0}', key=b"first", headers=[("kind", b"a\xff")], timestamp_ms=stamp)
    await producer.send_and_wait(topic.name, b'{"n":1}')
    await producer.stop()
    await topic.put(*range(2, 25))
    topic.poll(batchSize=10)
    await comes_true(lambda: len(topic.records) == 25)
    assert topic.numbers() == list(range(25))
    assert max(len(event["records"][f"{topic.name}-0"]) for event in topic.function.events) == 10
    event = topic.function.events[0]
    first, second, *_ = event.pop("records")[f"{topic.name}-0"]
    assert event == {"eventSource": "aws:SelfManagedKafka", "bootstrapServers": topic.broker.server()}
    assert first == {
        "topic": topic.name,
        "partition": 0,
        "offset": 0,
        "timestamp": stamp,
        "timestampType": "CREATE_TIME",
        "key": base64.b64encode(b"first").decode(),
        "value": base64.b64encode(b'{"n":0}').decode(),
        "headers": [{"kind": [97, -1]}],
    }
    assert "key" not in second
    assert second["headers"] == []
    await commits(topic, 25)


async def test_records_may_be_compressed(topic: TopicOfTests) -> None:
    """In each way that Kafka has, batch by batch."""
    ways = ("gzip", "snappy", "lz4", "zstd")
    for number, compression in enumerate(ways):
        producer = topic.broker.producer(compression)
        await producer.start()
        await producer.send_and_wait(topic.name, json.dumps({"n": number, "text": "x" * 10_000}).encode())
        await producer.stop()
    topic.poll()
    await comes_true(lambda: len(topic.records) == len(ways))
    assert topic.numbers() == list(range(len(ways)))


async def test_a_window_gathers_records_for_one_invocation(topic: TopicOfTests) -> None:
    """One event for what comes within it, and none before it is over."""
    topic.poll(batchSize=100, maximumBatchingWindowInSeconds=8)
    await topic.put(0)
    await topic.put(1)
    await comes_true(lambda: len(topic.records) == 2)
    assert len(topic.function.events) == 1


async def test_the_next_poller_goes_on_where_the_last_one_was_done(topic: TopicOfTests) -> None:
    """After a drain nothing comes twice, whatever the starting position says."""
    await topic.put(*range(10))
    first = topic.poll(batchSize=3)
    await comes_true(lambda: len(topic.records) >= 4)
    await first.stop()
    await topic.put(*range(10, 15))
    topic.poll(batchSize=3, startingPosition="LATEST")
    await comes_true(lambda: len(topic.records) == 15)
    assert topic.numbers() == list(range(15))


async def test_what_was_not_done_when_the_poller_died_comes_again(topic: TopicOfTests) -> None:
    """Offsets are committed after the answer, never before it."""
    await topic.put(*range(3))
    topic.function.pause.clear()
    first = topic.poll(batchSize=3)
    await comes_true(lambda: topic.function.running == 1)
    await commits(topic, 0)
    await first.kill()
    topic.function.pause.set()
    topic.poll(batchSize=3)
    await comes_true(lambda: len(topic.records) == 6)
    assert topic.numbers() == [0, 1, 2, 0, 1, 2]
    await commits(topic, 3)


async def test_latest_begins_with_what_came_after_the_mapping_was_made(topic: TopicOfTests) -> None:
    """Also with what came before its first poller ran."""
    await topic.put(0, 1, at=moment() - timedelta(hours=1))
    created = moment()
    await topic.put(2, 3)
    topic.poll(startingPosition="LATEST", created=created.isoformat())
    await comes_true(lambda: topic.numbers() == [2, 3])
    await commits(topic, 4)


async def test_at_timestamp_begins_at_a_time(topic: TopicOfTests) -> None:
    """With the first record that is not older."""
    start = moment() - timedelta(hours=1)
    await topic.put(0, at=start - timedelta(minutes=1))
    await topic.put(1, at=start + timedelta(minutes=1))
    topic.poll(startingPosition="AT_TIMESTAMP", startingPositionTimestamp=start.timestamp())
    await comes_true(lambda: topic.numbers() == [1])


async def test_a_batch_that_fails_holds_up_its_partition_only(make_topic: Callable[..., Any]) -> None:
    """What follows it waits for it; the other partition does not. A throttle is no failure."""
    topic: TopicOfTests = await make_topic(2)
    answers: list[Answer] = [(200, True, {}), (429, False, {}), (200, True, {})]

    def answer(event: Any) -> Answer:
        bad = f"{topic.name}-0" in event["records"]
        return answers.pop(0) if bad and answers else (200, False, None)

    topic.function.answer = answer
    await topic.put(0, 1, 2, 3, partition=0)
    await topic.put(10, 11, 12, partition=1)
    poller = topic.poll(batchSize=2)
    await comes_true(lambda: len(topic.numbers(1)) == 3 and len(topic.numbers(0)) == 10)
    assert topic.numbers(0) == [0, 1, 0, 1, 0, 1, 0, 1, 2, 3]
    assert topic.numbers(1) == [10, 11, 12]
    await comes_true(lambda: (poller.report.result, poller.report.pollers) == ("OK", 2))


async def test_a_poison_record_is_found_by_halves_and_told_to_a_topic(make_topic: Callable[..., Any]) -> None:
    """A message for each record that was given up, with its own key and an event of it alone."""
    topic: TopicOfTests = await make_topic()
    failed: TopicOfTests = await make_topic()

    def answer(event: Any) -> Answer:
        return (200, "eyJuIjogMiwg" in json.dumps(event), {})

    topic.function.answer = answer
    await topic.put(*range(4))
    topic.poll(
        batchSize=4,
        maximumBatchingWindowInSeconds=10,
        bisectBatchOnFunctionError=True,
        maximumRetryAttempts=1,
        destinationConfig={"onFailure": {"destination": f"kafka://{failed.name}"}},
    )
    (message,) = await topic.read(failed.name, 1)
    await commits(topic, 4)
    body = json.loads(message.value)
    assert message.key == b"2"
    assert body["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert body["responseContext"]["functionError"] == "Unhandled"
    info = body["KafkaBatchInfo"]
    assert (info["batchSize"], info["bootstrapServers"]) == (1, topic.broker.server())
    assert info["recordInfo"]["offset"] == "2"
    assert [record["offset"] for record in body["payload"]["records"][f"{topic.name}-0"]] == [2]
    assert sorted(set(topic.numbers())) == [0, 1, 2, 3]


async def test_a_queue_is_told_what_identifies_a_batch_that_was_given_up(topic: TopicOfTests) -> None:
    """Offsets and times, and no records; what is to be tried for ever is given up after ten retries all the same."""
    view = topic.view(destinationConfig={"onFailure": {"destination": QUEUE}})
    assert view.stream.max_retries == 10
    topic.function.answer = lambda _: (200, len(topic.records) <= 2, {})
    await topic.put(0, 1)
    topic.poll(batchSize=2, maximumRetryAttempts=0, destinationConfig={"onFailure": {"destination": QUEUE}})
    await comes_true(lambda: bool(topic.destination.sent))
    ((destination, record),) = topic.destination.sent[:1]
    body = json.loads(record.body)
    assert destination == QUEUE
    assert "payload" not in body
    assert body["KafkaBatchInfo"]["recordsInfo"][f"{topic.name}-0"]["firstRecordOffset"] == "0"
    await commits(topic, 2)


async def test_records_that_are_too_old_are_given_up(topic: TopicOfTests) -> None:
    """Before the function sees them."""
    await topic.put(0, 1, at=moment() - timedelta(hours=1))
    await topic.put(2)
    topic.poll(maximumRecordAgeInSeconds=600)
    await comes_true(lambda: bool(topic.records))
    await commits(topic, 3)
    assert topic.numbers() == [2]


async def test_the_function_names_the_records_that_failed(topic: TopicOfTests) -> None:
    """By partition and offset; what is before the first of them is done."""
    answers = [{"batchItemFailures": [{"itemIdentifier": {"partition": f"{topic.name}-0", "offset": 2}}]}]
    topic.function.answer = lambda _: (200, False, answers.pop(0) if answers else None)
    await topic.put(*range(4))
    topic.poll(batchSize=4, maximumBatchingWindowInSeconds=10, functionResponseTypes=["ReportBatchItemFailures"])
    await comes_true(lambda: len(topic.records) == 6)
    assert topic.numbers() == [0, 1, 2, 3, 2, 3]
    await commits(topic, 4)


async def test_what_no_filter_lets_through_moves_the_offset(topic: TopicOfTests) -> None:
    """By key and value; a value that is no JSON is judged by the other members alone."""
    pattern = json.dumps({"value": {"even": [True]}})
    await topic.put(0, 1, 3, 5)
    topic.poll(filterCriteria={"filters": [{"pattern": pattern}]})
    await commits(topic, 4)
    assert topic.numbers() == [0]


async def test_a_record_that_no_event_can_hold_is_given_up(topic: TopicOfTests) -> None:
    """And told of; those around it arrive, also one that just fits."""
    await topic.put(0)
    producer = topic.broker.producer()
    await producer.start()
    await producer.send_and_wait(topic.name, json.dumps({"n": 1, "text": "x" * (4 << 20)}).encode())
    await producer.send_and_wait(topic.name, b"x" * (5 << 20))
    await producer.stop()
    await topic.put(2)
    topic.poll(destinationConfig={"onFailure": {"destination": QUEUE}})
    await commits(topic, 4)
    assert topic.numbers() == [0, 1, 2]
    ((_, record),) = topic.destination.sent
    assert json.loads(record.body)["requestContext"]["condition"] == "MaximumPayloadSizeExceeded"


async def test_two_pollers_share_the_partitions_and_lose_nothing(make_topic: Callable[..., Any]) -> None:
    """When one comes and when one dies: every record is seen, in the order of its partition, and few come twice."""
    topic: TopicOfTests = await make_topic(4)
    first = topic.poll(batchSize=5)
    await comes_true(lambda: first.report.pollers == 4)
    for partition in range(4):
        await topic.put(*range(partition * 100, partition * 100 + 40), partition=partition)
    second = topic.poll(batchSize=5)
    await comes_true(lambda: (first.report.pollers, second.report.pollers) == (2, 2))
    for partition in range(4):
        await topic.put(*range(partition * 100 + 40, partition * 100 + 60), partition=partition)
    await second.stop()
    await comes_true(lambda: first.report.pollers == 4)
    for partition in range(4):
        await topic.put(*range(partition * 100 + 60, partition * 100 + 70), partition=partition)
        await commits(topic, 70, partition)
        seen = topic.numbers(partition)
        assert sorted(set(seen)) == list(range(partition * 100, partition * 100 + 70))
        assert seen == sorted(seen)
        assert len(seen) == 70


async def test_a_storm_of_rebalances_loses_nothing(make_topic: Callable[..., Any]) -> None:
    """Members that come and go at once while records flow: each is seen, first in the order of its partition."""
    topic: TopicOfTests = await make_topic(2)
    first = topic.poll(batchSize=3)
    await comes_true(lambda: first.report.pollers == 2)
    for partition in range(2):
        await topic.put(*range(20), partition=partition)
    others = [topic.poll(batchSize=3) for _ in range(3)]
    await comes_true(lambda: any(each.report.pollers for each in others))
    for partition in range(2):
        await topic.put(*range(20, 30), partition=partition)
    await comes_true(lambda: all(each.poller is not None for each in others))
    await asyncio.gather(*(each.stop() for each in others))
    for partition in range(2):
        await topic.put(*range(30, 40), partition=partition)
    for partition in range(2):
        await commits(topic, 40, partition)
        assert list(dict.fromkeys(topic.numbers(partition))) == list(range(40))


async def test_a_batch_that_is_complete_when_the_poller_is_stopped_is_the_next_ones(
    topic: TopicOfTests, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was not handed over, so nothing of it is done, nor of what follows it."""
    await topic.put(*range(6))
    stopped = topic.poll(batchSize=2)
    complete = MappingRoom.learn
    sizes: list[int] = []

    def learn(room: MappingRoom, size: int) -> None:
        complete(room, size)
        sizes.append(size)
        if len(sizes) == 2 and stopped.poller is not None:
            stopped.poller.stop()

    with monkeypatch.context() as patch:
        patch.setattr(MappingRoom, "learn", learn)
        await stopped.running
    assert topic.numbers() == [0, 1]
    await commits(topic, 2)
    topic.poll(batchSize=2)
    await comes_true(lambda: topic.numbers() == list(range(6)))


async def test_a_broker_that_dies_in_the_middle_of_a_batch_loses_nothing(topic: TopicOfTests) -> None:
    """The answer is kept until it is back; the mapping says that it does not answer."""
    await topic.put(*range(4))
    topic.function.pause.clear()
    poller = topic.poll(batchSize=2)
    await comes_true(lambda: topic.function.running == 1 and poller.report.pollers == 1)
    topic.broker.kill()
    topic.function.pause.set()
    try:
        await comes_true(lambda: poller.report.reason is Reason.SOURCE_UNAVAILABLE)
        assert poller.report.result is not None
        assert poller.report.result.startswith("PROBLEM: Connection error")
    finally:
        topic.broker.start()
    await comes_true(lambda: poller.report.reason is Reason.POLLING)
    await topic.put(4)
    await commits(topic, 5)
    seen = topic.numbers()
    assert sorted(set(seen)) == list(range(5))


async def test_the_lag_is_told(topic: TopicOfTests) -> None:
    """In the status, and as metrics: of all partitions, and of the one where most waits."""
    await topic.put(*range(7))
    topic.function.pause.clear()
    poller = topic.poll(batchSize=2)
    await comes_true(lambda: poller.report.lag == 7)
    page = topic.metrics.page().decode()
    assert 'kubelambda_mapping_lag{mapping="orders",namespace="shop"} 7.0' in page
    assert 'kubelambda_mapping_partition_lag_max{mapping="orders",namespace="shop"} 7.0' in page
    topic.function.pause.set()
    await comes_true(lambda: poller.report.lag == 0)


LOGIN = TlsLogin(USER, PASSWORD)


@pytest.mark.parametrize("kind", ["BASIC_AUTH", "SASL_SCRAM_256_AUTH", "SASL_SCRAM_512_AUTH"])
async def test_a_user_logs_in(topic: TopicOfTests, kind: str) -> None:
    """By each way of SASL, over TLS with an authority of the mapping's own."""
    access = [{"type": kind, "uri": "login"}, ACCESS[1]]
    login = TlsLogin(USER, PASSWORD, authority=topic.broker.authority)
    await topic.put(1)
    topic.poll("LOGINTLS", login=login, sourceAccessConfigurations=access)
    await comes_true(lambda: topic.numbers() == [1])


async def test_a_user_logs_in_without_tls_where_the_connection_says_so(topic: TopicOfTests) -> None:
    """Lambda knows no such thing; within a cluster it is usual."""
    await topic.put(1)
    topic.poll("LOGIN", login=LOGIN, sourceAccessConfigurations=ACCESS[:1], connection={"tls": False})
    await comes_true(lambda: topic.numbers() == [1])


async def test_a_certificate_says_who_we_are(topic: TopicOfTests) -> None:
    """And the broker's who it is."""
    folder = topic.broker.folder
    login = TlsLogin(
        certificate=(folder / "poller.crt").read_text(),
        private_key=(folder / "poller.key").read_text(),
        authority=topic.broker.authority,
    )
    access = [{"type": "CLIENT_CERTIFICATE_TLS_AUTH", "uri": "certificate"}, ACCESS[1]]
    await topic.put(1)
    topic.poll("MUTUAL", login=login, sourceAccessConfigurations=access)
    await comes_true(lambda: topic.numbers() == [1])


@pytest.mark.parametrize(
    ("listener", "login", "access", "reason", "result"),
    [
        (
            "LOGINTLS",
            {"username": USER, "password": "wrong"},
            ACCESS,
            Reason.SOURCE_AUTHENTICATION_FAILED,
            "PROBLEM: SASL authentication failed",
        ),
        (
            "LOGINTLS",
            {"username": USER, "password": PASSWORD, "authority": None},
            ACCESS[:1],
            Reason.SOURCE_AUTHENTICATION_FAILED,
            "PROBLEM: Lambda failed to authenticate server",
        ),
        (
            "EXPIRED",
            {},
            ACCESS[1:],
            Reason.SOURCE_AUTHENTICATION_FAILED,
            "PROBLEM: Lambda failed to authenticate server",
        ),
        (
            "MUTUAL",
            {},
            ACCESS[1:],
            Reason.SOURCE_AUTHENTICATION_FAILED,
            "PROBLEM: Server failed to authenticate Lambda",
        ),
        (
            "LOGINTLS",
            {"username": STRANGER, "password": PASSWORD},
            ACCESS,
            Reason.SOURCE_UNAVAILABLE,
            "PROBLEM: Topic {topic} does not exist",
        ),
    ],
    ids=["password", "authority", "expired", "certificate", "stranger"],
)
async def test_who_is_refused_says_why(
    *, topic: TopicOfTests, listener: str, login: dict[str, Any], access: Any, reason: Reason, result: str
) -> None:
    """In Lambda's words, and never before the broker itself said no."""
    known = TlsLogin(**{"authority": topic.broker.authority, **login})
    poller = topic.poll(listener, login=known, sourceAccessConfigurations=access)
    with pytest.raises(SourceUnreachable) as raised:
        await asyncio.wait_for(poller.running, WAIT_S)
    assert (raised.value.reason, raised.value.result) == (reason, result.format(topic=topic.name))
    assert PASSWORD not in str(raised.value)


async def test_a_topic_that_is_not_there_is_named(topic: TopicOfTests) -> None:
    """And is not made by looking for it."""
    poller = topic.poll(topics=["none"])
    with pytest.raises(SourceUnreachable, match="there is no topic none"):
        await asyncio.wait_for(poller.running, WAIT_S)


async def test_a_certificate_that_is_none_is_said(topic: TopicOfTests) -> None:
    """Before anything is connected."""
    login = TlsLogin(certificate="x", private_key="y", authority=topic.broker.authority)
    access = [{"type": "CLIENT_CERTIFICATE_TLS_AUTH", "uri": "certificate"}, ACCESS[1]]
    poller = topic.poll("MUTUAL", login=login, sourceAccessConfigurations=access)
    with pytest.raises(SourceUnreachable, match="in Secret certificate is invalid"):
        await asyncio.wait_for(poller.running, WAIT_S)
