"""What becomes of an event at its end: everybody is told once they can be, and the function never runs again for it."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.behaviour.event.running_queue import ARN, RunningQueue, running, until

from kubelambda.core.event import event_ending
from kubelambda.core.event.delivery import RetryPolicy
from kubelambda.core.invoke import lineage
from kubelambda.events.function_policies import EventPolicy
from kubelambda.store.event.sqlite_queue import SqliteQueue

QUEUE, DEAD = "arn:aws:sqs:us-east-1:000000000000:q", "arn:aws:sqs:us-east-1:000000000000:dead"
FAILS = (200, {"X-Amz-Function-Error": "Unhandled"})
BOTH = EventPolicy(RetryPolicy(0), on_success="sink", on_failure=QUEUE, dead_letter=DEAD)


@pytest.fixture
async def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningQueue]:
    """A queue that tries destinations again soon."""
    monkeypatch.setattr(event_ending, "TELL_AGAIN_MAX_S", 0.05)
    async with SqliteQueue(tmp_path / "events.db") as queue, running(queue) as found:
        yield found


async def test_destination_and_dead_letter_queue_are_both_told(shop: RunningQueue) -> None:
    """The record to the one, the event itself to the other; then it is forgotten."""
    shop.policies.known["f"], shop.answer = BOTH, lambda _: FAILS
    await shop.accept("f", {"a": 1})
    await until(lambda: len(shop.sender.sent) == 2)
    records = dict(shop.sender.sent)
    assert json.loads(records[QUEUE].body)["requestContext"]["condition"] == "RetriesExhausted"
    assert records[DEAD].body == '{"a": 1}'
    assert records[DEAD].attributes["ErrorCode"] == ("Number", "200")
    await until(lambda: _empty(shop))


async def test_a_success_is_no_dead_letter(shop: RunningQueue) -> None:
    """And goes to the destination for successes alone."""
    shop.policies.known["f"] = BOTH
    await shop.accept("f", {"a": 1})
    await until(lambda: _empty(shop))
    assert [destination for destination, _ in shop.sender.sent] == ["sink"]


async def test_a_destination_that_fails_is_told_later_and_the_function_runs_once(shop: RunningQueue) -> None:
    """The one that took its record does not get it twice."""
    shop.policies.known["f"], shop.answer = BOTH, lambda _: FAILS
    shop.sender.refuses = {DEAD}
    number = await shop.accept("f", {"a": 1})
    await until(lambda: _failures(shop, number, 3))
    assert [destination for destination, _ in shop.sender.sent] == [QUEUE]
    shop.sender.refuses = set()
    await until(lambda: _empty(shop))
    assert [destination for destination, _ in shop.sender.sent] == [QUEUE, DEAD]
    assert len(shop.attempts) == 1


async def test_what_is_still_to_be_told_survives_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the function's answer: it is not asked again."""
    monkeypatch.setattr(event_ending, "TELL_AGAIN_MAX_S", 0.05)
    file = tmp_path / "events.db"
    async with SqliteQueue(file) as queue, running(queue) as before:
        before.policies.known["f"], before.answer = BOTH, lambda _: FAILS
        before.sender.refuses = {QUEUE, DEAD}
        number = await before.accept("f", {"a": 1})
        await until(lambda: _failures(before, number, 1))
    async with SqliteQueue(file) as queue, running(queue) as after:
        after.policies.known["f"] = BOTH
        await until(lambda: _empty(after))
        assert sorted(destination for destination, _ in after.sender.sent) == [DEAD, QUEUE]
        assert after.attempts == []
        record = json.loads(dict(after.sender.sent)[QUEUE].body)
        assert record["responseContext"]["functionError"] == "Unhandled"


async def test_a_function_as_destination_is_invoked_with_the_record_and_one_run_further(shop: RunningQueue) -> None:
    """So that two functions that are each other's destinations end at last (§6.8)."""
    loop = EventPolicy(on_success=ARN + "f")
    shop.policies.known["f"] = loop
    await shop.accept("f", {"begin": True})
    await until(lambda: _empty(shop))
    assert len(shop.attempts) == lineage.LIMIT
    assert shop.attempts[1][1]["requestContext"]["condition"] == "Success"
    assert len({request_id for request_id, _ in shop.attempts}) == lineage.LIMIT


async def test_a_loop_that_is_allowed_goes_on(shop: RunningQueue) -> None:
    """`recursiveLoop: Allow`."""
    shop.policies.known["f"] = EventPolicy(on_success=ARN + "f", loops_end=False)
    await shop.accept("f", {"begin": True})
    await until(lambda: len(shop.attempts) > lineage.LIMIT + 4)
    shop.policies.known["f"] = EventPolicy()
    await until(lambda: _empty(shop))


async def _empty(shop: RunningQueue) -> bool:
    return await shop.left() == []


async def _failures(shop: RunningQueue, number: int, count: int) -> bool:
    event = (await shop.queue.read([number]))[number]
    return event.ending is not None and event.ending.failures >= count
