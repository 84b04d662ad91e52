"""Requests to one server over kept connections: answers whole or as they come, bodies out of memory or of a file."""

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from typing import IO, TYPE_CHECKING, Final
from urllib.parse import urlsplit

from kubelambda.wire.client import ANSWER_MAX_BYTES, AwaitedSink, ClientConnection
from kubelambda.wire.flow import HIGH_WATER_BYTES, LOW_WATER_BYTES, Headers
from kubelambda.wire.header_lines import request_head
from kubelambda.wire.kept_connections import KeptConnections
from kubelambda.wire.pace import Pace

if TYPE_CHECKING:
    import ssl

type Answer = tuple[int, Headers, bytes]
"""Status, headers, body."""

_REPEATABLE: Final = frozenset({"GET", "HEAD", "PUT", "DELETE"})
"""What may be sent once more when a kept connection turns out to be closed (RFC 9110 §9.2.2)."""
_PORTS: Final = {"http": 80, "https": 443}
_CHUNK_BYTES: Final = 1 << 18


class Session:
    """Requests to the server at `url`, whose path stands before every target. Raises `OSError` and `TimeoutError`."""

    def __init__(
        self, url: str, *, tls: "ssl.SSLContext | None" = None, idle_s: float = 15.0, connect_s: float = 5.0
    ) -> None:
        """`tls` is for `https` addresses. A connection that nobody uses is kept for `idle_s`."""
        parts = urlsplit(url)
        self._address = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        self._host = parts.netloc.rpartition("@")[2]
        self._prefix = parts.path.rstrip("/")
        self._connections = KeptConnections(idle_s=idle_s, connect_s=connect_s, tls=_tls(tls, parts.scheme))
        self._busy: set[ClientConnection] = set()
        self._closed = False

    async def close(self) -> None:
        """Ends all connections. Whoever waits for an answer gets `ConnectionError`, who asks later `RuntimeError`."""
        self._closed = True
        self._connections.close()
        for connection in self._busy:
            connection.abort()
        await asyncio.sleep(0)  # in which the event loop closes them

    async def call(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        seconds: float,
        limit: int = ANSWER_MAX_BYTES,
    ) -> Answer:
        """One request and its answer, of at most `limit` bytes, within `seconds`."""
        head = self._head(method, target, headers, len(body))
        async with asyncio.timeout(seconds):
            kept = self._connections.take(self._address)
            if kept is not None:
                with suppress(ConnectionError) if method in _REPEATABLE else nullcontext():
                    return await self._ask(kept, head, body, limit)
            return await self._ask(await self._connect(), head, body, limit)

    @asynccontextmanager
    async def read(self, target: str, headers: Mapping[str, str], *, seconds: float) -> "AsyncIterator[AnswerReader]":
        """The answer to a GET as it comes, once its head is there, within `seconds`. What is left of it is not read."""
        head = self._head("GET", target, headers, 0)
        async with asyncio.timeout(seconds):
            kept = self._connections.take(self._address)
            reader = await self._begun(kept, head) if kept is not None else None
            if reader is None:
                reader = await self._begun(await self._connect(), head)
        if reader is None:
            raise ConnectionError("the connection ended without an answer")
        with self._using(reader.connection):
            try:
                yield reader
            finally:
                reader.leave()
                self._connections.keep(self._address, reader.connection)

    async def upload(
        self, method: str, target: str, headers: Mapping[str, str], file: IO[bytes], *, seconds: float
    ) -> Answer:
        """Sends a file from where it stands, a piece at a time, within `seconds`."""
        start = file.tell()
        size = file.seek(0, os.SEEK_END) - start
        file.seek(start)
        head = self._head(method, target, headers, size)
        sink, pace = AwaitedSink(ANSWER_MAX_BYTES), Pace()
        async with asyncio.timeout(seconds):
            connection = await self._connect()
            with self._using(connection):
                try:
                    connection.begin(head, sink, flow=pace)
                    while not sink.answer.done() and (chunk := await asyncio.to_thread(file.read, _CHUNK_BYTES)):
                        connection.write(chunk)
                        await pace.open.wait()
                    connection.end()
                    return await sink.answer
                finally:
                    connection.abort()  # a server that reads nothing more would keep it open

    def _head(self, method: str, target: str, headers: Mapping[str, str], length: int) -> bytes:
        if self._closed:
            raise RuntimeError("the session is closed")
        return request_head(method, f"{self._prefix}{target}", self._host, headers, length)

    async def _connect(self) -> ClientConnection:
        if not self._closed:
            connection = await self._connections.connect(self._address)
            if not self._closed:
                return connection
            connection.abort()
        raise ConnectionError("the session was closed")

    @contextmanager
    def _using(self, connection: ClientConnection) -> Iterator[None]:
        self._busy.add(connection)
        try:
            yield
        finally:
            self._busy.discard(connection)

    async def _ask(self, connection: ClientConnection, head: bytes, body: bytes, limit: int) -> Answer:
        with self._using(connection):
            answer = await connection.call(head, body, limit=limit)
        self._connections.keep(self._address, connection)
        return answer

    async def _begun(self, connection: ClientConnection, head: bytes) -> "AnswerReader | None":
        """An answer whose head is there; None when the connection ends before it."""
        reader = AnswerReader(connection)
        with self._using(connection):
            try:
                connection.exchange(head, b"", reader)
                await reader.begun.wait()
            except ConnectionError:
                return None
            except BaseException:
                connection.abort()
                raise
        return reader if reader.status else None


