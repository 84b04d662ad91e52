"""A frontend that is told to end has not done its part while an answer is not read."""

from dataclasses import dataclass
from typing import Any, cast

import pytest

from kubelambda.apps import frontend


@dataclass
class Slow:
    """A connection whose caller has read everything when it is looked at for the third time."""

    looks: int = 0
    closed_after: int | None = None

    def finish(self) -> bool:
        """Whether something is left."""
        self.looks += 1
        return self.looks < 3

    def close(self) -> None:
        """The process ends."""
        self.closed_after = self.looks


@dataclass
class Idle:
    """A frontend with nothing to answer, and a server that listens."""

    unanswered: int = 0

    def drain(self) -> None:
        """Takes nothing new."""

    def close(self) -> None:
        """Listens no more."""


async def test_a_drain_waits_for_callers_who_read_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their invocation ended long ago; what they have not read ends with the process."""
    monkeypatch.setattr(frontend, "PROPAGATION_S", -1)
    slow = Slow()
    await frontend._drain(cast("Any", Idle()), cast("Any", Idle()), cast("Any", [slow]))
    assert slow.closed_after == 3
