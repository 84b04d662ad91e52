"""Passing a request on to the frontend that owns its account (DESIGN §5, Ownership)."""

import asyncio
from collections import defaultdict
from collections.abc import Callable

from kubelambda.wire.client import ClientConnection, connect
from kubelambda.wire.server import Request

HEADER = b"x-kubelambda-forwarded"
_RELAYED = (
    b"content-type",
    b"x-amz-executed-version",
    b"x-amz-function-error",
    b"x-amz-log-result",
    b"x-amzn-requestid",
    b"x-amzn-errortype",
    b"retry-after",
)
_PASSED_ON = (
    b"host",
    b"x-amz-invocation-type",
    b"x-amz-log-type",
    b"x-amz-client-context",
    b"x-amzn-trace-id",
    b"x-amzn-requestid",
)


class Forwarder:
    """Keep-alive connections to the other frontends."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._token = token.encode()
        self._idle: defaultdict[str, list[ClientConnection]] = defaultdict(list)
        self._tasks: set[asyncio.Task[None]] = set()

    def forward(self, request: Request, request_id: str, owners: list[str], fail: Callable[[str], None]) -> None:
        """Passes the request to the first of `owners` that can be reached. `fail` is called with what went wrong."""
        idle = self._idle[owners[0]]
        while idle:
            connection = idle.pop()
            if connection.open:
                self._send(connection, owners[0], request, request_id, fail)
                return
        task = asyncio.get_running_loop().create_task(self._connect(request, request_id, owners, fail))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, request: Request, request_id: str, owners: list[str], fail: Callable[[str], None]) -> None:
        error: Exception | None = None
        for owner in owners:
            try:
                # Nothing was sent yet: the next owner may take it.
                connection = await connect(owner, self._port, lambda _: None, 1.0)
            except (OSError, TimeoutError) as refused:
                error = refused
                continue
            self._send(connection, owner, request, request_id, fail)
            return
        fail(f"no frontend can be reached: {error or type(error).__name__}")

    def _send(
        self,
        connection: ClientConnection,
        owner: str,
        request: Request,
        request_id: str,
        fail: Callable[[str], None],
    ) -> None:
        def answered(status: int, headers: dict[bytes, bytes], body: bytes) -> None:
            lines = b"".join(b"%b: %b\r\n" % (name, headers[name]) for name in _RELAYED if name in headers)
            if headers.get(b"connection") != b"close":
                self._idle[owner].append(connection)
            request.respond(status, body, lines)

        def lost(in_flight: bool) -> None:
            if in_flight:
                fail("the frontend that ran the request ended")

        connection.on_lost = lost
        lines = [
            request.method + b" " + request.target + b" HTTP/1.1",
            b"content-length: %d" % len(request.body),
            HEADER + b": " + self._token,
        ]
        headers = request.headers | {b"x-amzn-requestid": request_id.encode()}
        lines += [name + b": " + headers[name] for name in _PASSED_ON if name in headers]
        connection.send(b"\r\n".join(lines) + b"\r\n\r\n", request.body, answered)
