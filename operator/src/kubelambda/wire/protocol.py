"""The HTTP server's connections as protocols of asyncio's event loops."""

import asyncio

from kubelambda.wire.server import Connection


# asyncio types a transport by its base class; those that carry bytes all have what a connection needs.
class ServerProtocol(Connection, asyncio.Protocol):  # type: ignore[misc]
    """The server side of one connection."""

    __slots__ = ()
