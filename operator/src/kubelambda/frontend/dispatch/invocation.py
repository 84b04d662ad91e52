"""One synchronous invocation between its caller and an environment."""

import base64
from dataclasses import dataclass

from kubelambda.api import environment_protocol
from kubelambda.core.invoke import invoke_error
from kubelambda.core.invoke.invoke_error import InvokeError
from kubelambda.core.invoke.routing import LATEST
from kubelambda.wire.server import Request

_LOG_TYPE = environment_protocol.LOG_TYPE.lower().encode()


@dataclass(slots=True)
class Invocation:
    """An invocation in flight. `started` is on the monotonic clock."""

    request: Request
    id: str
    arn: str
    started: float
    qualifier: str = LATEST
    """What its caller named."""
    version: str = LATEST
    """What it got."""
    term: str = ""
    """Of the lease that it is sent by."""
    holder: str = ""
    """The frontend that forwarded it, if that takes leases."""

    @property
    def version_lines(self) -> bytes:
        """Header lines of every answer: what ran, and by which id."""
        return f"X-Amz-Executed-Version: {self.version}\r\nx-amzn-RequestId: {self.id}\r\n".encode()

    def fail(self, error: InvokeError) -> None:
        """Answers with one of Lambda's errors."""
        refuse(self.request, self.id, error)

    def succeed(self, headers: dict[bytes, bytes], body: bytes, more: bytes = b"") -> None:
        """Answers with what the environment said; `more` are header lines of ours."""
        lines = b"Content-Type: application/json\r\n" + self.version_lines
        if (error := headers.get(b"x-amz-function-error")) is not None:
            lines += b"X-Amz-Function-Error: %b\r\n" % error
        if (log := headers.get(b"x-amz-log-result")) is not None:
            lines += b"X-Amz-Log-Result: %b\r\n" % log
        self.request.respond(200, body, lines + more)

    def gone(self) -> None:
        """Answers that there is no such function or version any more."""
        suffix = f":{self.qualifier}"
        self.fail(invoke_error.not_found(self.arn.removesuffix(suffix) + suffix))

    def function_error(self, body: bytes, log: bytes = b"") -> None:
        """Answers with a function error that the platform words, or that of INIT, whose `log` ends like that."""
        headers = {b"x-amz-function-error": b"Unhandled"}
        if log and self.request.headers.get(_LOG_TYPE) == b"Tail":
            headers[b"x-amz-log-result"] = base64.b64encode(log)
        self.succeed(headers, body)


def refuse(request: Request, request_id: str, error: InvokeError) -> None:
    """Answers with one of Lambda's errors."""
    request.respond(error.status, error.body(), error.headers() + f"x-amzn-RequestId: {request_id}\r\n".encode())
