"""`kubelambda events` against a queue that runs: what waits is seen, tried now, or thrown away."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.behaviour.event.running_queue import RunningQueue, running, until
from typer.testing import CliRunner, Result

from kubelambda.cli import events_command
from kubelambda.cli.main import app
from kubelambda.cli.port_forward import ForwardFailed
from kubelambda.events.function_policies import EventPolicy
from kubelambda.store.event.sqlite_queue import SqliteQueue

DEAD = "arn:aws:sqs:us-east-1:000000000000:dead"


@pytest.fixture
async def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningQueue]:
    """A queue whose function fails, so that its events wait for a minute; the command finds it without kubectl."""
    async with SqliteQueue(tmp_path / "events.db") as queue, running(queue) as found:
        found.answer = lambda _: (200, {"X-Amz-Function-Error": "Unhandled"})

        @contextmanager
        def forwarded(_target: str, port: int, **_: Any) -> Iterator[str]:
            assert port == 8081
            yield found.admin_url

        monkeypatch.setattr(events_command, "forwarded", forwarded)
        yield found


async def command(*arguments: str) -> Result:
    """Runs the command, while the queue goes on."""
    return await asyncio.to_thread(CliRunner().invoke, app, ["events", *arguments])


async def printed(*arguments: str) -> Any:
    """What a command prints, as JSON."""
    finished = await command(*arguments)
    assert finished.exit_code == 0, finished.output
    return json.loads(finished.output)


async def failed_once(shop: RunningQueue, count: int) -> None:
    """Events of `orders` and of `other` that wait for their first retry."""
    for number in range(count):
        await shop.accept("orders", {"number": number})
    await shop.accept("other", {})
    await until(lambda: len(shop.attempts) == count + 1)
    await until(lambda: sum(shop.worker.waiting().values()) == count + 1)


async def test_what_waits_is_listed_and_shown(shop: RunningQueue) -> None:
    """Page by page, of one function or of all; with its payload when it is asked for by number."""
    await failed_once(shop, 3)
    listed = await printed("list", "-n", "shop", "-f", "orders", "--json")
    assert [event["functionErrors"] for event in listed] == [1, 1, 1]
    assert all(30 < event["dueInSeconds"] <= 60 for event in listed)
    second = await printed("list", "-n", "shop", "--limit", "2", "--after", str(listed[1]["number"]), "--json")
    assert [event["function"] for event in second] == ["orders", "other"]
    (shown,) = await printed("show", str(listed[1]["number"]))
    assert json.loads(shown["payload"]) == {"number": 1}
    table = (await command("list")).output
    assert "shop/orders:$LATEST" in table
    assert "failed 1 times" in table
    assert "3  shop/orders" in (await command("functions")).output


async def test_a_redrive_has_events_tried_now(shop: RunningQueue) -> None:
    """Those that are named, and no others; the number of attempts that they may have stays."""
    await failed_once(shop, 3)
    shop.answer = lambda _: (200, {})
    finished = await command("redrive", "-n", "shop", "-f", "orders")
    assert "3 events are tried again" in finished.output
    await until(lambda: len(shop.attempts) == 7)
    await until(lambda: shop.worker.waiting() == {("shop", "other"): 1})
    assert [event["function"] for event in await printed("list", "--json")] == ["other"]


async def test_a_purge_throws_away_what_it_names(shop: RunningQueue) -> None:
    """After a question; a namespace or numbers must be given."""
    await failed_once(shop, 2)
    assert (await command("purge")).exit_code == 2
    assert (await command("purge", "-n", "shop", "-f", "orders")).exit_code == 1  # nobody says yes
    assert "2 events are thrown away" in (await command("purge", "-n", "shop", "-f", "orders", "--yes")).output
    assert [event["function"] for event in await printed("list", "--json")] == ["other"]
    assert len(await shop.left()) == 1


async def test_dead_letters_come_back(shop: RunningQueue) -> None:
    """Each becomes an event with its request id, and leaves its queue once that is durable."""
    shop.policies.known["orders"] = EventPolicy(dead_letter=DEAD)
    shop.answer = lambda _: (200, {})
    shop.sender.letters = [
        {
            "Body": json.dumps({"number": number}),
            "ReceiptHandle": str(number),
            "MessageAttributes": {"RequestID": {"StringValue": f"id-{number}"}},
        }
        for number in range(12)
    ]
    finished = await command("redrive", "-n", "shop", "-f", "orders", "--dead-letters")
    assert "12 events are tried again" in finished.output
    await until(lambda: len(shop.attempts) == 12)
    assert sorted(request_id for request_id, _ in shop.attempts) == sorted(f"id-{number}" for number in range(12))
    assert shop.sender.letters == []


async def test_what_cannot_be_done_is_said_in_words(shop: RunningQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function without a dead-letter queue; a cluster that cannot be reached."""
    finished = await command("redrive", "-n", "shop", "-f", "orders", "--dead-letters")
    assert finished.exit_code == 1
    assert "Function orders has no dead-letter queue of SQS" in finished.output

    def refuse(*_: Any, **__: Any) -> Any:
        raise ForwardFailed('pods "kubelambda-events-0" not found')

    monkeypatch.setattr(events_command, "forwarded", refuse)
    finished = await command("list")
    assert (finished.exit_code, finished.output) == (1, 'kubelambda: pods "kubelambda-events-0" not found\n')


def test_help_teaches() -> None:
    """What an event waits for, what the rights are, and examples."""
    printed = CliRunner().invoke(app, ["events", "--help"], env={"COLUMNS": "120"}).output
    for word in ("202", "throttled", "port-forward", "--dead-letters", "redrive", "purge"):
        assert word in printed
