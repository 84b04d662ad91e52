"""Listeners at the ports of InvokeEndpoints, which come and go with them."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from kubelambda.frontend import front_door
from kubelambda.frontend.cluster.views import EndpointView
from kubelambda.frontend.endpoint.endpoint_door import EndpointDoor
from kubelambda.wire.connections import Connections
from kubelambda.wire.protocol import ServerProtocol
from kubelambda.wire.request import Request
from kubelambda.wire.unread import bound_unsent

_AGAIN_S: Final = 1.0
"""Until a port is tried again that could not be had."""

log = logging.getLogger(__name__)


class EndpointConnection(ServerProtocol):
    """The server side of one connection to the port of an endpoint."""

    __slots__ = ("port",)

    port: int


@dataclass(frozen=True, slots=True)
class _Listener:
    server: asyncio.Server
    identity: object
    """Whose the port was, and who reached it, when it was opened."""


class EndpointListeners:
    """Listens on `address` only: what comes to the pod by other ways has not passed the policy of its network.

    `endpoints` are those that have a port now.
    """

    def __init__(self, address: str, endpoints: Callable[[], list[EndpointView]], door: EndpointDoor) -> None:
        self._address = address
        self._endpoints = endpoints
        self._door = door
        self._open: dict[int, _Listener] = {}
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """There may be other endpoints than before."""
        self._changed.set()

    async def run(self, connections: Connections) -> None:
        """Opens and closes ports until cancelled."""
        try:
            while True:
                self._changed.clear()
                complete = await self._adjust(connections)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), None if complete else _AGAIN_S)
        finally:
            for port in list(self._open):
                self._close(port, connections)

    def of(self, port: int) -> EndpointView | None:
        """The endpoint that has a port; of several that claim it, the one that had it first."""
        claims = [endpoint for endpoint in self._endpoints() if endpoint.port == port]
        return min(claims, key=lambda endpoint: endpoint.rank, default=None)

    async def _adjust(self, connections: Connections) -> bool:
        """Brings the ports in line with the endpoints; whether all could be had."""
        wanted = {port: found for port in {each.port for each in self._endpoints()} if (found := self.of(port))}
        for port, listener in list(self._open.items()):
            if port not in wanted or listener.identity != _identity(wanted[port]):
                self._close(port, connections)
        missing = [endpoint for port, endpoint in wanted.items() if port not in self._open]
        return all([await self._listen(endpoint, connections) for endpoint in missing])

    def _close(self, port: int, connections: Connections) -> None:
        """Connections outlive the network's policy under which they were made: they end after their next answer."""
        self._open.pop(port).server.close()
        for connection in connections:
            if isinstance(connection, EndpointConnection) and connection.port == port:
                connection.closing = True
                if connection.idle:
                    connection.close()

    async def _listen(self, endpoint: EndpointView, connections: Connections) -> bool:
        port = endpoint.port
        admit = partial(self._door.admit, partial(self.of, port))

        def accept() -> EndpointConnection:
            made = EndpointConnection(
                _not_admitted, max_body=0, admit=admit, wording=front_door.wording, connections=connections
            )
            made.port = port
            return made

        try:
            server = await asyncio.get_running_loop().create_server(accept, self._address, port, backlog=1024)
        except OSError as error:
            log.warning("port %d of the InvokeEndpoint %s/%s: %s", port, endpoint.namespace, endpoint.name, error)
            return False
        bound_unsent(server.sockets[0])
        self._open[port] = _Listener(server, _identity(endpoint))
        return True


def _identity(endpoint: EndpointView) -> object:
    return endpoint.rank, endpoint.reach


def _not_admitted(request: Request) -> None:
    raise AssertionError(f"{request.target!r} was not asked about at its head")
