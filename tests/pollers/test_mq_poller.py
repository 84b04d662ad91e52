"""The poller of a queue against real brokers: what is done is acknowledged, and never before (§7.6)."""

import asyncio
import base64
import json
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

import pytest
from tests.pollers.brokers import PASSWORD, STRANGER, USER, ActiveMq, RabbitMq
from tests.pollers.conftest import Answer, Function, eventually
from tests.pollers.queues import LOGIN, QueueOfTests, make_queue, records_of, remove_queue

from kubelambda.api.reasons import Reason
from kubelambda.core.mapping.fair_shares import ShareLimits
from kubelambda.core.mapping.mq_batch import PREFETCH_BYTES
from kubelambda.core.mapping.mq_place import MqPlace
from kubelambda.core.mapping.sqs_batch import BatchRules
from kubelambda.pollers import mq_poller
from kubelambda.pollers.mq_poller import SENT_BYTES
from kubelambda.pollers.share_ledger import ShareLedger
from kubelambda.pollers.sources.activemq import ActiveQueue
from kubelambda.pollers.sources.mq_login import MqLogin
from kubelambda.pollers.sources.rabbitmq import RabbitQueue
from kubelambda.pollers.sources.source_unreachable import SourceUnreachable


@pytest.fixture(scope="module", params=[RabbitMq, ActiveMq], ids=["rabbitmq", "activemq"])
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMq | ActiveMq]:
    """A broker that answers."""
    made: RabbitMq | ActiveMq = request.param(tmp_path_factory.mktemp("broker"))
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture
async def queue(
    broker: RabbitMq | ActiveMq, function: Function, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[QueueOfTests]:
    """A queue of its own, and a poller that is not patient."""
    monkeypatch.setattr(mq_poller, "pause_s", lambda _: 0.05)
    found = QueueOfTests(broker, function)
    await make_queue(found)
    yield found
    await found.close()


async def test_a_message_is_acknowledged_after_the_answer_and_never_before(queue: QueueOfTests) -> None:
    """A poller that dies while the function is at it leaves the message to the next one."""
    queue.function.pause.clear()
    await queue.send(b"hello")
    queue.poll()
    await eventually(lambda: queue.function.running == 1)
    await queue.kill()
    queue.function.pause.set()
    queue.poll()
    await eventually(lambda: queue.count("deleted") == 1)
    await queue.close()
    assert queue.bodies == [b"hello", b"hello"]
    assert await queue.left() == []


async def test_a_message_that_was_sent_ahead_is_in_memory_once(queue: QueueOfTests) -> None:
    """In base64, as its record has it, which is a third more than itself: brokers send hundreds ahead."""
    body, count = b"x" * 1_000_000, 8
    for _ in range(count):
        await queue.send(body)
    async with queue.opened() as source:
        tracemalloc.start()
        try:
            await source.begin(count)
            messages = [await source.receive(20.0) for _ in range(count)]
            used = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
    assert None not in messages
    assert used < 1.8 * count * len(body)


async def test_a_throttled_batch_is_kept_and_tried_again(queue: QueueOfTests) -> None:
    """The broker sends its messages once."""
    answers: list[Answer] = [(429, False, {}), (503, False, {}), (200, False, None)]
    queue.function.answer = lambda _: answers.pop(0)
    await queue.send(b"hello")
    queue.poll()
    await eventually(lambda: queue.count("deleted") == 1)
    assert [record["redelivered"] for record in queue.records] == [False] * 3


async def test_a_batch_that_failed_is_tried_again(queue: QueueOfTests) -> None:
    """By the broker's way, until it succeeds; the mapping says how the last attempt ended."""
    answers: list[Answer] = [(200, True, {"errorType": "Oops"})] * 2 + [(200, False, None)]
    queue.function.answer = lambda _: answers.pop(0)
    await queue.send(b"1", b"2")
    queue.poll(rules=BatchRules(2, 60))
    await eventually(lambda: queue.count("deleted") == 2)
    assert sorted(queue.bodies) == [b"1"] * 3 + [b"2"] * 3
    await eventually(lambda: queue.report.result == "OK")
    assert queue.count("failed_invoke") == 4


async def test_what_no_filter_lets_through_is_gone_unseen(queue: QueueOfTests) -> None:
    """Data in another format than the filter's is not held against it (§7.8.5)."""
    bodies = [json.dumps({"kind": kind}).encode() for kind in ("other", "order", "other")]
    await queue.send(*bodies, b"text")
    queue.poll(patterns=('{"data": {"kind": ["order"]}}',))
    await eventually(lambda: queue.count("deleted") == 2)
    assert queue.bodies == [bodies[1], b"text"]
    await queue.close()
    assert await queue.left() == []


async def test_batches_are_full_while_there_is_enough(queue: QueueOfTests) -> None:
    """And what is left over is given when its window is over, in the order in which it came."""
    bodies = [str(number).encode() for number in range(45)]
    await queue.send(*bodies)
    queue.poll(rules=BatchRules(20, 10.0))
    await eventually(lambda: queue.count("deleted") == 45)
    assert sorted(queue.sizes, reverse=True) == [20, 20, 5]
    assert sorted(queue.bodies) == sorted(bodies)
    for event in queue.function.events:  # some are at the function at once
        numbers = [int(base64.b64decode(record["data"])) for record in records_of(event)]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


async def test_a_size_above_what_is_sent_at_first_is_reached(queue: QueueOfTests) -> None:
    """A broker is let send more once the size of its messages is known."""
    bodies = [str(number).encode() for number in range(700)]
    await queue.send(*bodies)
    queue.poll(rules=BatchRules(400, 5.0))
    await eventually(lambda: queue.count("deleted") == 700)
    assert max(queue.sizes) > 100
    assert sorted(queue.bodies) == sorted(bodies)


async def test_a_broker_sends_no_more_than_there_is_room_for_from_the_begin(queue: QueueOfTests) -> None:
    """The size of a message is known before ActiveMQ sends many: five hundred of 4 MB are more than a poller has."""
    if queue.rabbit:
        return
    lanes, count, size = 5, 60, 1 << 20
    for number in range(count):
        await queue.send(b"%02d" % number + b"x" * size)
    queue.function.pause.clear()
    queue.poll(rules=BatchRules(100, 0.5))
    await eventually(lambda: queue.function.running == lanes)
    await asyncio.sleep(1.0)
    assert queue.sent * size <= min(lanes * PREFETCH_BYTES, SENT_BYTES.account)
    queue.function.pause.set()
    await eventually(lambda: queue.count("deleted") == count)
    assert sorted(body[:2] for body in queue.bodies) == [b"%02d" % number for number in range(count)]


async def test_the_first_message_is_not_told_to_have_been_delivered_before(queue: QueueOfTests) -> None:
    """Though ActiveMQ has sent it twice: the first time its size was looked at."""
    await queue.send(b"1", b"2")
    queue.poll(rules=BatchRules(3, 2.0))  # not so few that its size is no matter
    await eventually(lambda: queue.count("deleted") == 2)
    assert [(body, record["redelivered"]) for body, record in zip(queue.bodies, queue.records, strict=True)] == [
        (b"1", False),
        (b"2", False),
    ]


async def test_what_was_sent_to_an_earlier_limit_is_received_once(queue: QueueOfTests) -> None:
    """Also when the limit changes while it arrives: what the client has read by then, and not handed over, is old."""
    bodies = [str(number).encode() for number in range(100)]
    await queue.send(*bodies)
    async with queue.opened() as source, asyncio.timeout(120):
        while not (queue.rabbit or _read_by_client()):
            await source.begin(400)
            while len(source._inbox) < len(bodies) and not _read_by_client():  # noqa: ASYNC110 - the next step is late
                await asyncio.sleep(0)
        await source.begin(500)
        received = []
        for _ in bodies:
            message = await source.receive(60)
            assert message is not None
            received.append(base64.b64decode(message.record["data"]))
            await source.done([message])
    assert sorted(received) == sorted(bodies)
    assert await queue.left() == []


@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"x-single-active-consumer": True},
        {"x-queue-type": "quorum", "x-delivery-limit": 0},
        {"x-queue-type": "quorum", "x-delivery-limit": 0, "x-single-active-consumer": True},
    ],
    ids=["classic", "single", "quorum", "quorum-single"],
)
async def test_every_kind_of_queue_of_rabbitmq_is_read_in_order(queue: QueueOfTests, kind: dict[str, Any]) -> None:
    """Nothing is delivered twice while the broker is asked for more, which such a queue would drop a message for."""
    if not queue.rabbit:
        return
    queue.name += "-kind"
    await make_queue(queue, arguments=kind)
    bodies = [str(number).encode() for number in range(700)]
    await queue.send(*bodies)
    queue.poll(rules=BatchRules(400, 5.0))
    await eventually(lambda: queue.count("deleted") == len(bodies))
    assert queue.bodies == bodies
    assert not any(record["redelivered"] for record in queue.records)


