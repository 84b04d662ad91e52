"""Handing events over to the event queue: the caller's 202 is the queue's, and nothing is held here (§6.1)."""

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from kubelambda.api import limits
from kubelambda.core.environment import tokens
from kubelambda.core.invoke import invoke_error
from kubelambda.core.invoke.invoke_error import InvokeError
from kubelambda.wire.background_tasks import BackgroundTasks
from kubelambda.wire.header_lines import request_head
from kubelambda.wire.kept_connections import KeptConnections
from kubelambda.wire.server import Request

_ACCEPT_S = 10.0
_CONNECT_S = 2.0
_IDLE_S = 60.0
"""How long a connection is kept that nobody uses: less than the queue does, so that it never closes one first."""


class EventHandover:
    """Connections to the event queue at `url`."""

    def __init__(self, url: str, key: bytes) -> None:
        address = urlsplit(url)
        self._address = (address.hostname or "localhost", address.port or 80)
        self._authorization = f"Bearer {tokens.caller_token(key, 'frontend')}"
        self._connections = KeptConnections(idle_s=_IDLE_S, connect_s=_CONNECT_S)
        self._tasks = BackgroundTasks()

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
        head = request_head("POST", "/events", self._address[0], headers, size)
        self._tasks.answer(request, self._exchange(request, request_id, head, fail))

    async def _exchange(
        self, request: Request, request_id: str, head: bytes, fail: Callable[[InvokeError], None]
    ) -> None:
        try:
            # Where a kept connection had just ended, the event may come twice at worst.
            status, _, _ = await self._connections.call(self._address, head, request.body, seconds=_ACCEPT_S)
        except (OSError, TimeoutError) as error:
            why = error or type(error).__name__
            fail(invoke_error.service(f"The event queue cannot be reached, nothing was accepted: {why}"))
            return
        if status == 202:
            request.respond(202, b"", f"x-amzn-RequestId: {request_id}\r\n".encode())
        else:
            fail(invoke_error.service("The event queue cannot keep the event now, nothing was accepted: try again"))

    def close(self) -> None:
        """Lets go of the connections that are kept."""
        self._connections.close()
