"""Connections to brokers, which reach only what whoever asked for them could reach too."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence

from pydantic import IPvAnyNetwork

from kubelambda.outbound.guarded_sockets import Address, outside

_CONNECT_S = 10.0
type Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def open_stream(host: str, port: int, tls: ssl.SSLContext | None, refused: Sequence[IPvAnyNetwork]) -> Stream:
    """A connection to the first address of `host` that answers. Raises `OSError`, and `TimeoutError` after 10 s.

    None of its addresses can be in `refused`: they are looked at after the name is resolved.
    """
    async with asyncio.timeout(_CONNECT_S):
        return await _open(host, port, tls, outside(refused))


async def _open(host: str, port: int, tls: ssl.SSLContext | None, make: Callable[[Address], socket.socket]) -> Stream:
    loop = asyncio.get_running_loop()
    fault: OSError = OSError(f"{host} has no address")
    for address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        try:
            found = make(address)
        except OSError as error:
            fault = error
            continue
        found.setblocking(False)
        try:
            await loop.sock_connect(found, address[4])
            return await asyncio.open_connection(sock=found, ssl=tls, server_hostname=host if tls else None)
        except OSError as error:
            fault = error
            found.close()
        except BaseException:
            found.close()
            raise
    raise fault