async def test_a_queue_of_rabbitmq_that_goes_with_its_last_consumer_is_read(queue: QueueOfTests) -> None:
    """The poller stays one."""
    if not queue.rabbit:
        return
    queue.name += "-auto"
    await make_queue(queue, auto_delete=True)
    await queue.send(*[b"x"] * 150)
    queue.poll(rules=BatchRules(100, 0.5))
    await eventually(lambda: queue.count("deleted") == 150)


async def test_a_mapping_has_its_share_of_what_brokers_may_send_ahead(queue: QueueOfTests) -> None:
    """Its batches are no larger; nothing is lost."""
    lanes = 1 if queue.rabbit else 5
    queue.ahead = ShareLedger(ShareLimits(account=1_000_000 * lanes, all_accounts=2_000_000 * lanes))
    bodies = [str(number).encode() * 100_000 for number in range(10, 34)]
    await queue.send(*bodies)
    queue.poll(rules=BatchRules(12, 10.0))
    await eventually(lambda: queue.count("deleted") == 24)
    sizes = queue.sizes
    assert sizes[0] <= (12 if queue.rabbit else 5)
    assert 1 < max(sizes[1:]) <= 5
    assert sorted(queue.bodies) == sorted(bodies)


async def test_without_a_window_a_batch_is_what_is_there(queue: QueueOfTests) -> None:
    """Nothing is waited for, and nothing that is there is left for later."""
    await queue.send(*[str(number).encode() for number in range(60)])
    queue.function.pause.clear()
    queue.poll(rules=BatchRules(50, 0))
    await eventually(lambda: queue.sent == (50 if queue.rabbit else 60))
    queue.function.pause.set()
    await eventually(lambda: queue.count("deleted") == 60)
    assert len(queue.function.events) < 30


