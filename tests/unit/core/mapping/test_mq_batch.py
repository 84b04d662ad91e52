"""Batches of a broker's queue, and how many messages the broker may send (§7.1.6)."""

import json

from kubelambda.core.mapping.mq_batch import (
    PREFETCH_BYTES,
    PREFETCH_FEW,
    PREFETCH_UNSEEN,
    MqBatch,
    MqMessage,
    deliverable,
    first_prefetch,
)
from kubelambda.core.mapping.mq_record import activemq_frame
from kubelambda.core.mapping.sqs_batch import EVENT_MAX_BYTES, BatchRules

FRAME = activemq_frame("arn:aws:mq:us-east-1:123456789012:broker:shop:b-1")


def message(number: int = 0) -> MqMessage:
    """A message that is another than all others."""
    return MqMessage({"number": number}, 1, number)


def batch(rules: BatchRules, limit: int = 1000) -> MqBatch:
    """One without a message."""
    return MqBatch(rules, FRAME, limit)


def test_a_batch_is_complete_when_it_is_full_or_its_window_is_over() -> None:
    """The window begins with the first message."""
    made = batch(BatchRules(2, 5.0))
    assert (made.complete(100.0), made.wait_s(100.0)) == (False, None)
    assert made.add(message(), b"{}", 100.0)
    assert (made.complete(104.9), made.wait_s(104.0)) == (False, 1.0)
    assert (made.complete(105.0), made.wait_s(106.0)) == (True, 0.0)
    assert made.add(message(), b"{}", 101.0)
    assert made.complete(101.0)


def test_a_batch_does_not_wait_for_messages_that_cannot_come() -> None:
    """When the broker may send no more until some are acknowledged."""
    made = batch(BatchRules(100, 300.0), limit=1)
    made.add(message(), b"{}", 0.0)
    assert made.complete(0.0)


def test_an_event_never_outgrows_an_invocation() -> None:
    """What does not fit is the next batch's, and what no event can hold is nobody's."""
    half = b"x" * (EVENT_MAX_BYTES // 2)
    made = batch(BatchRules(100, 300.0))
    assert made.add(message(), half, 0.0)
    assert not made.add(message(), half, 0.0)
    assert made.complete(0.0)
    assert len(made.event()) <= EVENT_MAX_BYTES
    room = EVENT_MAX_BYTES - FRAME.size(1, 0)
    assert deliverable(FRAME, b"x" * room)
    assert not deliverable(FRAME, b"x" * (room + 1))


def test_a_batch_goes_on_without_some_of_its_messages() -> None:
    """In order."""
    made = batch(BatchRules(10, 0.0))
    messages = [message(number) for number in range(3)]
    for each in messages:
        made.add(each, json.dumps(each.record).encode(), 0.0)
    rest = made.without(frozenset({messages[1]}))
    assert rest.messages == [messages[0], messages[2]]
    assert json.loads(rest.event())["messages"] == [{"number": 0}, {"number": 2}]


def test_a_broker_sends_a_whole_batch_once_it_is_known_to_fit() -> None:
    """Before that a single message, and then a hundred for each that came: what is small may be followed by others."""
    first = first_prefetch(10_000, lanes=1, looks=True)
    assert first.count == 0
    assert first.seen(1, 1000).count == PREFETCH_UNSEEN
    assert first.seen(1, 1000).seen(PREFETCH_UNSEEN, 1000 * PREFETCH_UNSEEN).count == 10_000
    assert first.seen(0, 0) == first


def test_a_broker_that_is_not_to_be_asked_twice_sends_what_can_do_without() -> None:
    """Of small messages."""
    first = first_prefetch(100, lanes=1, looks=False)
    assert first.count == 100
    assert first.seen(1, 1000).seen(100, 100_000).count == 100
    assert first_prefetch(10_000, lanes=1, looks=False).count == PREFETCH_UNSEEN


def test_a_broker_sends_few_at_once_whatever_their_size() -> None:
    """To all lanes together."""
    assert first_prefetch(PREFETCH_FEW, lanes=1, looks=True).count == PREFETCH_FEW
    assert first_prefetch(2, lanes=PREFETCH_FEW // 2, looks=True).count == 2
    assert first_prefetch(3, lanes=PREFETCH_FEW // 2, looks=True).count == 0


def test_a_batch_of_few_changes_nothing() -> None:
    """Its broker had no more, or its event no room: it could have been sent more already."""
    known = first_prefetch(10_000, lanes=1, looks=True).seen(1, 1000)
    assert known.seen(99, 99_000).count == known.count
    whole = known.seen(100, 100_000)
    assert whole.seen(1, 1000).count == whole.count == 10_000


def test_a_broker_sends_no_more_than_memory_allows() -> None:
    """Of large messages few, and more again when they are smaller; small changes change nothing."""
    large = first_prefetch(10_000, lanes=1, looks=True).seen(5, 5 << 18)
    assert large.count == PREFETCH_BYTES >> 18
    assert large.seen(5, 5 * int(1.2 * (1 << 18))).count == large.count
    small = large
    for _ in range(20):
        small = small.seen(small.count, small.count * 1000)
    assert small.count == 10_000
    assert first_prefetch(100, lanes=1, looks=True).seen(1, 100 << 20).count == 1


def test_a_broker_sends_no_more_than_the_mapping_has_of_its_account() -> None:
    """Whose messages are small asks for little; whose are large gets what is left to it, one message at least."""
    first = first_prefetch(100, lanes=1, looks=True)
    assert first.wanted_bytes(10, 10_000) == 100_000
    assert first.wanted_bytes(10, 10 << 20) == PREFETCH_BYTES
    assert first.wanted_bytes(1, 0) == 1
    assert first.seen(10, 10 << 20, 4 << 20).count == 4
    assert first.seen(10, 10 << 20, 1).count == 1
