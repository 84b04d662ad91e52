"""A collector of logs that is slow or dead holds nothing up but what prints too much."""

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.behaviour.agent.environment import eventually

CODE = """
import os
def handler(event, context):
    for number in range(event.get("lines", 0)):
        os.write(1, b"%07d %s\\n" % (number, b"x" * 1015))
    return "done"
"""


@pytest.fixture
def collector() -> Iterator[tuple[int, int]]:
    """A pipe whose reading end nobody reads unless a test does."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


@pytest.fixture
def claimed(start: Callable[..., Any], collector: tuple[int, int]) -> Any:
    """An environment whose log goes into that pipe."""
    found = start(output=collector[1])
    assert found.specialize({"index.py": CODE}, timeout=30).json["status"] == "ready"
    return found


def test_a_slow_collector_loses_nothing_and_holds_up_no_probe(claimed: Any, collector: tuple[int, int]) -> None:
    """Two megabytes into a pipe that is read late: the function waits, the agent does not."""
    answers: list[Any] = []
    invoking = threading.Thread(target=lambda: answers.append(claimed.invoke({"lines": 2000})))
    invoking.start()
    assert eventually(lambda: full(collector[1]))  # in five seconds it is a dead one's
    assert claimed.call("GET", "/healthz").status == 200
    assert claimed.state()["busy"]
    collected = b""
    while b"REPORT RequestId" not in collected:
        collected += os.read(collector[0], 1 << 20)
    invoking.join()
    numbers = [int(line[:7]) for line in collected.splitlines() if line[:7].isdigit()]
    assert numbers == list(range(2000))
    assert claimed.state()["lostLogBytes"] == 0


def test_what_an_invocation_printed_comes_before_its_report_however_slow_the_collector_is(
    claimed: Any, collector: tuple[int, int]
) -> None:
    """Twenty invocations end with more unwritten than anybody should add to."""
    collected = b""
    for _ in range(20):
        assert claimed.invoke({"lines": 30}).json == "done"
        collected += os.read(collector[0], 4096)  # who takes nothing for five seconds is dead
    while collected.count(b"REPORT RequestId") < 20:
        collected += os.read(collector[0], 1 << 20)
    between = collected.split(b"START RequestId")[1:]
    printed = [[int(line[:7]) for line in each.splitlines() if line[:7].isdigit()] for each in between]
    assert printed == [list(range(30))] * 20
    assert claimed.state()["lostLogBytes"] == 0


def full(end: int) -> bool:
    """Whether a pipe takes no more, which may be long before its bytes are as many as its pages could hold."""
    return not select.select([], [end], [], 0)[1]


def test_a_timeout_holds_while_nobody_collects(start: Callable[..., Any], collector: tuple[int, int]) -> None:
    """The agent's own timers do not wait for the log."""
    found = start(output=collector[1])
    found.specialize({"index.py": CODE}, timeout=2)
    assert found.invoke({"lines": 2000}).json["errorType"] == "Sandbox.Timedout"


def test_a_dead_collector_stops_no_function(claimed: Any, collector: tuple[int, int]) -> None:
    """What nobody takes is counted and dropped; once somebody does, the log says how much is missing."""
    assert claimed.invoke({"lines": 4000}).json == "done"
    lost = claimed.state()["lostLogBytes"]
    assert lost > 1_000_000
    os.set_blocking(collector[0], False)
    text, deadline = b"", time.monotonic() + 90
    while b"bytes of this log are lost: nobody read it\n" not in text:
        assert time.monotonic() < deadline, text[-500:]
        with contextlib.suppress(BlockingIOError):
            text += os.read(collector[0], 1 << 20)
        claimed.invoke({})
