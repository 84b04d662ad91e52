"""An event at its end waits until everybody is told, and no longer than that is worth it."""

from kubelambda.core.event.delivery import DeliveryCondition
from kubelambda.core.event.destination_record import LastAttempt
from kubelambda.core.event.event_ending import (
    TELL_AGAIN_MAX_S,
    TELL_FOR_S,
    EventEnding,
    Listener,
    decoded,
    encoded,
    tell_again,
)

BOTH = (Listener.DESTINATION, Listener.DEAD_LETTER_QUEUE)
LAST = LastAttempt(200, "3", "Unhandled", b'{"errorMessage": "\xc3\xa9"}')
ENDING = EventEnding(DeliveryCondition.RETRIES_EXHAUSTED, 1000.0, BOTH, LAST)


def test_an_ending_comes_back_from_the_queue_as_it_was() -> None:
    """With the function's last answer, to the byte."""
    assert decoded(encoded(ENDING)) == ENDING
    without = EventEnding(DeliveryCondition.ZERO_RESERVED_CONCURRENCY, 1.0, (Listener.DESTINATION,))
    assert decoded(encoded(without)) == without


def test_only_those_who_were_not_reached_are_told_again() -> None:
    """After pauses that grow to five minutes."""
    ending, now = ENDING, 1000.0
    pauses: list[float] = []
    while len(pauses) < 12:
        again = tell_again(ending, [Listener.DEAD_LETTER_QUEUE], now)
        assert again is not None
        ending, due = again
        pauses.append(due - now)
        now = due
    assert ending.untold == (Listener.DEAD_LETTER_QUEUE,)
    assert pauses[:4] == [1.0, 2.0, 4.0, 8.0]
    assert max(pauses) == TELL_AGAIN_MAX_S


def test_what_nobody_takes_is_given_up_at_last() -> None:
    """A queue that was deleted must not keep events for ever."""
    assert tell_again(ENDING, BOTH, 1000.0 + TELL_FOR_S) is not None
    assert tell_again(ENDING, BOTH, 1001.0 + TELL_FOR_S) is None
