"""The state of an event source mapping, out of what is wanted and what pollers have confirmed: pure (§7.1.2).

The operator writes it into the object. Of a change that it has not seen yet, the control API says what is under way in
the same words.

```
   nothing ──▶ Creating ──▶ Enabled ◀──▶ Updating
                  │          │   ▲
                  ▼  Disabling   Enabling
               Disabled ◀────┘   │
                  └──────────────┘
```
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kubelambda.api.mapping_states import MappingState
from kubelambda.api.reasons import Reason

POLLING: Final = "Polling"
"""The condition that pollers write."""
TRANSITIONS: Final = frozenset({"Creating", "Enabling", "Disabling", "Updating", "Deleting"})
READ_IN: Final = frozenset({"Creating", "Enabling", "Updating", "Enabled"})
"""States that the operator gives a mapping whose records are to be read."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What pollers last said of a mapping."""

    reason: str
    """That of their condition."""
    generation: int
    """Of the spec that they spoke of."""

    @property
    def working(self) -> bool:
        """Whether they work it, be it in vain."""
        return self.reason != Reason.PAUSED

    def works(self, generation: int) -> bool:
        """Whether they work that generation of it, or a later one."""
        return self.working and self.generation >= generation


def confirmed_by(conditions: Sequence[Mapping[str, Any]]) -> Confirmed | None:
    """What the conditions of a status, as the API server has them, say of pollers; None while they said nothing."""
    for each in conditions:
        if each["type"] == POLLING:
            return Confirmed(str(each["reason"]), each.get("observedGeneration") or 0)
    return None


def mapping_state(
    before: str | None, *, wanted: bool, generation: int, confirmed: Confirmed | None, deleting: bool = False
) -> MappingState:
    """The state of a mapping that was in `before`. `wanted`: records are to be read, by that generation of its spec.

    Enabled is what pollers work by this generation, also when its source does not answer; Disabled what none works.
    While no poller runs, what is to be read stays on the way: nothing else would be true.
    """
    if deleting:
        return "Deleting"
    working = confirmed is not None and confirmed.working
    if not wanted:
        return "Disabling" if working else "Disabled"
    if confirmed is not None and confirmed.works(generation):
        return "Enabled"
    return state_on_the_way(before, enabled=True)


def state_on_the_way(before: str | None, *, enabled: bool) -> MappingState:
    """What a mapping that was in `before` is called until it is what it is to be."""
    if before in (None, "Creating"):
        return "Creating"
    if enabled:
        return "Updating" if before in ("Enabled", "Updating") else "Enabling"
    return "Updating" if before == "Disabled" else "Disabling"
