"""The embedded code store: archives by digest out of one folder."""

import asyncio
import signal
import time
from pathlib import Path

from kubelambda.apps import options
from kubelambda.store.code.code_store_server import CodeStoreServer
from kubelambda.wire.connections import Bounds, Connections
from kubelambda.wire.unread import bound_unsent

DRAIN_S = 20.0
"""Less than the pod's grace period: whoever has not read his archive by then asks again."""
_LOOK_S = 0.05


def main() -> None:
    """Serves until SIGTERM; then finishes what is in flight."""
    parser = options.parser(__doc__)
    parser.add_argument(
        "--folder", type=Path, default=Path("/var/lib/kubelambda/blobs"), help="where archives are kept"
    )
    parser.add_argument("--port", type=int, default=8080)
    arguments = parser.parse_args()
    options.configure_logging(arguments.log_level)
    server = CodeStoreServer(arguments.folder, options.installation_key(arguments))
    asyncio.run(_run(server, arguments.port))


async def _run(store: CodeStoreServer, port: int) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    connections = Connections(Bounds(), loop.call_later)
    server = await loop.create_server(lambda: store.protocol(connections), None, port, backlog=1024)
    for listening in server.sockets:
        bound_unsent(listening)
    await stop.wait()
    server.close()
    deadline = time.monotonic() + DRAIN_S
    while time.monotonic() < deadline and [each for each in connections if each.finish()]:  # noqa: ASYNC110
        await asyncio.sleep(_LOOK_S)
    for connection in connections:
        connection.close()
