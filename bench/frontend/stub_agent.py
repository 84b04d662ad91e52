"""A stand-in for agents: answers every invocation at once, on one port, for any number of connections."""

import asyncio
import sys

import uvloop

from kubelambda.wire.protocol import ServerProtocol
from kubelambda.wire.server import Request


def serve(request: Request) -> None:
    """The answer of a hello-world function."""
    request.respond(200, b'{"hello": "you"}', b"Content-Type: application/json\r\n")


async def main() -> None:
    """Serves until killed."""
    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: ServerProtocol(serve, max_body=1 << 20), "127.0.0.1", int(sys.argv[1]))
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as dispatcher:
        dispatcher.run(main())
