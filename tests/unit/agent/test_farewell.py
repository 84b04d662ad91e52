"""An agent that is told to end waits for callers who read slowly."""

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


def test_the_loop_ends_once_everything_is_sent() -> None:
    """What a caller has not read yet is lost with the process."""
    loop, slow = EventLoop(), Slow()
    farewell = Farewell(loop)
    farewell.connections = cast("Any", [slow])
    loop.call_later(0, farewell)
    loop.run()
    loop.close()
    assert slow.asked == 3
