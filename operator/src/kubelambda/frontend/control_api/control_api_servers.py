"""Which replica of the control API gets the calls of an account: always the same one, which counts them all (§0.6)."""

import time
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import urlsplit

from kubelambda.core.account import ownership
from kubelambda.wire.kept_connections import Address

AWAY_S: Final = 5.0
"""How long a replica is passed over that could not be reached."""


class ControlApiServers:
    """The replicas that are `ready`, and their Service at `url` where none is known."""

    def __init__(
        self,
        url: str,
        ready: Callable[[], Iterable[Address]] = frozenset,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`now`: seconds on any steady clock."""
        address = urlsplit(url)
        self._service = (address.hostname or "localhost", address.port or 80)
        self._ready = ready
        self._now = now
        self._away: dict[Address, float] = {}

    def ranked(self, account: str) -> list[Address]:
        """Who gets the calls of an account, and who follows where nobody is reached. Never empty.

        Every frontend says the same as soon as it has heard of the same replicas. Those that were away come last.
        """
        by_name = {f"{host}:{port}": (host, port) for host, port in self._ready()}
        now = self._now()
        self._away = {address: until for address, until in self._away.items() if until > now}
        found = [by_name[name] for name in ownership.ranked(account, by_name)]
        return [*sorted(found, key=self._away.__contains__), self._service]

    def unreachable(self, address: Address) -> None:
        """No connection leads there."""
        self._away[address] = self._now() + AWAY_S
