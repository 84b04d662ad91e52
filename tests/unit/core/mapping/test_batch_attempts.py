"""What becomes of a batch of a stream after each attempt (§7.2.4, §7.4.5)."""

from collections import deque
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from kubelambda.core.mapping.batch_attempts import StreamBatch, after, pause_s, split_expired
from kubelambda.core.mapping.stream_rules import StreamRecord, StreamRules

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def batch(*ages: float, retries: int = 0) -> StreamBatch:
    """A batch of records of these ages in seconds, numbered from 0."""
    records = [StreamRecord(str(number), "k", NOW - timedelta(seconds=age), b"{}") for number, age in enumerate(ages)]
    return StreamBatch(tuple(records), retries)


def names(records: tuple[StreamRecord, ...]) -> str:
    """Sequence numbers in one word."""
    return "".join(record.sequence for record in records)


def test_a_batch_that_failed_is_tried_again_as_a_whole() -> None:
    """For ever, unless a number of retries is given."""
    verdict = after(batch(1, 1, 1), {"0", "1", "2"}, StreamRules())
    assert verdict.done == ()
    assert [(names(each.records), each.retries, each.invoked) for each in verdict.again] == [("012", 1, 1)]


def test_a_batch_is_given_up_when_its_retries_are_used() -> None:
    """Zero retries: after its first attempt."""
    assert after(batch(1), {"0"}, StreamRules(max_retries=1)).given_up is None
    given_up = after(batch(1, retries=1), {"0"}, StreamRules(max_retries=1)).given_up
    assert given_up is not None
    assert given_up.invoked == 1
    assert after(batch(1), {"0"}, StreamRules(max_retries=0)).given_up is not None


def test_halving_is_no_retry() -> None:
    """Only a batch of one record counts its retries."""
    verdict = after(batch(1, 1, 1), {"0", "1", "2"}, StreamRules(bisect=True, max_retries=0))
    assert [(names(each.records), each.retries) for each in verdict.again] == [("01", 0), ("2", 0)]
    assert verdict.given_up is None


def test_a_batch_goes_on_with_the_first_record_that_failed() -> None:
    """What is before it is done; that it was a split is no retry when batches are halved."""
    for bisect, retries in ((False, 1), (True, 0)):
        verdict = after(batch(1, 1, 1), {"1"}, StreamRules(bisect=bisect, max_retries=5))
        assert names(verdict.done) == "0"
        assert [(names(each.records), each.retries) for each in verdict.again] == [("12", retries)]


def test_records_that_are_too_old_are_parted_from_the_others() -> None:
    """They come first in a shard."""
    old, rest = split_expired(batch(90, 70, 30), NOW, StreamRules(max_age_s=60))
    assert old is not None
    assert rest is not None
    assert (names(old.records), names(rest.records)) == ("01", "2")
    assert split_expired(batch(90), NOW, StreamRules())[0] is None


def test_pauses_grow_up_to_half_a_minute() -> None:
    """And begin short."""
    assert [pause_s(failures) for failures in (0, 1, 2, 3, 20)] == [0.0, 0.5, 1.0, 2.0, 30.0]


@given(
    count=st.integers(1, 12),
    poison=st.sets(st.integers(0, 11), max_size=3),
    bisect=st.booleans(),
    max_retries=st.integers(0, 3),
    reports=st.booleans(),
)
def test_every_record_is_done_or_given_up_exactly_once(
    count: int, poison: set[int], bisect: bool, max_retries: int, reports: bool
) -> None:
    """In order, with halving nothing but poison is given up, and the function is not asked without end."""
    rules = StreamRules(bisect=bisect, max_retries=max_retries)
    waiting = deque([batch(*[1.0] * count)])
    ends: list[tuple[int, bool]] = []
    for _ in range(count * (max_retries + 2) * 8):
        if not waiting:
            break
        current = waiting.popleft()
        bad = {record.sequence for record in current.records if int(record.sequence) in poison}
        failed = bad if reports or not bad else {record.sequence for record in current.records}
        verdict = after(current, failed, rules)
        ends += [(int(record.sequence), True) for record in verdict.done]
        ends += [(int(record.sequence), False) for record in (verdict.given_up.records if verdict.given_up else ())]
        waiting.extendleft(reversed(verdict.again))
    assert not waiting
    assert [number for number, _ in ends] == list(range(count))
    if bisect:
        assert {number for number, good in ends if not good} == {number for number in poison if number < count}
