"""Passing requests on to the control API, over connections that are kept open."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from urllib.parse import urlsplit

from kubelambda.core.invoke.invoke_error import InvokeError
from kubelambda.wire.client import ClientConnection, connect
from kubelambda.wire.server import Request

IDLE_S = 30.0
"""How long a connection is kept that nobody uses: less than the control API does, so that it never closes one first."""
_CONNECT_S = 2.0
_HOP = frozenset({b"connection", b"keep-alive", b"transfer-encoding", b"content-length", b"expect", b"upgrade", b"te"})
_SAFE = frozenset({b"GET", b"HEAD"})

type Answer = tuple[int, dict[bytes, bytes], bytes]
"""Status, headers and body."""


class ControlApiProxy:
    """Connections to the control API at `url`."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._host = address.hostname or "localhost"
        self._port = address.port or 80
        self._idle: deque[tuple[ClientConnection, float]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    def pass_on(self, request: Request, request_id: str, fail: Callable[[InvokeError], None]) -> None:
        """Answers with what the control API says; `fail` is called when it cannot be asked."""
        if request.size > len(request.body):
            text = f"Request must be smaller than {len(request.body)} bytes"
            fail(InvokeError(413, "RequestEntityTooLargeException", text))
            return
        task = asyncio.get_running_loop().create_task(self._exchange(request, request_id, fail))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _exchange(self, request: Request, request_id: str, fail: Callable[[InvokeError], None]) -> None:
        try:
            connection, answer = await self._ask(request, _head(request, request_id))
        except (OSError, TimeoutError) as error:
            text = f"The control API cannot be reached: {error or type(error).__name__}"
            fail(InvokeError(503, "ServiceUnavailableException", text))
            return
        status, headers, body = answer
        if headers.get(b"connection") != b"close":
            self._idle.append((connection, time.monotonic()))
        lines = b"".join(b"%b: %b\r\n" % (name, value) for name, value in headers.items() if name not in _HOP)
        request.respond(status, body, lines)

    async def _ask(self, request: Request, head: bytes) -> tuple[ClientConnection, Answer]:
        kept = self._kept()
        if kept is not None:
            try:
                return kept, await kept.call(head, request.body)
            except ConnectionError:
                # It was closed while we wrote; what only reads may be asked again.
                if request.method not in _SAFE:
                    raise
        connection = await connect(self._host, self._port, lambda _: None, _CONNECT_S)
        return connection, await connection.call(head, request.body)

    def _kept(self) -> ClientConnection | None:
        """The connection that was used last; those that nobody used for long are closed."""
        while self._idle and time.monotonic() - self._idle[0][1] > IDLE_S:
            self._idle.popleft()[0].close()
        while self._idle:
            connection, _ = self._idle.pop()
            if connection.open:
                return connection
        return None


def _head(request: Request, request_id: str) -> bytes:
    headers = {name: value for name, value in request.headers.items() if name not in _HOP}
    headers |= {b"x-amzn-requestid": request_id.encode(), b"content-length": b"%d" % len(request.body)}
    lines = [request.method + b" " + request.target + b" HTTP/1.1", *(b"%b: %b" % each for each in headers.items())]
    return b"\r\n".join(lines) + b"\r\n\r\n"
