"""Passing requests on to the control API, over connections that are kept open."""

from collections.abc import Callable
from functools import partial
from typing import Final

from kubelambda.core.invoke.invoke_error import InvokeError
from kubelambda.frontend.control_api.control_api_servers import ControlApiServers
from kubelambda.wire.background_tasks import BackgroundTasks
from kubelambda.wire.client import ClientConnection
from kubelambda.wire.kept_connections import Address, KeptConnections
from kubelambda.wire.relay import AnswerRelay, Relay, relayed_head
from kubelambda.wire.request import Request
from kubelambda.wire.request_reader import Admission, Whole

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
    """Connections to the control API. `account_of` says whose call a request is: all of an account go one way."""

    def __init__(self, servers: ControlApiServers, account_of: Callable[[Request], str]) -> None:
        self._servers = servers
        self._account_of = account_of
        self._connections = KeptConnections(idle_s=_IDLE_S, connect_s=_CONNECT_S)
        self._tasks = BackgroundTasks()

    def admit(self, request: Request, request_id: str, fail: Fail) -> Admission:
        """Decides at its head how a request passes. Raises `InvokeError` for one that is too large.

        `fail` is called when the control API cannot be asked.
        """
        chunked = b"transfer-encoding" in request.headers
        length = int(request.headers.get(b"content-length", 0))
        if not chunked and length <= _WHOLE_BYTES:
            return Whole(_WHOLE_BYTES, lambda whole: self._pass_on(whole, _head(whole, request_id, length), fail))
        path = request.target.partition(b"?")[0].rstrip(b"/")
        limit = CODE_MAX_BYTES if path.endswith(_CODE) else OTHER_MAX_BYTES
        if length >= limit:
            text = f"Request must be smaller than {limit} bytes"
            raise InvokeError(413, "RequestEntityTooLargeException", text)
        head = _head(request, request_id, None if chunked else length)
        # Always on a connection of its own: what was half sent cannot be sent again.
        answer = AnswerRelay(request, done=ClientConnection.close, failed=lambda why: fail(_unreachable(why)))
        relay = Relay(request, head, answer)
        self._tasks.start(self._upload(relay, self._ranked(request)))
        return relay

    def close(self) -> None:
        """Lets go of the connections that are kept."""
        self._connections.close()

    def _pass_on(self, request: Request, head: bytes, fail: Fail) -> None:
        """A kept connection may be closed while we write on it: what only reads is then asked again on a new one."""
        ranked = self._ranked(request)
        kept = self._connections.take(ranked[0])
        if kept is None:
            self._tasks.answer(request, self._ask(request, head, ranked, fail))
            return

        def failed(why: str) -> None:
            if request.method in _SAFE:
                self._tasks.answer(request, self._ask(request, head, ranked, fail))
            else:
                fail(_unreachable(why))

        self._answer(request, ranked[0], failed).ask(kept, head)

    def _ranked(self, request: Request) -> list[Address]:
        return self._servers.ranked(self._account_of(request))

    def _answer(self, request: Request, server: Address, failed: Callable[[str], None]) -> AnswerRelay:
        return AnswerRelay(request, done=partial(self._connections.keep, server), failed=failed)

    async def _ask(self, request: Request, head: bytes, ranked: list[Address], fail: Fail) -> None:
        try:
            server, connection = await self._connect(ranked)
        except (OSError, TimeoutError) as error:
            fail(_unreachable(_words(error)))
        else:
            self._answer(request, server, lambda why: fail(_unreachable(why))).ask(connection, head)

    async def _upload(self, relay: Relay, ranked: list[Address]) -> None:
        try:
            _, connection = await self._connect(ranked)
        except (OSError, TimeoutError) as error:
            relay.unreached(_words(error))
        else:
            relay.through(connection)

    async def _connect(self, ranked: list[Address]) -> tuple[Address, ClientConnection]:
        """The first that can be reached. Raises why the last one could not."""
        for server in ranked[:-1]:
            try:
                return server, await self._connections.connect(server)
            except (OSError, TimeoutError):
                self._servers.unreachable(server)
        return ranked[-1], await self._connections.connect(ranked[-1])


def _unreachable(why: str) -> InvokeError:
    return InvokeError(503, "ServiceUnavailableException", f"The control API cannot be reached: {why}")


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__


def _head(request: Request, request_id: str, length: int | None) -> bytes:
    return relayed_head(request, b"x-amzn-requestid: %b\r\n" % request_id.encode(), length=length)
