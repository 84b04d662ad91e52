"""When a batch is sent, what is dropped, and that neither is ever out of bounds (§4.2.2)."""

import random

from kubelambda.core.telemetry.telemetry_buffer import FALLEN_BEHIND, Dropped, TelemetryBuffer, retry_after


def buffer(max_items: int = 3, max_bytes: int = 100, timeout_s: float = 1.0) -> TelemetryBuffer:
    """One with small bounds."""
    return TelemetryBuffer(max_items, max_bytes, timeout_s)


def test_the_first_event_of_a_batch_waits_no_longer_than_it_may() -> None:
    """Later ones wait less."""
    found = buffer()
    assert found.due_at() is None
    found.add(b"1", now=10.0)
    found.add(b"2", now=10.9)
    assert (found.due_at(), found.take(10.99)) == (11.0, [])
    assert found.take(11.0) == [b"1", b"2"]
    assert found.due_at() is None


def test_a_batch_that_is_full_is_due_at_once() -> None:
    """By number or by size."""
    for events in ([b"1", b"2", b"3"], [b"x" * 100]):
        found = buffer()
        for each in events:
            assert not found.full
            found.add(each, now=10.0)
        assert found.full
        assert found.take(10.0) == events


def test_what_is_flushed_is_due_at_once_and_nothing_else() -> None:
    """A flush of nothing is none, and one holds for what is there."""
    found = buffer()
    found.flush()
    found.add(b"1", now=10.0)
    assert found.take(10.0) == []
    found.flush()
    assert found.take(10.0) == [b"1"]
    found.sent()
    found.add(b"2", now=10.0)
    assert found.take(10.5) == []


def test_one_batch_is_on_its_way_and_the_next_one_waits_for_it() -> None:
    """Its time may pass: it is not dropped for that."""
    found = buffer()
    found.add(b"1", now=0.0)
    assert found.take(1.0) == [b"1"]
    found.add(b"2", now=1.0)
    found.flush()
    assert (found.due_at(), found.take(99.0), found.empty) == (None, [], False)
    found.sent()
    assert found.take(99.0) == [b"2"]
    assert found.take_dropped() is None
    found.sent()
    assert found.empty


def test_a_full_batch_that_cannot_go_is_dropped_and_counted() -> None:
    """The consumer is told once it has taken something."""
    found = buffer()
    found.add(b"1", now=0.0)
    found.take(1.0)
    for _ in range(7):
        found.add(b"22", now=1.0)
    assert found.take_dropped() is None
    found.sent()
    assert found.take_dropped() == Dropped(6, 12, FALLEN_BEHIND)
    assert found.take_dropped() is None
    assert found.take(2.0) == [b"22"]


def test_a_batch_that_never_arrives_is_counted_too() -> None:
    """With what was dropped behind it, and the last reason."""
    found = buffer()
    found.add(b"1", now=0.0)
    found.take(1.0)
    for _ in range(4):
        found.add(b"2", now=1.0)
    found.lost("nobody listens")
    assert found.take_dropped() == Dropped(4, 4, "nobody listens")
    found.lost("twice")
    assert found.take_dropped() is None


def test_what_is_to_be_told_first_drops_nothing() -> None:
    """There is room for it even in a full batch."""
    found = buffer(max_items=2)
    for each in (b"1", b"2"):
        found.add(each, now=0.0)
    found.put_first(b"0")
    assert found.take(0.0) == [b"0", b"1", b"2"]
    assert found.take_dropped() is None


def test_whatever_happens_it_holds_no_more_than_two_batches_and_counts_every_event() -> None:
    """For two hundred courses of things that may happen, in any order."""
    for seed in range(200):
        chance, found, now = random.Random(seed), buffer(), 0.0
        added = arrived = gone = 0
        on_its_way: list[bytes] = []
        for _ in range(100):
            now += chance.random()
            what = chance.choice(["add", "add", "add", "flush", "take", "sent", "lost"])
            if what == "add":
                found.add(b"x" * chance.randint(1, 60), now)
                added += 1
            elif what == "flush":
                found.flush()
            elif what == "take" and not on_its_way:
                on_its_way = found.take(now)
                assert len(on_its_way) <= 3
                assert sum(map(len, on_its_way)) < 100 + 60
            elif what == "sent" and on_its_way:
                arrived, on_its_way = arrived + len(on_its_way), []
                found.sent()
            elif what == "lost" and on_its_way:
                on_its_way = []
                found.lost("why")
            dropped = found.take_dropped()
            gone += dropped.records if dropped is not None else 0
        arrived += len(on_its_way)
        found.sent()
        dropped = found.take_dropped()
        gone += dropped.records if dropped is not None else 0
        found.flush()
        assert added == arrived + gone + len(found.take(now)), seed


def test_it_is_tried_again_ever_more_rarely_and_not_for_ever() -> None:
    """Three seconds in all."""
    pauses = [retry_after(attempt) for attempt in range(6)]
    assert pauses[-1] is None
    known = [each for each in pauses if each is not None]
    assert known == sorted(known)
    assert 3 < sum(known) < 4