async def test_pollers_share_a_queue_of_slow_invocations(queue: QueueOfTests) -> None:
    """None takes more than its own batches may have, though it came first: the other has what is left at once."""
    capacity = 4 if queue.rabbit else 20
    bodies = [str(number).encode() for number in range(2 * capacity)]
    await queue.send(*bodies)
    queue.function.pause.clear()
    queue.poll(rules=BatchRules(4, 30))
    await eventually(lambda: queue.sent == capacity)
    await asyncio.sleep(0.5)
    assert queue.sent == capacity
    other = QueueOfTests(queue.broker, queue.function)
    other.name = queue.name
    other.poll(rules=BatchRules(4, 30))
    await eventually(lambda: len(queue.bodies) == len(bodies))
    queue.function.pause.set()
    await eventually(lambda: queue.count("deleted") == other.count("deleted") == capacity)
    await other.close()
    assert sorted(queue.bodies) == sorted(bodies)


async def test_no_more_batches_run_at_once_than_the_engine_has(queue: QueueOfTests) -> None:
    """One of RabbitMQ, and five of ActiveMQ."""
    await queue.send(*[str(number).encode() for number in range(20)])
    queue.function.pause.clear()
    queue.poll(rules=BatchRules(1, 0))
    most = 1 if queue.rabbit else 5
    await eventually(lambda: queue.function.running == most)
    await asyncio.sleep(0.5)
    queue.function.pause.set()
    await eventually(lambda: queue.count("deleted") == 20)
    assert queue.function.most == most


