"""Client connections that are open and idle: kept for the next request to the same server, and not for too long."""

import asyncio
from collections import deque
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Final

from kubelambda.wire.client import ClientConnection, connect
from kubelambda.wire.flow import Headers

if TYPE_CHECKING:
    import ssl

MOST: Final = 256
"""Idle connections to one server; a burst makes more, which are closed after it."""

type Address = tuple[str, int]
"""Host and port."""


class KeptConnections:
    """Connections by server. Those that nobody used for `idle_s` are closed: before the other side does it.

    A server that ends a connection while a request is on its way to it leaves nobody to say whether it was served.
    """

    def __init__(
        self, *, idle_s: float, connect_s: float, most: int = MOST, tls: "ssl.SSLContext | None" = None
    ) -> None:
        """`connect_s`: how long a new connection may take. `tls`: None for connections in the clear."""
        self._idle_s = idle_s
        self._connect_s = connect_s
        self._most = most
        self._tls = tls
        self._kept: dict[Address, deque[tuple[ClientConnection, float]]] = {}
        self._armed = False

    def __len__(self) -> int:
        return sum(map(len, self._kept.values()))

    def take(self, address: Address) -> ClientConnection | None:
        """The connection that was used last, for one request. None when there is none that can be used."""
        kept = self._kept.get(address)
        while kept:
            connection, since = kept.pop()
            if connection.open and monotonic() - since < self._idle_s:
                return connection
            connection.close()
        return None

    async def connect(self, address: Address) -> ClientConnection:
        """A new connection. Raises `OSError` or `TimeoutError`."""
        return await connect(*address, lambda _: None, self._connect_s, tls=self._tls)

    def keep(self, address: Address, connection: ClientConnection) -> None:
        """Takes a connection back whose request has its whole answer."""
        if not connection.ready:
            return
        kept = self._kept.get(address)
        if kept is None:
            kept = self._kept[address] = deque()
        if len(kept) >= self._most:
            connection.close()
            return
        kept.append((connection, monotonic()))
        if not self._armed:
            self._arm(self._idle_s)

    async def call(self, address: Address, head: bytes, body: bytes, *, seconds: float) -> tuple[int, Headers, bytes]:
        """Status, headers and body of the answer to a request that may be sent twice.

        A connection that was closed meanwhile is worth a second try. Raises `OSError` or `TimeoutError`.
        """
        kept = self.take(address)
        if kept is not None:
            with suppress(ConnectionError):
                return await self._ask(kept, address, head, body, seconds)
        return await self._ask(await self.connect(address), address, head, body, seconds)

    async def _ask(
        self, connection: ClientConnection, address: Address, head: bytes, body: bytes, seconds: float
    ) -> tuple[int, Headers, bytes]:
        answer = await connection.call(head, body, seconds=seconds)
        self.keep(address, connection)
        return answer

    def close(self) -> None:
        """Lets go of all of them."""
        for kept in self._kept.values():
            for connection, _ in kept:
                connection.abort()  # a TLS connection would take its time to say good-bye
        self._kept.clear()

    def _arm(self, seconds: float) -> None:
        self._armed = True
        asyncio.get_running_loop().call_later(seconds, self._sweep)

    def _sweep(self) -> None:
        """Closes what was idle for too long, and sleeps for as long as nothing is kept."""
        self._armed = False
        now = monotonic()
        for address, kept in list(self._kept.items()):
            while kept and (now - kept[0][1] >= self._idle_s or not kept[0][0].open):
                kept.popleft()[0].close()
            if not kept:
                del self._kept[address]
        if self._kept:
            oldest = min(kept[0][1] for kept in self._kept.values())
            self._arm(max(self._idle_s - (now - oldest), 0.1))
