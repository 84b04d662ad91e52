"""What becomes of a log that nobody takes for a while."""

import os
from collections.abc import Iterator
from contextlib import suppress

import pytest

from kubelambda.agent.log import log_output
from kubelambda.agent.log.log_output import LogOutput
from kubelambda.wire.event_loop import EventLoop


class Collected:
    """An output, and the end of its pipe that is read from."""

    def __init__(self, loop: EventLoop) -> None:
        self.loop = loop
        self.end, self.descriptor = os.pipe()
        os.set_blocking(self.end, False)
        self.output = LogOutput(self.descriptor, loop, lambda: None)

    def run(self, seconds: float) -> None:
        """Lets it write."""
        self.loop._running = True
        self.loop.call_later(seconds, self.loop.stop)
        self.loop.run()

    def read(self, most: int = 1 << 20) -> bytes:
        """What is in the pipe."""
        with suppress(BlockingIOError):
            return os.read(self.end, most)
        return b""


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collected]:
    """One whose collector has taken nothing for too long, with as much unwritten, and four bytes that it will miss."""
    monkeypatch.setattr(log_output, "DEAD_S", 0.05)
    loop = EventLoop()
    found = Collected(loop)
    found.output.add(b"before\n" * 20_000)
    found.output.flush()
    found.run(0.2)
    assert found.output.settled
    found.output.add(b"lost")
    yield found
    loop.close()
    os.close(found.end)
    os.close(found.descriptor)


@pytest.mark.parametrize("after", [b"", b"after\n"])
def test_what_is_missing_is_told_where_it_is_missing(collected: Collected, after: bytes) -> None:
    """Behind what was kept, and before what comes next, if anything does."""
    text = collected.read(65_536)
    collected.run(0.01)
    assert not collected.output.settled
    collected.output.add(after)
    while more := collected.read():
        text += more
        collected.run(0.01)
    told = b"\n4 bytes of this log are lost: nobody read it\n"
    assert text == b"before\n" * 20_000 + told + after
    assert (collected.output.settled, collected.output.lost_bytes) == (True, 4)
