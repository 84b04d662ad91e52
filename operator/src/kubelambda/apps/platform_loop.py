"""The event loop of the platform's processes: uvloop's, but for one fault of it."""

import socket
from collections.abc import Callable
from typing import Any, override

import uvloop


class PlatformLoop(uvloop.Loop):
    """Lets go of sockets that uvloop (0.23) has closed already.

    `create_connection` takes a connected socket over. When the other side resets the connection at that moment, as an
    API server that goes down does, uvloop closes its descriptor, and the socket closes the same number again once the
    garbage collector finds it. By then it may be another connection's: that one is dead and does not know it, and
    whoever gets the number next fails with "File descriptor is used by transport". aiohttp connects in that way, and
    kopf by it.
    """

    @override
    async def create_connection(
        self,
        protocol_factory: Callable[[], Any],
        host: Any = None,
        port: Any = None,
        *,
        sock: socket.socket | None = None,
        **options: Any,
    ) -> Any:
        """As asyncio's. A `sock` that came to nothing is as good as closed afterwards, whoever had it."""
        made: Any = None
        try:
            made = await super().create_connection(protocol_factory, host, port, sock=sock, **options)
        finally:
            if sock is not None and (made is None or made[0].is_closing()):
                sock.detach()
        return made
