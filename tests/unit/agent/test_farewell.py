"""An agent that is told to end waits for callers, and a collector, who read slowly."""

from dataclasses import dataclass
from typing import Any, cast

from kubelambda.agent.assembly import Farewell
from kubelambda.wire.event_loop import EventLoop


@dataclass
class Slow:
    """A connection whose other side takes what was answered when it is asked for the third time."""

    asked: int = 0

    @property
    def sending(self) -> bool:
        """Whether something is left."""
        self.asked += 1
        return self.asked < 3


@dataclass
class Log:
    """A log that is written when it is asked for so often."""

    times: int

    def flush(self) -> bool:
        """Whether that is all."""
        self.times -= 1
        return self.times <= 0


def test_the_loop_ends_once_everything_is_sent() -> None:
    """What a caller has not read yet is lost with the process."""
    loop, slow = EventLoop(), Slow()
    farewell = Farewell(loop, cast("Any", Log(1)))
    farewell.connections = cast("Any", [slow])
    loop.call_later(0, farewell)
    loop.run()
    loop.close()
    assert slow.asked == 3


def test_the_loop_ends_once_everything_is_written() -> None:
    """Nor does anybody print what the collector had no time for."""
    loop, log = EventLoop(), Log(3)
    loop.call_later(0, Farewell(loop, cast("Any", log)))
    loop.run()
    loop.close()
    assert log.times == 0
