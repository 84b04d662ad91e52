"""The agent's event loop, on real sockets, pipes and signals."""

import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.ports import free_port

from kubelambda.wire.event_loop import EventLoop


class Recorder:
    """A protocol that keeps what happens to it, and echoes."""

    def __init__(self, echo: int = 1) -> None:
        self.echo = echo
        self.received = b""
        self.lost = self.paused = self.resumed = 0
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        """Keeps the transport."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Echoes."""
        self.received += data
        self.transport.write(data * self.echo)

    def pause_writing(self) -> None:
        """Counts."""
        self.paused += 1

    def resume_writing(self) -> None:
        """Counts."""
        self.resumed += 1

    def connection_lost(self, exc: Exception | None) -> None:
        """Counts."""
        self.lost += 1


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    """A loop that stops after thirty seconds at the latest."""
    found = EventLoop()
    found.call_later(30, found.stop)
    yield found
    found.close()


@pytest.fixture
def protocol() -> Recorder:
    """What the server of `client` does with its one connection."""
    return Recorder()


@pytest.fixture
def client(loop: EventLoop, protocol: Recorder) -> Iterator[socket.socket]:
    """A client of a server on the loop."""
    port = free_port()
    loop.listen("127.0.0.1", port, lambda: protocol)
    with socket.create_connection(("127.0.0.1", port)) as found:
        yield found


def when(loop: EventLoop, holds: Callable[[], object], act: Callable[[], object]) -> None:
    """Acts once it `holds`, between callbacks."""

    def look() -> None:
        if holds():
            act()
        else:
            loop.call_later(0.01, look)

    look()


def test_timers_run_in_order_and_cancelled_ones_never(loop: EventLoop) -> None:
    """Even those of one moment."""
    seen: list[str] = []
    loop.call_later(0.02, lambda: seen.append("b"))
    loop.call_later(0.01, lambda: seen.append("a")).cancel()
    loop.call_later(0.01, lambda: seen.append("c"))
    loop.call_later(0.03, loop.stop)
    loop.run()
    assert seen == ["c", "b"]


def test_cancelled_timers_do_not_pile_up(loop: EventLoop) -> None:
    """One for every invocation, minutes ahead."""
    for _ in range(10_000):
        loop.call_later(900, loop.stop).cancel()
    assert len(loop._timers) < 1000


def test_nobody_wakes_for_a_cancelled_timer(loop: EventLoop) -> None:
    """The timeout of every invocation is one, and most are over long before it."""
    for seconds in (0.01, 0.02, 0.03):
        loop.call_later(seconds, loop.stop).cancel()
    assert loop._pause() > 1
    assert len(loop._timers) == 1


def test_a_timer_may_be_early_where_the_loop_is_awake_for_a_connection(
    loop: EventLoop, protocol: Recorder, client: socket.socket
) -> None:
    """It is not woken a second time for what can be done at once."""
    seen: list[bytes] = []

    def due() -> None:
        seen.append(protocol.received)
        if protocol.received:
            client.close()
            when(loop, lambda: protocol.lost, loop.stop)
        else:  # it was awake for the new connection
            loop.call_later(20, due, early=20)

    begun = time.monotonic()
    loop.call_later(20, due, early=20)
    client.sendall(b"hello")
    loop.run()
    assert seen[-1] == b"hello"
    assert time.monotonic() - begun < 20


def test_timers_that_may_be_early_run_with_the_one_before_them(loop: EventLoop) -> None:
    """One wake-up instead of two."""
    seen: list[str] = []
    loop.call_later(20, lambda: seen.append("second"), early=20)
    loop.call_later(0.01, loop.stop)
    loop.run()
    assert seen == ["second"]


def test_a_timer_that_may_be_early_is_not_early_for_its_own_sake(loop: EventLoop) -> None:
    """Lines are not written one by one by a loop that has nothing else to do."""
    begun = time.monotonic()
    loop.call_later(0.2, loop.stop, early=0.2)
    loop.run()
    assert time.monotonic() - begun >= 0.2


