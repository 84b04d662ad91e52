"""One log of two pipes: what the function prints, and what its extensions do."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from kubelambda.agent.log.environment_log import EXTENSION, FUNCTION, EnvironmentLog
from kubelambda.agent.log.log_output import FULL_BYTES
from kubelambda.wire.event_loop import EventLoop

_PIECE = 4096
"""What a pipe takes as a whole or not at all."""


class Pipes:
    """A log, and the ends to print to and to read from."""

    def __init__(self, stack: ExitStack) -> None:
        self.loop = EventLoop()
        stack.callback(self.loop.close)
        ends = [os.pipe() for _ in range(3)]
        for each in ends:
            stack.callback(os.close, each[0])
            stack.callback(os.close, each[1])
        (source, self.function), (other, self.extension), (self.read_from, output) = ends
        os.set_blocking(self.read_from, False)
        self.log = EnvironmentLog(output, source, self.loop)
        self.log.listen(other, EXTENSION)
        self.log.listen(other, EXTENSION)  # as each start of an extension does
        self.heard: list[tuple[str, bytes]] = []

    def run(self, seconds: float = 0.05) -> None:
        """Lets the log read and write."""
        self.loop._running = True
        self.loop.call_later(seconds, self.loop.stop)
        self.loop.run()

    @property
    def written(self) -> bytes:
        """What was written since this was asked last."""
        found = b""
        with suppress(BlockingIOError):
            while more := os.read(self.read_from, 1 << 20):
                found += more
        return found


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    """All three of them."""
    with ExitStack() as stack:
        yield Pipes(stack)


def test_no_line_is_glued_to_that_of_another_one(pipes: Pipes) -> None:
    """And whoever listens hears whose each is, as it was printed."""
    pipes.log.heard = lambda whose, data: pipes.heard.append((whose, data))
    os.write(pipes.function, b"one\nhalf")
    pipes.log.drain()
    os.write(pipes.extension, b"two\n")
    pipes.log.drain()
    os.write(pipes.function, b" a line\n")
    pipes.log.drain()
    pipes.log.write(b"END\n")
    pipes.log.flush()
    assert pipes.written == b"one\nhalf\ntwo\n a line\nEND\n"
    assert pipes.heard == [(FUNCTION, b"one\nhalf"), (EXTENSION, b"two\n"), (FUNCTION, b" a line\n")]


def test_a_slow_collector_makes_both_wait_and_loses_neither(pipes: Pipes) -> None:
    """Each at the pipe that it prints to."""
    ends = {b"f": pipes.function, b"e": pipes.extension}
    for end in ends.values():
        os.set_blocking(end, False)
    sent = dict.fromkeys(ends, 0)
    before, written = 0, b""
    for read in (False, True):
        for _ in range(40):
            for name, end in [*ends.items()] * 4:
                with suppress(BlockingIOError):
                    sent[name] += os.write(end, name * (_PIECE - 1) + b"\n") // _PIECE  # all of it, or nothing
            pipes.run(0.005)
            written += pipes.written if read else b""
        before = before or sum(sent.values()) * _PIECE
    deadline = time.monotonic() + 60
    while sum(map(written.count, ends)) < sum(sent.values()) * (_PIECE - 1):
        assert time.monotonic() < deadline
        pipes.run(0.005)
        written += pipes.written
    assert before < 2 * FULL_BYTES < sum(sent.values()) * _PIECE
    assert {name: written.count(name) for name in ends} == {name: sent[name] * (_PIECE - 1) for name in ends}
    assert pipes.log.lost_bytes == 0
