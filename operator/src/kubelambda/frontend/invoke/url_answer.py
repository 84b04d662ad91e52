"""The answer of a function on its way to whoever called its URL: what an Invoke answers, as HTTP (§2.5.3, §2.5.4)."""

import re
from typing import Final

from kubelambda.core.invoke.url_cors import CorsRules, with_cors
from kubelambda.core.invoke.url_response import INTERNAL_ERROR, NoResponse, UrlResponse, url_response
from kubelambda.wire.flow import Flow
from kubelambda.wire.header_lines import fields, header_line
from kubelambda.wire.passing_answer import PassingAnswer
from kubelambda.wire.request import Answering, Request

_FUNCTION_ERROR: Final = re.compile(rb"^x-amz-function-error:", re.IGNORECASE | re.MULTILINE)
_NOT_MOUNTED: Final = re.compile(rb"^x-amzn-errortype: EFS", re.IGNORECASE | re.MULTILINE)
_OF_THE_BODY: Final = frozenset({b"content-length", b"transfer-encoding"})


class UrlAnswer(PassingAnswer):
    """Stands before the connection of one request, which was made an Invoke of its function."""

    __slots__ = (
        "_begun",
        "_cors",
        "_headers",
        "_method",
        "_origin",
        "_pieces",
        "_request_id",
        "_status",
    )

    def __init__(
        self, connection: Answering, *, method: bytes, request_id: str, cors: CorsRules | None, origin: str | None
    ) -> None:
        """`method` is that of the HTTP request."""
        super().__init__(connection)
        self._method = method
        self._request_id = request_id
        self._cors = cors
        self._origin = origin
        self._begun = False
        self._status = 0
        self._headers = b""
        self._pieces: list[bytes] = []

    def respond(self, request: Request, status: int, body: bytes, headers: bytes) -> None:
        """The whole answer of the function."""
        self.respond_with(request, _response(status, body, headers))

    def respond_with(self, request: Request, response: UrlResponse) -> None:
        """The whole HTTP answer."""
        found = with_cors(self._cors, self._origin, response)
        request.method = self._method  # an answer to HEAD has no body
        PassingAnswer.respond(self, request, found.status, found.body, answer_lines(found, self._request_id))

    def begin(self, request: Request, status: int, headers: bytes, length: int | None, flow: Flow | None) -> None:  # noqa: ARG002
        """An answer that comes in pieces is kept until it is whole: it is none of HTTP before."""
        self._begun = True
        self._status, self._headers = status, headers

    def write(self, request: Request, data: bytes) -> None:  # noqa: ARG002
        """See `begin`."""
        self._pieces.append(data)

    def end(self, request: Request, trailers: bytes) -> None:  # noqa: ARG002
        """See `begin`."""
        self.respond(request, self._status, b"".join(self._pieces), self._headers)

    def abort(self, request: Request) -> None:
        """Nothing of the answer has been sent: the caller gets an error."""
        if self._begun:
            self.respond(request, 502, INTERNAL_ERROR.body, b"Content-Type: application/json\r\n")
        else:
            super().abort(request)


def _response(status: int, body: bytes, headers: bytes) -> UrlResponse:
    """What Invoke answers with an error, callers of a URL get as it is: throttles, and what is not ready.

    Not so why a file system cannot be mounted: that names servers, volumes and nodes, and a URL may be anybody's.
    """
    if status != 200 and _NOT_MOUNTED.search(headers):
        return INTERNAL_ERROR
    if status != 200:
        lines = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in fields(headers))
        kept = tuple(line for line in lines if not line[0].lower().startswith("x-amzn-requestid"))
        return UrlResponse(status, kept, body)
    if _FUNCTION_ERROR.search(headers):
        return INTERNAL_ERROR
    try:
        return url_response(body)
    except NoResponse:
        return INTERNAL_ERROR


def answer_lines(response: UrlResponse, request_id: str) -> bytes:
    """The header lines of an answer."""
    lines = [header_line(name.encode(), value.encode()) for name, value in response.headers]
    return b"".join(lines) + f"x-amzn-RequestId: {request_id}\r\n".encode()