class AnswerReader:
    """An answer that is read as it comes: its connection waits while nobody reads. A `ResponseSink`."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.begun = asyncio.Event()
        self.status = 0
        """0 where the connection ended before the head came."""
        self.headers: Headers = {}
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._over = False
        self._failure = ""
        self._news = asyncio.Event()

    async def pieces(self, silence_s: float) -> AsyncIterator[bytes]:
        """The body, as it comes. Raises `TimeoutError` when nothing comes for so long, and `ConnectionError`."""
        while True:
            while self._pieces:
                piece = self._pieces.popleft()
                self._size -= len(piece)
                if self._size <= LOW_WATER_BYTES:
                    self.connection.resume()
                yield piece
            if self._failure:
                raise ConnectionError(self._failure)
            if self._over:
                return
            self._news.clear()
            async with asyncio.timeout(silence_s):
                await self._news.wait()

    async def whole(self, silence_s: float, limit: int = ANSWER_MAX_BYTES) -> bytes:
        """The body, up to `limit` bytes."""
        body = bytearray()
        async for piece in self.pieces(silence_s):
            body += piece
            if len(body) > limit:
                break
        return bytes(body[:limit])

    def leave(self) -> None:
        """Nobody reads any more of it."""
        if not self._over:
            self.connection.abort()

    # -- what the connection calls ------------------------------------------------------------------------------------

    def head(self, status: int, headers: Headers) -> None:
        """Called by the connection."""
        self.status, self.headers = status, headers
        self.begun.set()

    def data(self, data: bytes) -> None:
        """Called by the connection."""
        self._pieces.append(data)
        self._size += len(data)
        if self._size > HIGH_WATER_BYTES:
            self.connection.pause()
        self._news.set()

    def end(self, trailers: Headers) -> None:  # noqa: ARG002 - nobody asks for them
        """Called by the connection."""
        self._over = True
        self._news.set()

    def abort(self, why: str) -> None:
        """Called by the connection."""
        self._failure = why
        self.begun.set()
        self._news.set()


def _tls(given: "ssl.SSLContext | None", scheme: str) -> "ssl.SSLContext | None":
    if scheme != "https" or given is not None:
        return given if scheme == "https" else None
    import ssl  # noqa: PLC0415 - components that speak to us only have no use for it

    return ssl.create_default_context()
