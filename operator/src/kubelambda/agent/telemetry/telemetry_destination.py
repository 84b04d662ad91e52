"""Where an extension listens: requests by HTTP, or lines by TCP, on loopback alone (§4.2.2)."""

import base64
import hashlib
from collections.abc import Callable
from typing import Any, Protocol

import httptools

from kubelambda.core.telemetry.telemetry_subscription import SANDBOX, TelemetrySubscription
from kubelambda.wire.event_loop import EventLoop, LoopTransport, Timer

type Told = Callable[[str], None]
"""Gets why a batch did not arrive; empty when it did."""

_HOST = "127.0.0.1"
_ANSWER_S = 10.0
"""How long a subscriber may take for one batch."""
_LOOK_S = 0.01
"""How often to look whether all that was sent by TCP is on its way."""
_FINAL = 200
_REFUSED = 400


class TelemetryDestination(Protocol):
    """Takes one batch at a time."""

    def send(self, events: list[bytes], told: Told) -> None:
        """Sends a batch. `told` hears what became of it, later, unless `close` comes before."""

    def close(self) -> None:
        """Nobody is there any more. What is on its way is given up."""


def destination(wanted: TelemetrySubscription, loop: EventLoop) -> TelemetryDestination:
    """Where the subscriber wants to hear."""
    return _Lines(wanted.port, loop) if wanted.tcp else _Requests(wanted, loop)


class _Wire:
    """One connection: what it says once it is not the present one any more is nobody's business."""

    def __init__(self, link: "_Link") -> None:
        self._link = link

    def connection_made(self, transport: Any) -> None:
        """It is being opened."""

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._link.wire is self:
            self._link.received(data)

    def pause_writing(self) -> None:
        """The subscriber reads slowly. No second batch is sent before the first has gone."""

    def resume_writing(self) -> None:
        """It has read most of it."""

    def connection_lost(self, exc: Exception | None) -> None:
        """It ended, or could not be opened."""
        if self._link.wire is self:
            self._link.lost(str(exc) if exc is not None else "the connection ended")


class _Link:
    """A connection that is opened when it is needed, and used again."""

    def __init__(self, port: int, loop: EventLoop) -> None:
        self._port = port
        self._loop = loop
        self.wire: _Wire | None = None
        """The present connection."""
        self._transport: LoopTransport | None = None
        self._timer: Timer | None = None
        self._told: Told | None = None

    def received(self, data: bytes) -> None:
        """Bytes of the subscriber. Lines are not answered."""

    def lost(self, why: str) -> None:
        """The present connection ended."""
        self.wire = self._transport = None
        self._tell(why)

    def close(self) -> None:
        """Nobody is there any more."""
        self._told = None
        self._tell("")
        self._drop()

    def _open(self) -> LoopTransport | None:
        """The connection; None when there is none: why will be told."""
        if self._transport is None:
            wire = _Wire(self)
            try:
                self._transport, self.wire = self._loop.connect(_HOST, self._port, wire), wire
            except OSError as error:
                self._tell_soon(error.strerror or str(error))
        return self._transport

    def _drop(self) -> None:
        transport, self.wire, self._transport = self._transport, None, None
        if transport is not None:
            transport.abort()

    def _expect(self, told: Told) -> None:
        self._told = told
        self._timer = self._loop.call_later(_ANSWER_S, lambda: self._fail(f"no answer in {_ANSWER_S:.0f} seconds"))

    def _fail(self, why: str) -> None:
        self._drop()
        self._tell(why)

    def _tell_soon(self, why: str) -> None:
        """Never within `send`; and nobody hears of the batch before his."""
        timer = self._timer
        self._loop.call_later(0, lambda: self._tell(why) if self._timer is timer else None)

    def _tell(self, why: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        told, self._told = self._told, None
        if told is not None:
            told(why)


class _Lines(_Link):
    """JSON, a line an event. That it was received nobody says: what the kernel has taken has arrived."""

    def send(self, events: list[bytes], told: Told) -> None:
        """As `TelemetryDestination`."""
        self._expect(told)
        if (transport := self._open()) is not None:
            transport.write(b"\n".join(events) + b"\n")
            self._loop.call_later(0, self._look)

    def _look(self) -> None:
        if self._told is None or self._transport is None:
            return
        if self._transport.get_write_buffer_size():
            self._loop.call_later(_LOOK_S, self._look)
        else:
            self._tell("")


class _Requests(_Link):
    """A JSON array in the body of a request."""

    def __init__(self, wanted: TelemetrySubscription, loop: EventLoop) -> None:
        super().__init__(wanted.port, loop)
        self._head = (
            f"{wanted.method} {wanted.path} HTTP/1.1\r\nHost: {SANDBOX}:{wanted.port}\r\n"
            "Content-Type: application/json\r\n"
        ).encode()
        self._parser = httptools.HttpResponseParser(self)
        self._request = b""
        self._used = False
        """Whether the connection has carried a request before: its end may have crossed the next one."""
        self._status = 0
        """Of the answer, once its head is here."""

    def send(self, events: list[bytes], told: Told) -> None:
        """As `TelemetryDestination`."""
        body = b"[" + b",".join(events) + b"]"
        sequence = base64.b64encode(hashlib.sha256(body).digest())
        lines = b"Content-Length: %d\r\nSequence-Id: %b\r\n\r\n" % (len(body), sequence)
        self._request = self._head + lines + body
        self._expect(told)
        self._write()

    def _write(self) -> None:
        self._used = self._transport is not None
        self._status = 0
        self._parser = httptools.HttpResponseParser(self)
        if (transport := self._open()) is not None:
            transport.write(self._request)

    def received(self, data: bytes) -> None:
        """Some of the answer."""
        if self._told is None:
            self._drop()  # nobody asked
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(f"the answer cannot be understood: {error}")

    def lost(self, why: str) -> None:
        """As `_Link`; but it may end an answer, and what ended before a request came is opened again for it."""
        if self._told is not None and self._status:
            self.wire = self._transport = None
            self._answered()
        elif self._told is not None and self._used:
            self.wire = self._transport = None
            self._write()
        else:
            super().lost(why)

    # -- what the parser calls ----------------------------------------------------------------------------------------

    def on_headers_complete(self) -> None:
        """The status is known; 1xx comes before another one."""
        status = self._parser.get_status_code()
        if status >= _FINAL:
            self._status = status

    def on_message_complete(self) -> None:
        """The answer is complete."""
        if self._status:
            if not self._parser.should_keep_alive():
                self._drop()
            self._answered()

    def _answered(self) -> None:
        self._request = b""
        refused = self._status >= _REFUSED
        self._tell_soon(f"the subscriber answered {self._status}" if refused else "")
