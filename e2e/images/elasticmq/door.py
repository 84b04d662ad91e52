"""A door before a server: `door.py PORT HOST PORT` hands on the connections that come. Killed, it takes them along.

For who asks, that is a server that dies and comes back with all that it had. ElasticMQ itself does not come back with
the order of its FIFO queues.
"""

import asyncio
import sys
from contextlib import suppress


async def hand_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """All that comes, until one of them ends."""
    with suppress(OSError):
        while content := await source.read(1 << 16):
            target.write(content)
            await target.drain()
    target.close()


async def main(port: int, host: str, port_behind: int) -> None:
    """Opens for everybody who comes."""

    async def open_for(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_connection(host, port_behind)
        except OSError:
            writer.close()
            return
        await asyncio.gather(hand_on(reader, to_server), hand_on(from_server, writer))

    async with await asyncio.start_server(open_for, port=port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
