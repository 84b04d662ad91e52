"""The reading half of a server's connection: from bytes to heads and bodies, one request at a time."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import httptools

from kubelambda.api import limits
from kubelambda.wire.connections import Connections
from kubelambda.wire.flow import BodySink, Headers
from kubelambda.wire.message import RAW_HEAD_MAX_BYTES, SMALL_HEAD_BYTES, MessageRefused, cause, too_large
from kubelambda.wire.request import Request
from kubelambda.wire.request_rules import check_unusual
from kubelambda.wire.response_writer import CHUNKED, COMPLETE, HEAD, ResponseWriter
from kubelambda.wire.upgrade import BodyReader, rewritten_head

type Serve = Callable[[Request], None]
"""Gets a complete request, and answers it now or later."""


@dataclass(slots=True)
class Whole:
    """A body that is kept, and who gets its request then."""

    limit: int
    """Bytes of a body. Of a longer one nothing is kept, and its request is served with its size."""
    serve: Serve


type Admission = Whole | int | BodySink | None
"""What becomes of a body: kept up to so many bytes, streamed, or not read, because the request has its answer."""
type Wording = Callable[[Request, int, str], tuple[bytes, bytes]]
"""Header lines and body of an answer that the connection itself gives: a status, and why."""

BUSY, CHOKED, PAUSED = 1, 2, 4
"""Why nothing more is parsed: a request waits for its answer, the client does not read, a body's sink is full."""
DROPPED_MAX_BYTES = 33_554_432
"""So much beyond its limit is read and counted, so that the connection can go on; then it is answered at once."""
_END = b"\r\n\r\n"


