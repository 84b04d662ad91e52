"""The answer of a function that streams on its way to whoever called its URL (§2.4.3, §2.5.1)."""

from kubelambda.core.invoke import http_prelude
from kubelambda.core.invoke.http_prelude import HttpPrelude
from kubelambda.core.invoke.url_cors import CorsRules, with_cors
from kubelambda.core.invoke.url_response import BODILESS, INTERNAL_ERROR, NoResponse, UrlResponse
from kubelambda.frontend.invoke.url_answer import UrlAnswer, answer_lines
from kubelambda.wire.flow import Flow
from kubelambda.wire.header_lines import fields_of
from kubelambda.wire.passing_answer import PassingAnswer
from kubelambda.wire.request import Answering, Request

_ERROR = b"x-amz-function-error"
_CONTENT_TYPE = b"content-type"


class UrlStreamAnswer(UrlAnswer):
    """As `UrlAnswer`, which it is for functions that do not stream; what a stream has for HTTP goes on as it comes.

    The answer may begin with its status and headers. Where there are none, it is a 200 of the stream's content type.
    An error before the first byte is a 502; one after it cuts the answer off, and its caller finds it incomplete.
    """

    __slots__ = ("_flow", "_open", "_prelude", "_streamed")

    def __init__(
        self, connection: Answering, *, method: bytes, request_id: str, cors: CorsRules | None, origin: str | None
    ) -> None:
        super().__init__(connection, method=method, request_id=request_id, cors=cors, origin=origin)
        self._streamed = False
        self._prelude: HttpPrelude | None = None
        """What is still read of the head."""
        self._open = False
        """Whether more of the body may follow."""
        self._flow: Flow | None = None

    def begin(self, request: Request, status: int, headers: bytes, length: int | None, flow: Flow | None) -> None:
        """A stream, or something whole that comes in pieces from another frontend."""
        if status != 200 or length is not None:
            super().begin(request, status, headers, length, flow)
            return
        self._streamed, self._flow = True, flow
        content_type = fields_of(headers).get(_CONTENT_TYPE, b"application/octet-stream")
        if content_type.partition(b";")[0].strip().lower() == http_prelude.CONTENT_TYPE:
            self._prelude = HttpPrelude()
        else:
            self._head(request, UrlResponse(200, (("Content-Type", content_type.decode("latin-1")),), b""))

    def write(self, request: Request, data: bytes) -> None:
        """Some of the answer."""
        if not self._streamed:
            super().write(request, data)
        elif self._prelude is None:
            if self._open:
                PassingAnswer.write(self, request, data)
        else:
            try:
                found = self._prelude.feed(data)
            except NoResponse:
                self._fail(request)
            else:
                if found is not None:
                    self._prelude = None
                    self._head(request, found)

    def end(self, request: Request, trailers: bytes) -> None:
        """All of it came."""
        if not self._streamed:
            super().end(request, trailers)
        elif _ERROR in fields_of(trailers):
            self.abort(request)
        elif self._prelude is not None and self._prelude.empty:  # the official client writes no prelude without a body
            self._prelude = None
            self.respond_with(request, UrlResponse(200, (), b""))
        elif self._prelude is not None:
            self._fail(request)
        elif self._open:
            self._open = False
            PassingAnswer.end(self, request, b"")

    def abort(self, request: Request) -> None:
        """The rest will never come."""
        if not self._streamed:
            super().abort(request)
        elif self._prelude is not None:
            self._fail(request)
        elif self._open:
            self._open = False
            PassingAnswer.abort(self, request)

    def _head(self, request: Request, response: UrlResponse) -> None:
        """Begins to answer, with what of the body is there."""
        if response.status in BODILESS:
            self.respond_with(request, UrlResponse(response.status, response.headers, b""))
            return
        found = with_cors(self._cors, self._origin, response)
        request.method = self._method  # an answer to HEAD has no body
        self._open = True
        lines = answer_lines(found, self._request_id)
        PassingAnswer.begin(self, request, found.status, lines, None, self._flow)
        if found.body:
            PassingAnswer.write(self, request, found.body)

    def _fail(self, request: Request) -> None:
        """What came is no answer, and nothing of it has been sent."""
        self._prelude = None
        self.respond_with(request, INTERNAL_ERROR)
