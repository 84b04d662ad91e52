"""The answer of an environment on its way to a caller who takes it as it comes."""

import time
from collections.abc import Callable
from typing import Final

from kubelambda.frontend.dispatch.streamed_invocation import StreamedInvocation
from kubelambda.wire.client import ANSWER_MAX_BYTES, ClientConnection, CollectingSink
from kubelambda.wire.flow import Headers
from kubelambda.wire.message import NO_HEADERS

_CHUNKED: Final = b"transfer-encoding"

type Whole = Callable[[int, Headers, bytes], None]
"""Gets status, headers and body of an answer; of one that was streamed, headers and trailers, and no body."""


class StreamedAnswer:
    """A `ResponseSink` of the environment's connection, and the `Flow` of the caller's.

    An agent whose runtime does not stream answers whole, and is collected. A caller who is gone ends nothing: the
    function goes on as on Lambda, and what it answers is lost.
    """

    __slots__ = ("_connection", "_headers", "_invocation", "_kept", "_paused", "_resumed", "_told", "begun", "over")

    def __init__(self, invocation: StreamedInvocation, connection: ClientConnection, told: Whole) -> None:
        self._invocation = invocation
        self._connection = connection
        self._told = told
        self._headers: Headers = NO_HEADERS
        self._kept: CollectingSink | None = None
        self._paused = False
        self._resumed = 0.0
        self.begun = False
        """Whether the environment streams."""
        self.over = False
        """Whether the environment runs something else by now, or is gone."""

    def held(self, now: float, grace_s: float) -> bool:
        """Whether it is the caller who is late, and not the environment: so it was until `grace_s` ago."""
        return self._paused or now - self._resumed < grace_s

    # -- what the environment's connection calls ----------------------------------------------------------------------

    def head(self, status: int, headers: Headers) -> None:
        """Called by the environment's connection."""
        if status != 200 or _CHUNKED not in headers:
            self._kept = CollectingSink(self._whole, ANSWER_MAX_BYTES)
            self._kept.head(status, headers)
            return
        self._headers = headers
        self.begun = True
        self._invocation.begin(headers, self)

    def data(self, data: bytes) -> None:
        """Called by the environment's connection."""
        if self._kept is not None:
            self._kept.data(data)
        else:
            self._invocation.request.write(data)

    def end(self, trailers: Headers) -> None:
        """Called by the environment's connection."""
        if self._kept is not None:
            self._kept.end(trailers)
        else:
            self._whole(200, self._headers | trailers, b"")

    def abort(self, why: str) -> None:
        """Called by the environment's connection, whose end says what it means."""

    # -- what the caller's connection calls ---------------------------------------------------------------------------

    def pause(self) -> None:
        """Called by the caller's connection: it reads too slowly."""
        if not self.over:
            self._paused = True
            self._connection.pause()

    def resume(self) -> None:
        """Called by the caller's connection."""
        if not self.over:
            self._paused = False
            self._resumed = time.monotonic()
            self._connection.resume()

    def cancel(self) -> None:
        """Called by the caller's connection: the caller is gone."""
        self.resume()

    def _whole(self, status: int, headers: Headers, body: bytes) -> None:
        self.over = True
        self._told(status, headers, body)