class RequestReader(ResponseWriter):
    """Parses requests. Whoever serves them says when the next one may come."""

    __slots__ = (
        "_admit",
        "_blocked",
        "_body",
        "_dropped",
        "_dropping",
        "_holding",
        "_limit",
        "_max_body",
        "_parser",
        "_parsing",
        "_pending",
        "_reading",
        "_replaced",
        "_serve",
        "_since",
        "_sink",
        "_size",
        "_sized",
        "_surplus",
        "_tail",
        "_target",
        "_then",
        "_upgrading",
        "_wording",
    )

    def __init__(
        self,
        serve: Serve,
        *,
        max_body: int,
        admit: Callable[[Request], Admission] | None = None,
        wording: Wording | None = None,
        connections: Connections | None = None,
        gathers: bool = False,
    ) -> None:
        """`serve` gets complete requests. `admit` is asked at the head of each; without it, all have `max_body`.

        `wording` gives the form of the refusals that nobody is asked for. With `gathers`, 202 goes out with the answer
        to the request behind it, where the client has sent that one already: it hears of both at once, and no sooner.
        """
        super().__init__(connections if connections is not None else Connections(), gathers=gathers)
        self._serve = self._then = serve
        self._wording = wording
        self._max_body = max_body
        self._admit = admit
        self._parser = httptools.HttpRequestParser(self)
        self._blocked = 0
        self._parsing = False
        self._reading = True
        self._pending = b""
        """What came ahead of its time."""
        self._tail = b""
        """The last bytes of an unfinished head: its end may come in two pieces."""
        self._surplus = False
        """Whether the parser has seen some of the message after the one that is complete."""
        self._upgrading = False
        self._target = b""
        self._body: bytes | bytearray = b""
        self._size = 0
        self._limit = 0
        self._sink: BodySink | None = None
        self._dropping = False
        """Whether nothing that comes is read any more."""
        self._dropped = 0
        self._replaced = False
        """Whether the parser has seen another head than the message's own."""
        self._holding = False
        self._since = 0.0
        """When the message began that is not complete."""
        self._sized = 0
        """How much of a body there was when it was looked at last."""

    # -- what the serving half says -----------------------------------------------------------------------------------

    def _complete(self) -> None:
        """All of a message came."""
        raise NotImplementedError

    def _serve_early(self) -> None:
        """More of a body comes than anybody wants to count."""
        raise NotImplementedError

    def _wait_for_more(self) -> None:
        """A message has begun and is not complete."""
        raise NotImplementedError

    def _drop(self, size: int) -> None:
        """Bytes came that nobody reads."""
        raise NotImplementedError

    def _give_up(self, status: int, message: str) -> None:
        """Answers, and reads nothing more."""
        raise NotImplementedError

    def pause(self, request: Request) -> None:
        """Reads no more of a streamed body."""
        if self._request is request:
            self._blocked |= PAUSED
            self._stop_reading()

    def resume(self, request: Request) -> None:
        """Reads on."""
        if self._request is request and self._blocked & PAUSED:
            self._blocked &= ~PAUSED
            self._pump()

    # -- bytes --------------------------------------------------------------------------------------------------------

    def _parse(self, data: bytes) -> None:
        """Feeds the parser up to the end of a message, serves that, and goes on if it has its answer already."""
        self._parsing = True
        try:
            if self._raw or self._left != HEAD:
                within = self._left > 0
                position = self._parse_on(data, 0, self._feed(data, 0), within=within)
            else:
                position = self._parse_first(data)
        finally:
            self._parsing = False
        if position < len(data):
            self._left_over(data, position)
        elif not self._blocked and (self._raw or self._left != HEAD) and self._readable:
            self._wait_for_more()

    def _parse_first(self, data: bytes) -> int:
        """Nearly every read is a head and all of its body. Returns what was parsed."""
        end, size = data.find(_END), len(data)
        if end <= 0 or data[0] <= 32 or data.find(_END, end + 4) >= 0:
            return self._parse_on(data, 0, self._feed(data, 0), within=False)
        self._raw = size
        try:  # the body too, in one call, and seldom some of the next head
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            size = self._unparsed(error, 0, size)
        else:
            if self._left == COMPLETE and not self._surplus:
                self._more = False
                self._complete()
                return size
        self._tail = data[-3:]
        return self._parse_on(data, 0, size, within=False)

    def _parse_on(self, data: bytes, position: int, end: int, *, within: bool) -> int:
        """Goes on after `_feed`. `within`: whether that was some of a body whose length is known."""
        size = len(data)
        while True:
            position = self._end_of_first(data, position) if self._surplus else end
            if self._left > 0 and not within:
                self._left -= self._size  # which came along with the head
            if self._left == COMPLETE:
                # Not for a line end alone, which some clients send behind a body.
                self._more = position < size and data[position] > 32 and data.endswith(_END)
                self._complete()
            elif self._incomplete_bytes > RAW_HEAD_MAX_BYTES:
                self._refuse(too_large())
            if position == size or not self._readable:
                return position
            within = self._left > 0
            end = self._feed(data, position)

    def _feed(self, data: bytes, position: int) -> int:
        """Feeds the parser with what may be up to the end of a message. Returns where to go on."""
        end = self._cut(data, position)
        if self._left > 0:
            self._left -= end - position
        else:
            self._raw += end - position
        try:
            self._parser.feed_data(data if end - position == len(data) else data[position:end])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            return self._unparsed(error, position, end)
        return end

    def _left_over(self, data: bytes, position: int) -> None:
        """What was not parsed waits."""
        if self._dropping:
            self._drop(len(data) - position)
        elif self._transport is not None and not self._transport.is_closing():
            self._pending = data[position:] + self._pending
            self._stop_reading()

    def _end_of_first(self, data: bytes, position: int) -> int:
        """The parser has seen the beginning of a second message: it is read again when its time has come."""
        self._surplus = False
        self._replaced = True
        return data.index(_END, position) + 4 + self._size

    @property
    def _readable(self) -> bool:
        """Whether more may be parsed now."""
        transport = self._transport
        return not self._blocked and not self._dropping and transport is not None and not transport.is_closing()

    def _cut(self, data: bytes, position: int) -> int:
        """Where a message may end in `data`, so that the parser is hardly ever fed with two."""
        if self._left > 0:
            return min(position + self._left, len(data))
        if self._tail and not position:
            joint = (self._tail + data[:3]).find(_END)
            if joint >= 0:
                end = joint + 4 - len(self._tail)
                self._tail = b""
                return end
        end = data.find(_END, position) + 4
        if end < 4:
            self._tail = (self._tail + data[position:])[-3:] if len(data) - position < 3 else data[-3:]
            return len(data)
        self._tail = b""
        return end

    def _unparsed(self, error: Exception, position: int, end: int) -> int:
        """Where to read on after what the parser raised."""
        if isinstance(error, httptools.HttpParserUpgrade):
            self._ignore_upgrade()
            return position + int(error.args[0])
        self._refuse(cause(error))
        return end

    def _refuse(self, error: BaseException) -> None:
        """Nothing that comes on this connection can be understood any more."""
        if isinstance(error, MessageRefused):
            self._give_up(error.status, str(error))
        elif not isinstance(error, httptools.HttpParserError):
            sys.excepthook(type(error), error, error.__traceback__)
            self._give_up(500, "the request failed")
        elif self._target == b"*" and not self._headers:  # the preface of HTTP/2
            self._give_up(505, "this server speaks HTTP/1.1")
        else:
            self._give_up(400, "malformed HTTP request")

    def _ignore_upgrade(self) -> None:
        """Another protocol was offered: HTTP/1.1 goes on. The parser would take the body for that protocol's."""
        self._upgrading = False
        request = self._request
        if request is None:
            return
        self._parser = httptools.HttpRequestParser(BodyReader(self))
        self._replaced = True
        try:
            self._parser.feed_data(rewritten_head(request.headers))
        except httptools.HttpParserError as error:
            self._refuse(cause(error))

    def _pump(self) -> None:
        """Parses what was held back, and reads on."""
        while self._pending and not self._blocked and not self._parsing:
            data, self._pending = self._pending, b""
            self._parse(data)
        if not self._reading and not self._blocked and not self._pending and self._transport is not None:
            self._reading = True
            self._transport.resume_reading()

    def _stop_reading(self) -> None:
        if self._reading and self._transport is not None:
            self._reading = False
            self._transport.pause_reading()

    # -- what the parser calls ----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Called by the parser."""
        if self._left == COMPLETE:
            self._surplus = True  # and what is complete counts on
        else:
            self._head_bytes = 0
        self._headers = self._fields = {}
        self._trailers = None
        self._target = b""

    def on_url(self, url: bytes) -> None:
        """Called by the parser."""
        self._target += url
        if len(self._target) > limits.HEADERS_MAX_BYTES:
            raise too_large()

    def on_headers_complete(self) -> None:
        """Called by the parser: who may send what is decided before any of it is kept."""
        parser, headers, target = self._parser, self._headers, self._target
        if self._raw > SMALL_HEAD_BYTES:
            self._count_head(len(target))
        self._raw = self._size = 0
        trailers: Headers = {}
        self._trailers = self._fields = trailers
        length = headers.get(b"content-length")
        self._left = size = int(length) if length is not None else 0
        self._request = request = Request(self, parser.get_method(), target, headers, b"", size, trailers)
        self._limit = self._max_body
        self._last = not parser.should_keep_alive()
        self._upgrading = parser.should_upgrade()
        if self._last or self._upgrading or b"host" not in headers or target[:1] != b"/":
            version = parser.get_http_version()
            self._old = version == "1.0"
            check_unusual(request, version)
        if b"transfer-encoding" in headers:
            self._left = CHUNKED
            request.size = 0
            if headers[b"transfer-encoding"].lower() != b"chunked":
                raise MessageRefused(501, "the only transfer coding is chunked")
        admit = self._admit
        if admit is not None:
            admission = admit(request)
            if isinstance(admission, Whole):
                self._limit, self._then = admission.limit, admission.serve
            else:
                self._admitted(request, admission)
        if b"expect" in headers and self._request is request:
            self._expected(headers[b"expect"])

    def _admitted(self, request: Request, admission: int | BodySink | None) -> None:
        if admission is None:
            if self._request is request:
                raise RuntimeError("a request was neither admitted nor answered")
        elif isinstance(admission, int):
            self._limit = admission
        else:
            self._sink = admission

    def _expected(self, expectation: bytes) -> None:
        """Curl waits for this answer before it sends a large body."""
        if expectation.lower() != b"100-continue":
            raise MessageRefused(417, "the only expectation is 100-continue")
        if self._left > self._limit and self._sink is None:
            self._size = self._left
            self._serve_early()  # and tells the client so before it sends what is too much
        elif self._left and not self._old and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Called by the parser. What exceeds the limit is counted and dropped."""
        self._raw = 0
        if self._request is None:
            return
        self._size += len(body)
        if self._sink is not None:
            self._sink.data(body)
        elif self._size > self._limit:
            self._body = b""
            if self._size > self._limit + DROPPED_MAX_BYTES:
                self._serve_early()
        elif not self._body:
            self._body = body
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += body

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if not self._upgrading:
            if self._trailers and self._request is not None:
                self._count(self._trailers)
            self._left = COMPLETE
