"""Which frontend owns which namespace, as this one sees it: ready members without those known to be away."""

import asyncio
from collections.abc import Callable

from kubelambda.core.account import ownership
from kubelambda.wire.background_tasks import BackgroundTasks
from kubelambda.wire.client import connect, request_head

_PROBE_S = 1.0
_ANSWER_S = 1.0


class Owners:
    """`members` gives the addresses that Kubernetes says are ready; it needs seconds to see one go, or a minute.

    Until it has named any, this frontend owns nothing: it may hear of pods first, and would take them from their owner.
    A frontend that could not be reached, or says that it drains, is passed over until it answers that it is ready.
    """

    def __init__(
        self, address: str, port: int, members: Callable[[], frozenset[str]], changed: Callable[[], None]
    ) -> None:
        self._address = address
        self._port = port
        self._members = members
        self._listed: frozenset[str] = frozenset()
        self._changed = changed
        self._ranked: dict[str, list[str]] = {}
        self._away: set[str] = set()
        self._tasks = BackgroundTasks()
        self.leaving = False

    @property
    def known(self) -> bool:
        """Whether anybody was ever said to be ready: before, it is not known who owns what."""
        return bool(self._listed)

    @property
    def away(self) -> list[str]:
        """Members that are passed over: whoever gets a request from here must do so too."""
        return sorted(self._away | ({self._address} if self.leaving else set()))

    def ranked(self, namespace: str) -> list[str]:
        """The owner of a namespace, and who follows it. Empty when all are away: then everybody is."""
        found = self._ranked.get(namespace)
        if found is None:
            members = self._listed - self._away
            if self.leaving:
                members -= {self._address}
            found = self._ranked[namespace] = ownership.ranked(namespace, members)
        return found

    def owns(self, namespace: str) -> bool:
        """Whether this frontend is the owner."""
        ranked = self._ranked.get(namespace)
        if ranked is None:
            ranked = self.ranked(namespace)
        return ranked[0] == self._address if ranked else self.known

    def leave(self) -> None:
        """This frontend drains: the others own everything."""
        self.leaving = True
        self._ranked.clear()
        self._changed()

    def members_changed(self) -> None:
        """Kubernetes says something else. That nobody is ready moves nothing: those that were may be there still."""
        self._listed = self._members() or self._listed
        self._away &= self._listed
        self._ranked.clear()
        self._changed()

    def suspect(self, address: str) -> None:
        """A member cannot be reached, or is about to go."""
        if address == self._address or address in self._away or address not in self._listed:
            return
        self._away.add(address)
        self._ranked.clear()
        self._tasks.start(self._probe(address))
        self._changed()

    async def _probe(self, address: str) -> None:
        while address in self._away:
            if await self._ready(address):
                self._away.discard(address)
                self._ranked.clear()
                self._changed()
                return
            await asyncio.sleep(_PROBE_S)

    async def _ready(self, address: str) -> bool:
        try:
            connection = await connect(address, self._port, lambda _: None, _ANSWER_S)
        except (OSError, TimeoutError):
            return False
        try:
            async with asyncio.timeout(_ANSWER_S):
                status, _, _ = await connection.call(request_head("GET", "/readyz", address, {}, 0))
        except (OSError, TimeoutError):
            return False
        finally:
            connection.close()
        return status == 200
