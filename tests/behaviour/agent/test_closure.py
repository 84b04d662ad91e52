"""An environment that is born closed finds out by itself that it is, with real connections."""

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from kubelambda.agent.sandbox.closure import Closure, open_way
from kubelambda.api.environment_protocol import ClosureCheck, UnusableMessage, parse_closure_check
from kubelambda.wire.event_loop import EventLoop


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    """A loop that runs meanwhile."""
    found = EventLoop()
    running = threading.Thread(target=found.run)
    running.start()
    yield found
    found.in_thread(lambda: None, lambda _: found.stop())
    running.join()
    found.close()


@pytest.fixture
def allowed() -> Iterator[socket.socket]:
    """What closed environments reach too."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def address(server: socket.socket) -> str:
    """As a check has it."""
    return f"127.0.0.1:{server.getsockname()[1]}"


def test_it_is_not_closed_before_the_policy_holds(loop: EventLoop, allowed: socket.socket) -> None:
    """However late that is; and only after it was closed for so long without a break."""
    late = socket.create_server(("127.0.0.1", 0))
    closure = Closure(ClosureCheck(address(late), address(allowed), 0.3), loop)
    loop.in_thread(lambda: None, lambda _: closure.begin())
    deadline = time.monotonic() + 90
    while "reaches" not in closure.why:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.5)
    assert closure.why == f"no NetworkPolicy holds for it: it reaches {address(late)}"
    held = time.monotonic()
    late.close()
    while closure.why:
        assert time.monotonic() < held + 90
        time.sleep(0.01)
    assert time.monotonic() - held >= 0.29


def test_without_a_network_nobody_is_taken_for_closed(allowed: socket.socket) -> None:
    """What is reached by nobody proves nothing."""
    free = socket.create_server(("127.0.0.1", 0))
    nowhere = address(free)
    free.close()
    assert "network is not there" in str(open_way(ClosureCheck(nowhere, nowhere, 0)))
    assert "network is not there" in str(open_way(ClosureCheck("no-such-host.invalid:80", nowhere, 0)))
    assert open_way(ClosureCheck(nowhere, address(allowed), 0)) is None


def test_where_nobody_has_to_check_time_decides() -> None:
    """An empty address is asked for nothing."""
    assert open_way(ClosureCheck("", "", 1)) is None


def test_a_check_is_read_as_it_is_written() -> None:
    """And what is none is said."""
    check = ClosureCheck("frontend:80", "code-store:8080", 1.5)
    assert parse_closure_check(check.encode()) == check
    wrong: list[Any] = ["", "[]", '{"refused": "a"}']
    for text in wrong:
        with pytest.raises(UnusableMessage):
            parse_closure_check(text)
