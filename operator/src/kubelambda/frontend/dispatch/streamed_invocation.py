"""An invocation whose caller takes the answer as it comes (§2.4)."""

import base64
from dataclasses import dataclass
from typing import Final

from kubelambda.api import environment_protocol
from kubelambda.api.environment_protocol import StreamBounds
from kubelambda.frontend.dispatch.invocation import Invocation
from kubelambda.wire.flow import Flow

_CONTENT_TYPE: Final = b"content-type"
_FUNCTION_ERROR: Final = environment_protocol.FUNCTION_ERROR.lower().encode()
_ERROR_BODY: Final = environment_protocol.ERROR_BODY.lower().encode()
_OUTCOME: Final = (_FUNCTION_ERROR, _ERROR_BODY, environment_protocol.LOG_RESULT.lower().encode())
"""What trailers tell whoever passes the answer on."""
LAMBDAS: Final = StreamBounds()
"""As Lambda bounds a stream."""


@dataclass(slots=True)
class StreamedInvocation(Invocation):
    """It is answered whole where its function answers whole, or fails before it answers."""

    bounds: StreamBounds = LAMBDAS
    begun: bool = False
    """Whether the caller has some of the answer: then only its end is left to say how it went."""

    def begin(self, headers: dict[bytes, bytes], flow: Flow) -> None:
        """Begins to answer. `flow` is told when the caller reads too slowly."""
        self.begun = True
        lines = b"Content-Type: %b\r\n" % headers.get(_CONTENT_TYPE, b"application/octet-stream")
        lines += self.version_lines
        self.request.begin(200, lines, flow=flow)

    def succeed(self, headers: dict[bytes, bytes], body: bytes, more: bytes = b"") -> None:
        """Answers with what the environment said, or ends the answer that has begun."""
        if not self.begun:
            Invocation.succeed(self, headers, body, more)
            return
        lines = b"".join([b"%b: %b\r\n" % (name, headers[name]) for name in _OUTCOME if name in headers])
        self.request.end(lines + more)

    def function_error(self, body: bytes, log: bytes = b"") -> None:
        """As `Invocation.function_error`; an answer that has begun ends with it."""
        if self.begun:
            self.succeed({_FUNCTION_ERROR: b"Unhandled", _ERROR_BODY: base64.b64encode(body)}, b"")
        else:
            Invocation.function_error(self, body, log)
