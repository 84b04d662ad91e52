"""What of a shard is done, and what its function gets next: no position passes a record that is not done (§7.4)."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from kubelambda.core.mapping import shard_buffer
from kubelambda.core.mapping.shard_buffer import ShardBuffer
from kubelambda.core.mapping.stream_rules import StreamRecord, StreamRules

type Batch = tuple[StreamRecord, ...]

BEGIN = datetime(2026, 1, 2, tzinfo=UTC)


def record(number: int, *, key: str = "", size: int = 10, at: float = 0.0) -> StreamRecord:
    """A record of a shard."""
    return StreamRecord(f"{number:03}", key or str(number), BEGIN + timedelta(seconds=at), b"x" * size)


def filled(rules: StreamRules, *records: StreamRecord) -> ShardBuffer:
    """A shard with records that were read at 0."""
    buffer = ShardBuffer(rules)
    for each in records:
        buffer.add(each, 0.0)
    return buffer


def sequences(batch: tuple[StreamRecord, ...]) -> list[int]:
    """Numbers of the records of a batch."""
    return [int(each.sequence) for each in batch]


def test_a_batch_is_complete_by_size_or_when_its_window_is_over() -> None:
    """Whichever is first."""
    buffer = filled(StreamRules(size=2, window_s=5), record(0), record(1), record(2))
    assert sequences(buffer.take(0, 1.0)) == [0, 1]
    assert buffer.take(0, 1.0) == ()
    assert buffer.due_s(0, 1.0) == 4.0
    assert sequences(buffer.take(0, 5.0)) == [2]


def test_the_last_records_of_a_closed_shard_wait_for_nothing() -> None:
    """No window is waited for when no record can follow."""
    buffer = filled(StreamRules(size=9, window_s=300), record(0))
    assert sequences(buffer.take(0, 0.0, closing=True)) == [0]


def test_a_batch_is_never_larger_than_an_event_may_be() -> None:
    """But one record too large for any is handed on alone."""
    third = shard_buffer.EVENT_MAX_BYTES // 3
    buffer = filled(
        StreamRules(size=9), *(record(number, size=third) for number in range(3)), record(3, size=9 * third)
    )
    assert sequences(buffer.take(0, 0.0)) == [0, 1]
    assert sequences(buffer.take(0, 0.0)) == [2]
    assert sequences(buffer.take(0, 0.0)) == [3]


def test_no_batch_reaches_over_the_end_of_a_tumbling_window() -> None:
    """Records of the next window are the next batch, complete or not."""
    buffer = filled(StreamRules(size=9, tumbling_s=10, window_s=60), record(0, at=1), record(1, at=9), record(2, at=11))
    assert sequences(buffer.take(0, 0.0)) == [0, 1]
    assert buffer.take(0, 0.0) == ()


def test_what_is_passed_over_moves_the_position_once_all_before_it_is_done() -> None:
    """And not sooner."""
    buffer = filled(StreamRules(), record(0))
    buffer.skip("001")
    before = buffer.checkpoint
    buffer.done(buffer.take(0, 0.0))
    assert (before, buffer.checkpoint, buffer.empty) == (None, "001", True)


@given(
    keys=st.lists(st.integers(0, 3), max_size=30),
    lanes=st.integers(1, 4),
    size=st.integers(1, 4),
    choices=st.data(),
)
def test_the_position_is_right_whichever_lane_is_done_first(
    keys: list[int], lanes: int, size: int, choices: st.DataObject
) -> None:
    """All before it is done, records of one key come in order, and none comes twice."""
    buffer = ShardBuffer(StreamRules(size=size, lanes=lanes))
    for number, key in enumerate(keys):
        buffer.add(record(number, key=f"key-{key}"), 0.0)
    under_way: list[tuple[StreamRecord, ...]] = []
    seen: list[int] = []
    done: set[int] = set()
    while len(done) < len(keys):
        taken = [batch for lane in range(lanes) if (batch := buffer.take(lane, 0.0))]
        seen += [each for batch in taken for each in sequences(batch)]
        under_way += taken
        batch = under_way.pop(choices.draw(st.integers(0, len(under_way) - 1)))
        buffer.done(batch)
        done |= set(sequences(batch))
        expected = next((number for number in range(len(keys)) if number not in done), len(keys)) - 1
        assert buffer.checkpoint == (f"{expected:03}" if expected >= 0 else None)
    assert buffer.empty
    assert sorted(seen) == list(range(len(keys)))
    for key in range(4):
        own = [number for number in seen if keys[number] == key]
        assert own == sorted(own)


def test_what_is_given_back_is_read_again_and_nothing_else() -> None:
    """All that waits behind the last batch, with what is passed over there: the reading goes on after that batch."""
    buffer = filled(StreamRules(size=2), record(0), record(1), record(2), record(3))
    buffer.skip("004")
    buffer.add(record(5), 0.0)
    batch = buffer.take(0, 0.0)
    assert buffer.give_back() == "001"
    assert buffer.bytes_held == 20
    assert buffer.due_s(0, 0.0) is None
    buffer.done(batch)
    assert (buffer.checkpoint, buffer.empty) == ("001", True)
    assert buffer.give_back() == "001"
    assert ShardBuffer(StreamRules()).give_back() is None


@given(
    keys=st.lists(st.integers(0, 3), max_size=20),
    lanes=st.integers(1, 3),
    steps=st.lists(
        st.tuples(st.sampled_from(["read", "read", "take", "done", "back"]), st.integers(0, 9)), max_size=60
    ),
)
def test_no_record_is_lost_or_seen_twice_when_some_are_given_back(
    keys: list[int], lanes: int, steps: list[tuple[str, int]]
) -> None:
    """Whatever was taken, done or passed over by then, in any order."""
    buffer, seen, under_way, read = ShardBuffer(StreamRules(size=2, lanes=lanes)), list[int](), list[Batch](), 0
    to_the_end = [("read", 0)] * 20 + [("take", 0), *[("done", 0)] * 3] * 20
    for step, number in steps + to_the_end:
        if step == "read" and read < len(keys):
            if keys[read]:
                buffer.add(record(read, key=f"key-{keys[read]}"), 0.0)
            else:
                buffer.skip(f"{read:03}")
            read += 1
        elif step == "take":
            under_way += [batch for lane in range(lanes) if (batch := buffer.take(lane, 0.0))]
        elif step == "done" and under_way:
            batch = under_way.pop(number % len(under_way))
            buffer.done(batch)
            seen += sequences(batch)
        elif step == "back":
            after = buffer.give_back()
            read = 0 if after is None else int(after) + 1
    assert sorted(seen) == [number for number, key in enumerate(keys) if key]
    assert (buffer.empty, buffer.bytes_held) == (True, 0)
