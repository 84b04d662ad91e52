"""A minimal HTTP/1.1 server: httptools over the bytes of a connection, one request in flight per connection."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

import httptools

from kubelambda.api import limits

_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
_PIPELINED_MAX = 16


class Transport(Protocol):
    """What a connection needs of an event loop's transport."""

    def write(self, data: bytes) -> None:
        """Sends."""

    def close(self) -> None:
        """Closes once everything is sent."""

    def is_closing(self) -> bool:
        """Whether nothing more can be written."""
        ...


@dataclass(slots=True)
class Request:
    """One complete request. Header names are lower case."""

    connection: "Connection"
    method: bytes
    target: bytes
    headers: dict[bytes, bytes]
    body: bytes
    size: int
    """Bytes of the body as sent. Of one over the connection's limit, `body` holds only a part."""

    def respond(self, status: int, body: bytes = b"", headers: bytes = b"") -> None:
        """Answers. `headers` are whole lines, each ended by CRLF. Does nothing when the caller is gone."""
        self.connection.respond(status, body, headers)

    @property
    def alive(self) -> bool:
        """Whether the caller still listens."""
        return self.connection.alive


class HeadTooLarge(Exception):
    """Request line and headers exceed `HEADERS_MAX_BYTES` (§2.1.3)."""


class Connection:
    """The server side of one connection, on whatever event loop calls it as asyncio calls its protocols.

    Requests that come before the answer to an earlier one wait for it: answers have the order of their requests.
    """

    def __init__(
        self, serve: Callable[[Request], None], *, max_body: int, connections: "set[Connection] | None" = None
    ) -> None:
        self._serve = serve
        self._max_body = max_body
        self._connections = connections
        self.busy = False
        """Whether a request waits for its answer."""
        self.closing = False
        """Whether the next answer is the last one."""
        self._parser = httptools.HttpRequestParser(self)
        self._transport: Transport | None = None
        self._pipelined: deque[Request] = deque()
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._head_size = 0
        self._chunks: list[bytes] = []
        self._size = 0

    @property
    def alive(self) -> bool:
        """Whether the connection is open."""
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: Transport) -> None:
        """Called by the event loop."""
        self._transport = transport
        if self._connections is not None:
            self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio names it
        """Called by the event loop."""
        self._transport = None
        self._pipelined.clear()
        if self._connections is not None:
            self._connections.discard(self)

    def close(self) -> None:
        """Closes the connection."""
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            if not isinstance(error.__context__, HeadTooLarge):
                raise
            self._give_up(431, b'{"message":"request line and headers are too large"}')
        except httptools.HttpParserError:
            self._give_up(400, b'{"message":"malformed HTTP request"}')

    def _give_up(self, status: int, body: bytes) -> None:
        """Nothing that comes on this connection can be understood any more."""
        if not self.busy:  # else it would pass for the answer to the request before
            self.respond(status, body)
        self.close()

    def on_message_begin(self) -> None:
        """Called by the parser."""
        self._target = b""
        self._headers = {}
        self._head_size = 0
        self._chunks = []
        self._size = 0

    def on_url(self, url: bytes) -> None:
        """Called by the parser."""
        self._target += url
        if len(self._target) > limits.HEADERS_MAX_BYTES:
            raise HeadTooLarge

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        self._headers[name.lower()] = value
        self._head_size += len(name) + len(value)
        if self._head_size > limits.HEADERS_MAX_BYTES:
            raise HeadTooLarge

    def on_headers_complete(self) -> None:
        """Called by the parser: curl waits for this answer before it sends a large body."""
        if self._headers.get(b"expect", b"").lower() == b"100-continue" and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Called by the parser. What exceeds the limit is counted and dropped."""
        self._size += len(body)
        if self._size <= self._max_body:
            self._chunks.append(body)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        chunks = self._chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        request = Request(self, self._parser.get_method(), self._target, self._headers, body, self._size)
        if not self.busy:
            self.busy = True
            self._serve(request)
        elif len(self._pipelined) < _PIPELINED_MAX:
            self._pipelined.append(request)
        else:
            self.close()

    def respond(self, status: int, body: bytes = b"", headers: bytes = b"") -> None:
        """Writes one response in one call."""
        self.busy = False
        if self._transport is None:
            return
        if self.closing:
            headers += b"Connection: close\r\n"
        head = b"HTTP/1.1 %d %b\r\n%bContent-Length: %d\r\n\r\n" % (
            status,
            _REASONS.get(status, b""),
            headers,
            len(body),
        )
        self._transport.write(head + body if len(body) < 65_536 else head)
        if len(body) >= 65_536:
            self._transport.write(body)
        if self.closing:
            self._transport.close()
        elif self._pipelined:
            self.busy = True
            self._serve(self._pipelined.popleft())
