"""Who waits for news of a function, and for how long: pure, time is passed in.

All wait for the same time, whatever the age of their functions: that one is Active is heard late by milliseconds, and
these may be the first of its creation or come after a minute of it.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

WAIT_S: Final = 1.0
"""Many times what a watch is behind on a busy cluster, and no longer than callers pause before they try again."""
WAITING_MAX: Final = 64
"""Of one account, so that who calls what never becomes Active has a frontend keep only so much of what it sends."""

type _Function = tuple[str, str]
"""Its namespace, which is its account, and the name of its object."""


@dataclass(frozen=True, slots=True)
class _Place:
    function: _Function
    until: float


class WaitingRoom[G: Hashable]:
    """Who waits for news of which function, in the order in which they came. Whoever is returned has left."""

    def __init__(self) -> None:
        self._places: dict[G, _Place] = {}
        self._of_function: defaultdict[_Function, dict[G, None]] = defaultdict(dict)
        self._of_account: defaultdict[str, dict[G, None]] = defaultdict(dict)

    def __len__(self) -> int:
        return len(self._places)

    def full(self, account: str) -> bool:
        """Whether nobody else of an account may wait."""
        return len(self._of_account.get(account, ())) >= WAITING_MAX

    def enter(self, function: _Function, guest: G, now: float) -> None:
        """Takes a guest in, where there is room for it."""
        self._places[guest] = _Place(function, now + WAIT_S)
        self._of_function[function][guest] = None
        self._of_account[function[0]][guest] = None

    def heard(self, function: _Function, is_served: Callable[[G], bool]) -> list[G]:
        """There is news of a function: whom that was for."""
        return self._remove([guest for guest in self._of_function.get(function, ()) if is_served(guest)])

    def heard_by_all(self, is_served: Callable[[G], bool]) -> list[G]:
        """There is news for every function: whom that was for."""
        return self._remove([guest for guest in self._places if is_served(guest)])

    def overdue(self, now: float) -> list[G]:
        """Who has waited long enough."""
        return self._remove([guest for guest, _ in takewhile(lambda each: each[1].until <= now, self._places.items())])

    def leave(self, account: str, is_gone: Callable[[G], bool]) -> list[G]:
        """Who of an account has gone by itself."""
        return self._remove([guest for guest in self._of_account.get(account, ()) if is_gone(guest)])

    @property
    def next_at(self) -> float | None:
        """When somebody will have waited long enough; None while nobody waits."""
        return next((place.until for place in self._places.values()), None)

    def _remove(self, guests: list[G]) -> list[G]:
        for guest in guests:
            function = self._places.pop(guest).function
            _drop(self._of_function, function, guest)
            _drop(self._of_account, function[0], guest)
        return guests


def _drop[K, G](index: dict[K, dict[G, None]], key: K, guest: G) -> None:
    del index[key][guest]
    if not index[key]:
        del index[key]
