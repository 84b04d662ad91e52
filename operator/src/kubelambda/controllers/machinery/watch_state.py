"""How watching goes: when events last came, whether they still do, and which objects cannot be read."""

import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from kubelambda.controllers.machinery.watched import Name, Watch


def _now() -> defaultdict[Watch[Any], float]:
    return defaultdict(time.monotonic)


@dataclass(slots=True)
class WatchState:
    """What the watches and the resync know of each other."""

    last_event: defaultdict[Watch[Any], float] = field(default_factory=_now)
    """When a watch last delivered something, on the monotonic clock."""
    listed: dict[Watch[Any], float] = field(default_factory=dict)
    """When a watch that begins, maybe once more, last delivered something that was there already; see `resync.mind`."""
    deaf: set[str] = field(default_factory=set)
    """Kinds of which a list showed a change that no watch delivered."""
    loaded: bool = False
    """Whether everything was listed once."""
    unreadable: dict[tuple[Watch[Any], Name], str] = field(default_factory=dict)
    """Objects that are skipped, with their uid and generation: each is told once."""
