"""The answer of InvokeWithResponseStream on its way: events, the last of which says how it went (§2.4)."""

import base64
import binascii
from typing import Final

from kubelambda.api import environment_protocol
from kubelambda.core.invoke import event_stream
from kubelambda.wire.flow import Flow
from kubelambda.wire.header_lines import fields_of
from kubelambda.wire.passing_answer import PassingAnswer
from kubelambda.wire.request import Answering, Request

_ERROR: Final = environment_protocol.FUNCTION_ERROR.lower().encode()
_ERROR_BODY: Final = environment_protocol.ERROR_BODY.lower().encode()
_LOG: Final = environment_protocol.LOG_RESULT.lower().encode()
_OF_THE_ANSWER: Final = (b"x-amz-executed-version", b"x-amzn-requestid")
_CUT_OFF: Final = "The answer was cut off: the frontend that ran the invocation ended, or cannot be reached any more."


class StreamAnswer(PassingAnswer):
    """Stands before the connection of one request. What is no 200 passes as it is: nothing was invoked then."""

    __slots__ = ("_begun", "_headers", "_pieces")

    def __init__(self, connection: Answering) -> None:
        super().__init__(connection)
        self._headers = b""
        self._begun = False
        """Whether the caller has some of the answer."""
        self._pieces: list[bytes] | None = None
        """An answer of a function that does not stream, when it comes in pieces."""

    def respond(self, request: Request, status: int, body: bytes, headers: bytes) -> None:
        """The whole answer: one event has it, unless it is an error, and a second one ends it."""
        if status != 200:
            super().respond(request, status, body, headers)
            return
        fields = fields_of(headers)
        error = fields.get(_ERROR)
        chunk = event_stream.payload_chunk(body) if body and error is None else b""
        complete = _complete(error, body if error is not None else b"", fields.get(_LOG))
        super().respond(request, 200, chunk + complete, _head(fields))

    def begin(self, request: Request, status: int, headers: bytes, length: int | None, flow: Flow | None) -> None:
        """A stream; or something whole that comes in pieces from another frontend."""
        if status != 200:
            super().begin(request, status, headers, length, flow)
        elif length is not None:
            self._headers, self._pieces = headers, []
        else:
            self._begun = True
            super().begin(request, 200, _head(fields_of(headers)), None, flow)

    def write(self, request: Request, data: bytes) -> None:
        """Some of the answer."""
        if self._pieces is not None:
            self._pieces.append(data)
        elif self._begun:
            super().write(request, event_stream.payload_chunk(data))
        else:
            super().write(request, data)

    def end(self, request: Request, trailers: bytes) -> None:
        """All of it came."""
        if self._pieces is not None:
            pieces, self._pieces = self._pieces, None
            self.respond(request, 200, b"".join(pieces), self._headers)
        elif self._begun:
            fields = fields_of(trailers)
            super().write(request, _complete(fields.get(_ERROR), error_body(fields), fields.get(_LOG)))
            super().end(request, b"")
        else:
            super().end(request, trailers)

    def abort(self, request: Request) -> None:
        """The rest will never come: the caller is told so, since a stream that just ends would pass for a whole one."""
        complete = event_stream.invoke_complete("ServiceException", _CUT_OFF)
        if self._begun:
            super().write(request, complete)
            super().end(request, b"")
        elif self._pieces is not None:
            super().respond(request, 200, complete, _head(fields_of(self._headers)))
        else:
            super().abort(request)


def error_body(trailers: dict[bytes, bytes]) -> bytes:
    """The error JSON that the trailers of a stream carry."""
    try:
        return base64.b64decode(trailers.get(_ERROR_BODY, b""), validate=True)
    except binascii.Error:
        return b""


def _head(fields: dict[bytes, bytes]) -> bytes:
    lines = [b"Content-Type: %b\r\n" % event_stream.CONTENT_TYPE]
    lines += [b"%b: %b\r\n" % (name, fields[name]) for name in _OF_THE_ANSWER if name in fields]
    return b"".join(lines)


def _complete(error: bytes | None, details: bytes, log: bytes | None) -> bytes:
    """The last event."""
    return event_stream.invoke_complete(
        error.decode("latin-1") if error is not None else None,
        details.decode(errors="replace") if error is not None else None,
        log.decode("latin-1") if log is not None else None,
    )
