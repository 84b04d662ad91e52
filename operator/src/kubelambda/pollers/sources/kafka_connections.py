"""Connections to the brokers of Kafka, which reach only what whoever asked for them could reach too.

The addresses of brokers come from the cluster itself, and the client has no place for a look at them: we make its
connections in its stead.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Any, override

import aiokafka.client
from aiokafka.conn import AIOKafkaConnection, OAuthAuthenticator
from aiokafka.errors import SaslAuthenticationFailed
from pydantic import IPvAnyNetwork

from kubelambda.outbound.guarded_sockets import Address, outside


class _Loop:
    """The running loop, but for how it connects."""

    def __init__(self, loop: asyncio.AbstractEventLoop, make: Callable[[Address], socket.socket]) -> None:
        self._loop = loop
        self._make = make

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def create_connection(self, factory: Callable[[], Any], host: str, port: int, *, ssl: Any) -> Any:
        """A connection to the first address of `host` that answers. Raises `OSError`."""
        fault = OSError(f"{host} has no address")
        for address in await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            found: socket.socket | None = None
            try:
                found = self._make(address)
                found.setblocking(False)
                await self._loop.sock_connect(found, address[4])
                return await self._loop.create_connection(
                    factory, sock=found, ssl=ssl, server_hostname=host if ssl else None
                )
            except BaseException as error:
                if found is not None:
                    found.close()
                if not isinstance(error, OSError):
                    raise
                fault = error
        raise fault


class GuardedConnection(AIOKafkaConnection):  # type: ignore[misc]  # its package has no types
    """A connection of the client's that is made by such a loop."""

    def __init__(self, host: str, port: int, *, refused: Sequence[IPvAnyNetwork], **options: Any) -> None:
        super().__init__(host, port, **options)
        self._loop: Any = _Loop(asyncio.get_running_loop(), outside(refused))

    @override
    def authenticator_oauth(self) -> OAuthAuthenticator:
        """One that hears a refusal."""
        return _HeardLogin(sasl_oauth_token_provider=self._sasl_oauth_token_provider)


class _HeardLogin(OAuthAuthenticator):  # type: ignore[misc]  # its package has no types
    """A broker that does not take a token says so in an answer (RFC 7628), which the client's own login passes over."""

    @override
    async def step(self, payload: bytes | None) -> tuple[bytes, bool] | None:
        if payload:
            raise SaslAuthenticationFailed(f"it does not take our token: {payload.decode(errors='replace')[:200]}")
        found: tuple[bytes, bool] | None = await super().step(payload)
        return found


async def connect(host: str, port: int, *, refused: Sequence[IPvAnyNetwork], **options: Any) -> GuardedConnection:
    """A connection to a broker that knows us. Raises what the client does, and `OSError` for one that is refused."""
    found = GuardedConnection(host, port, refused=refused, **options)
    await found.connect()
    return found


def guard(refused: Sequence[IPvAnyNetwork]) -> None:
    """From now on nothing in `refused` is reached by any client of this process."""

    async def create(host: str, port: int, **options: Any) -> GuardedConnection:
        return await connect(host, port, refused=refused, **options)

    aiokafka.client.create_conn = create
