"""The body of a runtime's `/response` on its way to a caller who takes it as it comes (§3.1.5, §2.4.2)."""

from collections.abc import Callable
from time import monotonic

from kubelambda.agent.sandbox.running_invocation import RunningInvocation
from kubelambda.api.environment_protocol import parse_stream_bounds
from kubelambda.core.invoke.stream_pace import StreamPace
from kubelambda.wire.event_loop import EventLoop, Timer
from kubelambda.wire.flow import Headers
from kubelambda.wire.server import Request

_CONTENT_TYPE = b"content-type"
_ERROR = b"lambda-runtime-function-error"
_DEFAULT_TYPE = b"application/octet-stream"


class StreamedResponse:
    """A `BodySink` of the runtime's request, and the `Flow` of the answer: a slow caller makes the runtime wait.

    `complete` gets the request with its trailers, `broken_off` hears that it has no end, and `exceeded` that it has
    more bytes than it may. A caller who is gone makes nobody wait: the function goes on, and what it sends is lost.
    """

    __slots__ = (
        "_broken_off",
        "_choked",
        "_complete",
        "_exceeded",
        "_invocation",
        "_left",
        "_loop",
        "_most",
        "_over",
        "_pace",
        "_request",
        "_timer",
        "_type",
    )

    def __init__(
        self,
        request: Request,
        invocation: RunningInvocation,
        loop: EventLoop,
        *,
        complete: Callable[[Request], None],
        broken_off: Callable[[], None],
        exceeded: Callable[[int], None],
    ) -> None:
        bounds = parse_stream_bounds((invocation.stream or b"").decode("latin-1"))
        self._request = request
        self._invocation = invocation
        self._loop = loop
        self._complete = complete
        self._broken_off = broken_off
        self._exceeded = exceeded
        self._type = request.headers.get(_CONTENT_TYPE, _DEFAULT_TYPE)
        self._pace = StreamPace(bounds.burst_bytes, bounds.bytes_per_second)
        self._left = self._most = bounds.max_bytes
        self._timer: Timer | None = None
        self._choked = False
        self._over = False

    # -- what the runtime's connection calls --------------------------------------------------------------------------

    def data(self, data: bytes) -> None:
        """Some of the body. What comes after the answer was ended is nobody's, and of no later invocation."""
        if self._over or self._invocation.over:
            return
        self._left -= len(data)
        if self._left < 0:
            self._over = True
            self._exceeded(self._most)
            return
        if not self._invocation.begun:
            self._invocation.begin(self._type, self)
        self._invocation.request.write(data)
        seconds = self._pace.take(len(data), monotonic())
        if seconds:
            self._rest(seconds)

    def end(self, trailers: Headers) -> None:
        """All of it came."""
        self._stop()
        self._invocation.streamed_bytes = self._most - self._left
        request = self._request
        request.size = 0  # the bounds of a body that is kept are not for this one
        request.trailers = trailers
        if not self._invocation.begun and not any(name.startswith(_ERROR) for name in trailers):
            self._invocation.begin(self._type, self)  # a stream of nothing is one, too
        self._complete(request)

    def abort(self, why: str) -> None:  # noqa: ARG002 - that it ended is enough
        """The rest will never come."""
        self._stop()
        self._broken_off()

    # -- what the caller's connection calls ---------------------------------------------------------------------------

    def pause(self) -> None:
        """The caller reads too slowly."""
        self._choked = True
        self._request.pause()

    def resume(self) -> None:
        """The caller can take more."""
        self._choked = False
        if self._timer is None:
            self._request.resume()

    def cancel(self) -> None:
        """The caller is gone."""
        self.resume()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _rest(self, seconds: float) -> None:
        """Reads nothing for a while."""
        if self._timer is None:
            self._request.pause()
        else:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._rested)

    def _rested(self) -> None:
        self._timer = None
        if not self._choked:
            self._request.resume()

    def _stop(self) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
