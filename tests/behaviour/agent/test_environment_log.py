"""A collector of logs that is slow or dead holds nothing up but what prints too much."""

import contextlib
import os
import select
import signal
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
CHATTY = """
import itertools, os, time
def chat():
    time.sleep(0.8)  # what comes before the last moment would only be much to read
    for number in itertools.count():
        os.write(1, b"%07d %s\\n" % (number, b"x" * 1015))
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
    assert numbers(collected) == list(range(2000))
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
    assert [numbers(each) for each in between] == [list(range(30))] * 20
    assert claimed.state()["lostLogBytes"] == 0


def test_what_init_printed_comes_before_the_first_invocation_however_slow_the_collector_is(
    start: Callable[..., Any], collector: tuple[int, int]
) -> None:
    """INIT ends with more unwritten than anybody should add to, and some of it in the pipe."""
    environment = start(output=collector[1])
    init = "import os\nfor number in range(350): os.write(1, b'%07d %s\\n' % (number, b'x' * 1015))\n"
    assert environment.specialize({"index.py": init + CODE}, timeout=30).json["status"] == "ready"
    assert environment.invoke({}, tail=True).log.startswith("START RequestId: request-1")
    collected = b""
    while b"REPORT RequestId" not in collected:
        collected += os.read(collector[0], 1 << 20)
    before, after = collected.split(b"START RequestId")
    assert (before.count(b"x\n"), after.count(b"x\n")) == (350, 0)


def test_an_environment_that_is_told_to_end_writes_all_that_was_printed(
    claimed: Any, collector: tuple[int, int]
) -> None:
    """As long as its collector takes something now and then."""
    answers: list[Any] = []
    invoking = threading.Thread(target=lambda: answers.append(claimed.invoke({"lines": 450})))
    invoking.start()
    collected = b""
    while invoking.is_alive():
        collected += os.read(collector[0], 16_384)
        time.sleep(0.05)
    claimed.process.send_signal(signal.SIGTERM)
    while claimed.process.poll() is None:
        if select.select([collector[0]], [], [], 0.1)[0]:
            collected += os.read(collector[0], 16_384)
            time.sleep(0.2)
    while select.select([collector[0]], [], [], 0)[0]:
        collected += os.read(collector[0], 1 << 20)
    assert numbers(collected) == list(range(450))
    assert collected.splitlines()[-1].startswith(b"REPORT RequestId: request-1")


def numbers(log: bytes) -> list[int]:
    """Which lines of `CODE` a log has."""
    return [int(line[:7]) for line in log.splitlines() if line[:7].isdigit()]


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


@pytest.mark.parametrize("tail", [False, True])
def test_what_a_function_printed_before_its_timeout_comes_before_its_report(unclaimed: Any, *, tail: bool) -> None:
    """It does not stop by itself."""
    unclaimed.specialize({"index.py": CHATTY + "def handler(event, context): chat()\n"}, timeout=1)
    answer = unclaimed.invoke({}, tail=tail)
    assert answer.json["errorType"] == "Sandbox.Timedout"
    assert unclaimed.invoke({}).json["errorType"] == "Sandbox.Timedout"
    assert unclaimed.logged("REPORT RequestId: request-2")
    *others, last = unclaimed.log_file.read_bytes().split(b"REPORT RequestId")[1:]
    assert [each.splitlines()[1] for each in others] == [b"START RequestId: request-2 Version: $LATEST"]
    assert last.count(b"\n") == 1
    for each in unclaimed.log_file.read_bytes().split(b"START RequestId")[1:]:
        assert each.count(b"x\nEND") == 0
        assert each[: each.index(b" Task timed out")].count(b"x\n") == each.count(b"x\n")
    if tail:
        assert answer.log.encode() in unclaimed.log_file.read_bytes()


def test_what_is_printed_before_init_times_out_comes_before_its_report(unclaimed: Any) -> None:
    """Likewise."""
    assert unclaimed.specialize({"index.py": CHATTY + "chat()\n"}, init_timeout=1).json["status"] == "init-timeout"
    assert unclaimed.logged("INIT_REPORT")
    unclaimed.process.send_signal(signal.SIGTERM)
    unclaimed.process.wait()
    report = unclaimed.log_file.read_bytes().partition(b"INIT_REPORT")[2]
    assert report.count(b"\n") == 1
