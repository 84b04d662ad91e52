"""Passing requests on to the control API, over connections that are kept open."""

from collections.abc import Callable
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from kubelambda.core.invoke.invoke_error import InvokeError
from kubelambda.wire.background_tasks import BackgroundTasks
from kubelambda.wire.kept_connections import KeptConnections
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
    """Connections to the control API at `url`."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._address = (address.hostname or "localhost", address.port or 80)
        self._connections = KeptConnections(idle_s=_IDLE_S, connect_s=_CONNECT_S)
        self._keep = partial(self._connections.keep, self._address)
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
        relay = Relay(request, head, self._answer(request, lambda why: fail(_unreachable(why))))
        # Always on a connection of its own: what was half sent cannot be sent again.
        self._tasks.start(self._upload(relay))
        return relay

    def close(self) -> None:
        """Lets go of the connections that are kept."""
        self._connections.close()

    def _pass_on(self, request: Request, head: bytes, fail: Fail) -> None:
        """A kept connection may be closed while we write on it: what only reads is then asked again on a new one."""
        kept = self._connections.take(self._address)
        if kept is None:
            self._ask_anew(request, head, fail)
        elif request.method in _SAFE:
            self._answer(request, lambda _: self._ask_anew(request, head, fail)).ask(kept, head)
        else:
            self._answer(request, lambda why: fail(_unreachable(why))).ask(kept, head)

    def _ask_anew(self, request: Request, head: bytes, fail: Fail) -> None:
        self._tasks.start(self._ask(self._answer(request, lambda why: fail(_unreachable(why))), head))

    def _answer(self, request: Request, failed: Callable[[str], None]) -> AnswerRelay:
        return AnswerRelay(request, done=self._keep, failed=failed)

    async def _ask(self, answer: AnswerRelay, head: bytes) -> None:
        try:
            answer.ask(await self._connections.connect(self._address), head)
        except (OSError, TimeoutError) as error:
            answer.abort(str(error) or type(error).__name__)

    async def _upload(self, relay: Relay) -> None:
        try:
            relay.through(await self._connections.connect(self._address))
        except (OSError, TimeoutError) as error:
            relay.unreached(str(error) or type(error).__name__)


def _unreachable(why: str) -> InvokeError:
    return InvokeError(503, "ServiceUnavailableException", f"The control API cannot be reached: {why}")


def _head(request: Request, request_id: str, length: int | None) -> bytes:
    return relayed_head(request, b"x-amzn-requestid: %b\r\n" % request_id.encode(), length=length)