async def test_a_message_too_large_for_an_event_is_dropped(queue: QueueOfTests) -> None:
    """And holds nobody up (§7.6.3)."""
    await queue.send(b"x" * (5 << 20), b"small")
    queue.poll()
    await eventually(lambda: queue.count("deleted") == 1)
    assert queue.bodies == [b"small"]
    assert queue.count("dropped") == 1
    await queue.close()
    assert await queue.left() == []


async def test_a_poller_that_is_asked_to_end_finishes_what_it_has_begun(queue: QueueOfTests) -> None:
    """And leaves the rest where it is."""
    queue.function.pause.clear()
    await queue.send(b"1", b"2", b"3")
    task = queue.poll(rules=BatchRules(1, 0))
    await eventually(lambda: queue.function.running > 0)
    begun = len(queue.function.events)
    queue.stop()
    await asyncio.sleep(0.5)
    assert not task.done()
    queue.function.pause.set()
    await task
    done = len(queue.function.events)
    assert done - begun <= 4
    found = queue.bodies
    async with asyncio.timeout(60):
        while len(found) < 3:  # the broker has it back a moment later
            found += await queue.left()
    assert sorted(found) == [b"1", b"2", b"3"]


async def test_a_poller_ends_though_it_is_asked_while_it_talks_to_the_broker(
    queue: QueueOfTests, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing more in the queue: it waited for a message that nobody was to send."""
    kind = RabbitQueue if queue.rabbit else ActiveQueue
    acknowledge = kind.done

    async def told(source: Any, messages: Any) -> None:
        await acknowledge(source, messages)
        queue.stop()

    monkeypatch.setattr(kind, "done", told)
    await queue.send(b'{"kind": "other"}')
    task = queue.poll(patterns=('{"data": {"kind": ["order"]}}',))
    async with asyncio.timeout(30):
        await task
    assert queue.function.events == []


async def test_nothing_is_lost_when_the_broker_is_killed_amid_batches(queue: QueueOfTests) -> None:
    """Every message is seen, some of them twice."""
    numbers = [str(number).encode() for number in range(200)]
    await queue.send(*numbers)
    queue.poll(rules=BatchRules(5, 0.1), again=True)
    await eventually(lambda: len(queue.function.events) > 5)
    await asyncio.to_thread(queue.broker.kill)
    await asyncio.to_thread(queue.broker.start)
    await eventually(lambda: set(queue.bodies) == set(numbers), 120)
    assert queue.faults
    queue.stop()


def _read_by_client() -> bool:
    """Whether the client of ActiveMQ has messages that it has not handed over: each has a task of its own then."""
    return any("_run_message_handler" in repr(task.get_coro()) for task in asyncio.all_tasks())


async def refusal(queue: QueueOfTests, place: MqPlace | None = None, login: MqLogin = LOGIN, **more: Any) -> Any:
    """Why a queue cannot be read."""
    with pytest.raises(SourceUnreachable) as raised:
        async with queue.opened(place, login, **more) as source:
            await source.begin(1)
    return raised.value


async def test_a_wrong_password_is_told_of(queue: QueueOfTests) -> None:
    """With the reason that becomes EVENT_SOURCE_AUTHN_ERROR, and without the password."""
    fault = await refusal(queue, login=MqLogin(USER, "wrong"))
    assert fault.reason is Reason.SOURCE_AUTHENTICATION_FAILED
    assert ("Login was refused" if queue.rabbit else "password is invalid") in str(fault)
    assert "wrong" not in str(fault)


async def test_a_user_who_may_not_read_is_told_of(queue: QueueOfTests) -> None:
    """With the reason that becomes EVENT_SOURCE_AUTHZ_ERROR."""
    fault = await refusal(queue, login=MqLogin(STRANGER, PASSWORD))
    assert fault.reason is Reason.SOURCE_AUTHORIZATION_FAILED, str(fault)


async def test_a_broker_that_is_not_there_is_told_of(queue: QueueOfTests) -> None:
    """Neither is one in a network that only we can reach."""
    assert "does not answer" in str(await refusal(queue, queue.place(port=1)))
    refused = await refusal(queue, refused=[ip_network("127.0.0.0/8")])
    assert "nothing that is configured can be at 127.0.0.1" in str(refused)


async def test_a_certificate_is_looked_at(queue: QueueOfTests) -> None:
    """It is refused unless the mapping names who signed it."""
    place = queue.place(tls=True, port=queue.broker.tls_port)
    fault = await refusal(queue, place)
    assert fault.reason is Reason.SOURCE_AUTHENTICATION_FAILED
    assert "certificate is not trusted" in str(fault)
    await queue.send(b"hello")
    async with queue.opened(place, MqLogin(USER, PASSWORD, queue.broker.certificate)) as source:
        await source.begin(1)
        assert await source.receive(60) is not None


async def test_a_queue_or_virtual_host_that_is_not_there_is_told_of(queue: QueueOfTests) -> None:
    """Of RabbitMQ; ActiveMQ makes the queues that somebody reads."""
    if not queue.rabbit:
        return
    assert "no queue 'nope' in vhost" in str(await refusal(queue, queue.place(queue="nope")))
    fault = await refusal(queue, queue.place(virtual_host="nope"))
    assert fault.reason is Reason.SOURCE_AUTHORIZATION_FAILED
    assert "virtual host nope does not exist" in str(fault)
    task = queue.poll()
    await eventually(lambda: queue.report.result is not None)
    await remove_queue(queue)
    with pytest.raises(SourceUnreachable, match=queue.name):
        await task


async def test_the_event_is_lambdas(queue: QueueOfTests) -> None:
    """With everything that the broker tells of a message (§7.6.1, §7.6.2)."""
    if queue.rabbit:
        at = datetime(1970, 1, 1, 0, 33, 41, tzinfo=UTC)
        await queue.send(b"{}", content_type="text/plain", headers={"h": "a", "n": 10}, priority=3, timestamp=at)
    else:
        await queue.send(b"{}", headers={"correlation-id": "co", "type": "order", "index": "1"})
    queue.poll()
    await eventually(lambda: queue.count("deleted") == 1)
    (event,), (record,) = queue.function.events, queue.records
    assert event["eventSourceArn"].endswith(":broker:shop:b-1")
    assert (record["data"], record["redelivered"]) == ("e30=", False)
    if queue.rabbit:
        assert list(event["rmqMessagesByQueue"]) == [f"{queue.name}::shop/eu"]
        about = record["basicProperties"]
        assert about["headers"] == {"h": {"bytes": [97]}, "n": 10}
        assert about["timestamp"] == "Jan 1, 1970, 12:33:41 AM"
        assert (about["contentType"], about["priority"], about["bodySize"]) == ("text/plain", 3, 2)
    else:
        assert record["messageID"].startswith("ID:")
        assert (record["messageType"], record["correlationID"], record["type"]) == ("jms/text-message", "co", "order")
        assert record["destination"] == {"physicalName": queue.name}
        assert record["properties"] == {"index": "1"}


async def test_a_batch_that_fails_for_good_is_left_to_the_broker(queue: QueueOfTests) -> None:
    """ActiveMQ's sixth failure sends it to the dead letter queue; RabbitMQ brings it again and again."""
    queue.function.answer = lambda _: (200, True, {"errorType": "Oops"})
    await queue.send(b"poison")
    queue.poll()
    await eventually(lambda: len(queue.function.events) >= 6)
    if queue.rabbit:
        await eventually(lambda: len(queue.function.events) >= 8)
        assert queue.records[-1]["redelivered"]
        queue.function.answer = lambda _: (200, False, None)
        await eventually(lambda: queue.count("deleted") == 1)
        return
    await asyncio.sleep(1)
    assert len(queue.function.events) == 6
    await queue.close()
    deadline = time.monotonic() + 60
    while b"poison" not in await queue.left("ActiveMQ.DLQ"):  # which asks for a second only
        assert time.monotonic() < deadline
