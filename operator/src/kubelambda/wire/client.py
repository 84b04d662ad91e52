"""A minimal HTTP/1.1 client connection: keep-alive, one request in flight, answers through a callback."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import httptools


class ClientConnection(asyncio.Protocol):
    """One connection. `on_lost` is called when it ends, with whether a request was in flight."""

    def __init__(self, on_lost: Callable[[bool], None]) -> None:
        self.on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._answer: Callable[[int, dict[bytes, bytes], bytes], None] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[bytes, bytes] = {}
        self._chunks: list[bytes] = []

    @property
    def open(self) -> bool:
        """Whether a request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def idle(self) -> bool:
        """Whether no request is in flight."""
        return self._answer is None

    def send(self, head: bytes, body: bytes, answer: Callable[[int, dict[bytes, bytes], bytes], None]) -> None:
        """Sends one request; `answer` gets status, headers (lower-case names) and body."""
        if self._transport is None or self._answer is not None:
            raise ConnectionError("the connection is closed or busy")
        self._answer = answer
        if len(body) < 65_536:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)

    async def call(self, head: bytes, body: bytes = b"") -> tuple[int, dict[bytes, bytes], bytes]:
        """As `send`, awaited. Raises `ConnectionError` when the connection ends first."""
        waiting: asyncio.Future[tuple[int, dict[bytes, bytes], bytes]] = asyncio.get_running_loop().create_future()
        outer = self.on_lost

        def lost(in_flight: bool) -> None:
            if not waiting.done():
                waiting.set_exception(ConnectionError("the connection ended without an answer"))
            outer(in_flight)

        def answered(status: int, headers: dict[bytes, bytes], content: bytes) -> None:
            if not waiting.done():
                waiting.set_result((status, headers, content))

        self.on_lost = lost
        try:
            self.send(head, body, answered)
            return await waiting
        finally:
            self.on_lost = outer

    def close(self) -> None:
        """Closes the connection."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio names it
        """Called by the event loop."""
        self._transport = None
        in_flight = self._answer is not None
        self._answer = None
        self.on_lost(in_flight)

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()

    def on_message_begin(self) -> None:
        """Called by the parser."""
        self._headers = {}
        self._chunks = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        self._headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        self._chunks.append(body)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        answer, self._answer = self._answer, None
        chunks = self._chunks
        if answer is not None:
            status = self._parser.get_status_code()
            answer(status, self._headers, chunks[0] if len(chunks) == 1 else b"".join(chunks))
        self._parser = httptools.HttpResponseParser(self)


async def connect(host: str, port: int, on_lost: Callable[[bool], None], seconds: float = 5.0) -> ClientConnection:
    """An open connection. Raises `OSError` or `TimeoutError`."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(seconds):
        _, connection = await loop.create_connection(lambda: ClientConnection(on_lost), host, port)
    return connection


def request_head(method: str, target: str, host: str, headers: dict[str, Any], length: int) -> bytes:
    """Request line and headers."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", f"Content-Length: {length}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
