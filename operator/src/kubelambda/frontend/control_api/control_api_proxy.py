"""Passing requests on to the control API, over connections that are kept open."""

import time
from collections import deque
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from kubelambda.core.invoke.invoke_error import InvokeError
from kubelambda.frontend.control_api.exchange import HOP_BY_HOP, AnswerRelay, Upload
from kubelambda.wire.background_tasks import BackgroundTasks
from kubelambda.wire.client import ClientConnection, connect
from kubelambda.wire.header_lines import header_line
from kubelambda.wire.request_reader import Admission
from kubelambda.wire.server import Request

CODE_MAX_BYTES: Final = 70_167_211
"""Of a request that brings code (§1.3)."""
OTHER_MAX_BYTES: Final = 6 << 20
"""Of any other."""
_WHOLE_BYTES: Final = 65_536
"""A body up to this is taken whole; a larger one, or one of unknown length, is passed on as it comes."""
_IDLE_S: Final = 30.0
"""How long a connection is kept that nobody uses: less than the control API does, so that it never closes one first."""
_CONNECT_S: Final = 2.0
_SAFE: Final = frozenset({b"GET", b"HEAD"})
_CODE: Final = (b"/2015-03-31/functions", b"/code", b"/versions")

type Fail = Callable[[InvokeError], None]


class ControlApiProxy:
    """Connections to the control API at `url`."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._host = address.hostname or "localhost"
        self._port = address.port or 80
        self._idle: deque[tuple[ClientConnection, float]] = deque()
        self._tasks = BackgroundTasks()

    def admit(self, request: Request, request_id: str, fail: Fail) -> Admission:
        """What becomes of a request's body, decided at its head: `fail` is called at once when it is too large."""
        chunked = b"transfer-encoding" in request.headers
        length = int(request.headers.get(b"content-length", 0))
        if not chunked and length <= _WHOLE_BYTES:
            return _WHOLE_BYTES
        path = request.target.partition(b"?")[0].rstrip(b"/")
        limit = CODE_MAX_BYTES if path.endswith(_CODE) else OTHER_MAX_BYTES
        if length >= limit:
            text = f"Request must be smaller than {limit} bytes"
            fail(InvokeError(413, "RequestEntityTooLargeException", text))
            return None
        upload = Upload(request)
        head = _head(request, request_id, None if chunked else length)
        self._tasks.start(self._upload(request, upload, head, fail, chunked=chunked))
        return upload

    def pass_on(self, request: Request, request_id: str, fail: Fail) -> None:
        """Answers with what the control API says; `fail` is called when it cannot be asked."""
        self._tasks.start(self._ask(request, _head(request, request_id, len(request.body)), fail))

    async def _ask(self, request: Request, head: bytes, fail: Fail) -> None:
        """A kept connection may be closed while we write on it: what only reads is then asked again on a new one."""

        def again(why: str) -> None:
            if request.method in _SAFE:
                self._tasks.start(self._ask_anew(request, head, fail))
            else:
                fail(_unreachable(why))

        kept = self._kept()
        if kept is None:
            await self._ask_anew(request, head, fail)
        else:
            kept.exchange(head, request.body, AnswerRelay(request, kept, self._keep, again))

    async def _ask_anew(self, request: Request, head: bytes, fail: Fail) -> None:
        connection = await self._connect(fail)
        if connection is not None:
            relay = AnswerRelay(request, connection, self._keep, lambda why: fail(_unreachable(why)))
            connection.exchange(head, request.body, relay)

    async def _upload(self, request: Request, upload: Upload, head: bytes, fail: Fail, *, chunked: bool) -> None:
        """Always on a connection of its own: what was half sent cannot be sent again."""
        connection = await self._connect(fail)
        if connection is None:
            return
        if upload.given_up:
            connection.close()
            return
        relay = AnswerRelay(request, connection, self._keep, lambda why: fail(_unreachable(why)))
        upload.begin(head, connection, relay, chunked=chunked)

    async def _connect(self, fail: Fail) -> ClientConnection | None:
        try:
            return await connect(self._host, self._port, lambda _: None, _CONNECT_S)
        except (OSError, TimeoutError) as error:
            fail(_unreachable(str(error) or type(error).__name__))
            return None

    def _keep(self, connection: ClientConnection) -> None:
        if connection.open:
            self._idle.append((connection, time.monotonic()))

    def _kept(self) -> ClientConnection | None:
        """The connection that was used last; those that nobody used for long are closed."""
        while self._idle and time.monotonic() - self._idle[0][1] > _IDLE_S:
            self._idle.popleft()[0].close()
        while self._idle:
            connection, _ = self._idle.pop()
            if connection.open and connection.idle:
                return connection
        return None


def _unreachable(why: str) -> InvokeError:
    return InvokeError(503, "ServiceUnavailableException", f"The control API cannot be reached: {why}")


def _head(request: Request, request_id: str, length: int | None) -> bytes:
    framing = b"transfer-encoding: chunked\r\n" if length is None else b"content-length: %d\r\n" % length
    headers = {name: value for name, value in request.headers.items() if name not in HOP_BY_HOP}
    headers[b"x-amzn-requestid"] = request_id.encode()
    lines = b"".join(header_line(name, value) for name, value in headers.items())
    return b"%b %b HTTP/1.1\r\n%b%b\r\n" % (request.method, request.target, framing, lines)