def test_a_timer_may_be_cancelled_twice_and_after_it_ran(loop: EventLoop) -> None:
    """Without any effect."""
    timer = loop.call_later(0, loop.stop)
    loop.run()
    timer.cancel()
    timer.cancel()


def test_more_than_the_other_side_reads_at_once_arrives_whole_and_in_order(
    loop: EventLoop, client: socket.socket, protocol: Recorder
) -> None:
    """And a close waits until it is sent."""
    protocol.echo = 3_000_000
    received = bytearray()
    client.sendall(b"ab")

    def read() -> None:
        time.sleep(0.1)  # by now the server has written more than the kernel keeps
        while data := client.recv(65_536):
            received.extend(data)

    client.settimeout(30)
    when(loop, lambda: protocol.received == b"ab", lambda: protocol.transport.close())  # noqa: PLW0108 - there is no transport yet
    loop.in_thread(read, lambda _: when(loop, lambda: protocol.lost, loop.stop))
    loop.run()
    assert bytes(received) == b"ab" * 3_000_000
    assert protocol.lost == 1


def test_a_client_that_goes_away_is_a_lost_connection(
    loop: EventLoop, client: socket.socket, protocol: Recorder
) -> None:
    """Once; and what is written afterwards is dropped."""
    client.sendall(b"x")
    when(loop, lambda: protocol.received, client.close)
    when(loop, lambda: protocol.lost, loop.stop)
    loop.run()
    assert (protocol.received, protocol.lost) == (b"x", 1)
    protocol.transport.write(b"too late")
    assert protocol.transport.is_closing()


def test_the_end_of_a_connection_is_never_told_within_a_write(
    loop: EventLoop, client: socket.socket, protocol: Recorder
) -> None:
    """Whoever writes in two parts must not lose the connection between them."""
    lost_within: list[int] = []

    def write() -> None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()  # a reset
        for _ in range(3):
            protocol.transport.write(b"x")
            lost_within.append(protocol.lost)

    when(loop, lambda: protocol.transport, write)
    when(loop, lambda: protocol.lost, loop.stop)
    loop.run()
    assert lost_within == [0, 0, 0]
    assert protocol.lost == 1


def test_a_callback_that_fails_ends_nothing_else(loop: EventLoop, capsys: pytest.CaptureFixture[str]) -> None:
    """It is reported."""

    def fail() -> None:
        raise RuntimeError("broken callback")

    loop.call_later(0, fail)
    loop.call_later(0.01, loop.stop)
    loop.run()
    assert "broken callback" in capsys.readouterr().err


@pytest.mark.parametrize("error", [None, ValueError("no")])
def test_work_in_a_thread_ends_on_the_loop(loop: EventLoop, error: Exception | None) -> None:
    """With what it raised."""
    seen: list[tuple[int, Exception | None]] = []

    def work() -> None:
        if error is not None:
            raise error

    def done(outcome: Exception | None) -> None:
        seen.append((threading.get_ident(), outcome))
        loop.stop()

    loop.in_thread(work, done)
    loop.run()
    assert seen == [(threading.get_ident(), error)]


def test_a_signal_is_handled_between_callbacks(loop: EventLoop) -> None:
    """Not in the middle of one."""
    before = signal.getsignal(signal.SIGUSR1)
    seen: list[str] = []

    def busy() -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        seen.append("callback")

    def handle() -> None:
        seen.append("signal")
        loop.stop()

    try:
        loop.on_signal(signal.SIGUSR1, handle)
        loop.call_later(0, busy)
        loop.run()
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGUSR1, before)
    assert seen == ["callback", "signal"]


def test_a_reader_is_called_until_it_is_removed(loop: EventLoop) -> None:
    """Level-triggered."""
    source, sink = os.pipe()
    seen: list[bytes] = []

    def readable() -> None:
        seen.append(os.read(source, 1))
        if len(seen) == 2:
            loop.remove_reader(source)
            loop.stop()

    loop.add_reader(source, readable)
    os.write(sink, b"abc")
    loop.run()
    os.close(source)
    os.close(sink)
    assert seen == [b"a", b"b"]
