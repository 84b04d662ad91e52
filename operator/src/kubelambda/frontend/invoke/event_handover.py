"""Handing events over to the event queue: the caller's 202 is the queue's, and nothing is held here (§6.1)."""

import hmac
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from kubelambda.api import limits
from kubelambda.core.environment import tokens
from kubelambda.core.invoke import invoke_error
from kubelambda.core.invoke.invoke_error import InvokeError
from kubelambda.frontend.account.forwarder import CALLER
from kubelambda.wire.background_tasks import BackgroundTasks
from kubelambda.wire.client import ClientConnection, connect
from kubelambda.wire.header_lines import request_head
from kubelambda.wire.server import Request

_ACCEPT_S = 10.0
_CONNECT_S = 2.0
_KEPT = 64
"""Idle connections; a burst makes more, which are closed after it."""


class EventHandover:
    """Connections to the event queue at `url`."""

    def __init__(self, url: str, key: bytes) -> None:
        address = urlsplit(url)
        self._host = address.hostname or "localhost"
        self._port = address.port or 80
        self._authorization = f"Bearer {tokens.caller_token(key, 'frontend')}"
        self._attempt = f"events {tokens.caller_token(key, 'events')}".encode()
        self._idle: list[ClientConnection] = []
        self._tasks = BackgroundTasks()

    def is_attempt(self, request: Request) -> bool:
        """Whether the event queue sent the request: it carries the id that the event was accepted with."""
        return hmac.compare_digest(request.headers.get(CALLER, b""), self._attempt)

    def hand_over(
        self, request: Request, request_id: str, target: Mapping[str, str], fail: Callable[[InvokeError], None]
    ) -> None:
        """Answers 202 once the event is durable. `target` are the headers that say what it is for.

        Raises `InvokeError` for an event that is too large.
        """
        size = len(request.body)
        if size > limits.ASYNC_REQUEST_MAX_BYTES:
            raise invoke_error.too_large(size, limits.ASYNC_REQUEST_MAX_BYTES, "Event")
        headers = {
            "Authorization": self._authorization,
            "X-Amzn-RequestId": request_id,
            "X-Amzn-Trace-Id": request.headers.get(b"x-amzn-trace-id", b"").decode(errors="replace"),
            **target,
        }
        head = request_head("POST", "/events", self._host, headers, size)
        self._tasks.start(self._exchange(request, request_id, head, fail))

    async def _exchange(
        self, request: Request, request_id: str, head: bytes, fail: Callable[[InvokeError], None]
    ) -> None:
        try:
            status = await self._ask(head, request.body)
        except (OSError, TimeoutError) as error:
            why = error or type(error).__name__
            fail(invoke_error.service(f"The event queue cannot be reached, nothing was accepted: {why}"))
            return
        if status == 202:
            request.respond(202, b"", f"x-amzn-RequestId: {request_id}\r\n".encode())
        else:
            fail(invoke_error.service("The event queue cannot keep the event now, nothing was accepted: try again"))

    async def _ask(self, head: bytes, body: bytes) -> int:
        """The queue's status. A connection that was closed meanwhile is worth a second try: at worst it comes twice."""
        while self._idle:
            kept = self._idle.pop()
            if kept.open:
                try:
                    return await self._send(kept, head, body)
                except ConnectionError:
                    break
        connection = await connect(self._host, self._port, lambda _: None, _CONNECT_S)
        return await self._send(connection, head, body)

    async def _send(self, connection: ClientConnection, head: bytes, body: bytes) -> int:
        status, headers, _ = await connection.call(head, body, seconds=_ACCEPT_S)
        if headers.get(b"connection") == b"close" or len(self._idle) >= _KEPT:
            connection.close()
        else:
            self._idle.append(connection)
        return status
