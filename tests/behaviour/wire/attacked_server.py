"""A server as the frontend sets one up, in a process of its own: what it holds is that of its connections."""

import asyncio
import sys

import uvloop

from kubelambda.api import limits
from kubelambda.wire.connections import Bounds, Connections
from kubelambda.wire.protocol import ServerProtocol
from kubelambda.wire.server import Request

held: list[Request] = []


def serve(request: Request) -> None:
    """Answers at once, or never, or with six megabytes."""
    if request.target == b"/never":
        held.append(request)
    elif request.target == b"/big":
        request.respond(200, b"x" * 6_000_000)
    else:
        request.respond(200, b"ok")


async def main() -> None:
    """Serves until killed. Argument: how many seconds a head may take."""
    loop = asyncio.get_running_loop()
    connections = Connections(Bounds(head_s=float(sys.argv[1])), loop.call_later)
    server = await loop.create_server(
        lambda: ServerProtocol(serve, max_body=limits.SYNC_REQUEST_MAX_BYTES, connections=connections),
        "127.0.0.1",
        0,
        backlog=1024,
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
