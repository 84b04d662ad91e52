"""When a batch of a queue is complete (§7.1.6, §7.3.2, §7.3.3)."""

import pytest

from kubelambda.core.mapping.sqs_batch import (
    EVENT_MAX_BYTES,
    BatchMessage,
    BatchRules,
    Gathering,
    visibility_problem,
    visibility_s,
)


def message(size: int = 10) -> BatchMessage:
    """A message whose record has some size."""
    return BatchMessage("id", "handle", b"x" * size)


def test_without_a_window_a_batch_is_what_came_first() -> None:
    """Nobody waits for more; and an empty one is never complete."""
    gathering = Gathering(BatchRules(10, 0))
    assert not gathering.complete(1e9)
    assert gathering.next_receive(0) == (10, 20)
    gathering.add(message(), 100.0)
    assert gathering.complete(100.0)


def test_a_window_begins_with_the_first_message() -> None:
    """However long nothing came before it; receives ask for what is missing, and for no longer than is left."""
    gathering = Gathering(BatchRules(25, 30))
    for _ in range(8):
        gathering.add(message(), 100.0)
    assert not gathering.complete(129.9)
    assert gathering.next_receive(100.0) == (10, 20)
    assert gathering.next_receive(128.5) == (10, 2)
    for _ in range(12):
        gathering.add(message(), 110.0)
    assert gathering.next_receive(110.0) == (5, 20)
    assert gathering.complete(130.0)


def test_a_full_batch_waits_for_no_window() -> None:
    """As many messages as were asked for are enough."""
    gathering = Gathering(BatchRules(2, 300))
    gathering.add(message(), 0.0)
    assert not gathering.complete(1.0)
    gathering.add(message(), 0.0)
    assert gathering.complete(0.0)


def test_an_event_never_has_more_than_six_megabytes() -> None:
    """The message that would make it too large is not taken in, and completes the batch."""
    gathering = Gathering(BatchRules(100, 300))
    half = EVENT_MAX_BYTES // 2
    assert gathering.add(message(half), 0.0)
    assert not gathering.add(message(half), 0.0)
    assert gathering.complete(0.0)
    assert len(gathering.messages) == 1


def test_a_message_that_no_event_can_hold_is_known() -> None:
    """To the byte."""
    overhead = len(b'{"Records":[]}')
    assert message(EVENT_MAX_BYTES - overhead).deliverable
    assert not message(EVENT_MAX_BYTES - overhead + 1).deliverable


@pytest.mark.parametrize(
    ("queue", "window", "timeout", "expected"), [(30, 0, 3, 30), (30, 0, 30, 30), (30, 10, 25, 65), (30, 0, 31, 61)]
)
def test_messages_stay_hidden_while_the_function_is_at_them(
    queue: int, window: int, timeout: int, expected: int
) -> None:
    """The queue's own time, unless window and timeout need more."""
    assert visibility_s(queue, window, timeout) == expected


def test_a_queue_whose_messages_come_back_too_early_is_told_of_in_lambdas_words() -> None:
    """Only when the function's timeout is longer."""
    assert visibility_problem(30, 30) is None
    assert visibility_problem(30, 31) == (
        "Queue visibility timeout: 30 seconds is less than Function timeout: 31 seconds"
    )
