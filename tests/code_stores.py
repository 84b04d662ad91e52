"""A code store over a folder, in the process of the test."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from kubelambda.store.code.code_store_server import CodeStoreServer
from kubelambda.wire.connections import Bounds, Connections


@asynccontextmanager
async def served(folder: Path, key: bytes, connections: Connections | None = None) -> AsyncIterator[str]:
    """Its address, while it serves."""
    loop = asyncio.get_running_loop()
    store = CodeStoreServer(folder, key)
    connections = Connections(Bounds(), loop.call_later) if connections is None else connections
    server = await loop.create_server(lambda: store.protocol(connections), "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for connection in connections:
            connection.cut()
