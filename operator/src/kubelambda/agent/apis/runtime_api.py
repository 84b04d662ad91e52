"""The Lambda Runtime API on loopback (§3.1): paths, statuses and error bodies."""

import base64
import json
import re
from collections.abc import Collection

from kubelambda.agent.apis.response_body import ResponseBody
from kubelambda.agent.sandbox.running_invocation import Failure, RunningInvocation, error_body
from kubelambda.agent.sandbox.runtime_answers import RuntimeAnswers
from kubelambda.agent.sandbox.runtime_state import InvalidStateTransition, RuntimeCall, RuntimeState, after
from kubelambda.agent.sandbox.sandbox import Sandbox
from kubelambda.api import limits
from kubelambda.wire.event_loop import EventLoop
from kubelambda.wire.flow import BodySink
from kubelambda.wire.request_reader import Admission
from kubelambda.wire.server import Request

_JSON = b"Content-Type: application/json\r\n"
_OK = b'{"status":"OK"}\n'
_PREFIX = b"/2018-06-01/runtime/"
_OF_EXTENSIONS = (b"/2020-01-01/extension/", b"/2020-08-15/logs", b"/2022-07-01/telemetry")
_RESPONSE_MODE = b"lambda-runtime-function-response-mode"
_ERROR_TYPE_FIELD = b"lambda-runtime-function-error-type"
_ERROR_BODY_FIELD = b"lambda-runtime-function-error-body"
_ERROR_TYPE = re.compile(r"(Runtime|Function)\.[A-Z][a-zA-Z]+")


class RuntimeApi:
    """Serves the runtime process."""

    def __init__(self, sandbox: Sandbox, loop: EventLoop, reserved: Collection[int] = ()) -> None:
        """`reserved` are the agent's own ports, to which nothing is sent."""
        self._sandbox = sandbox
        self._reserved = reserved
        self._answers = RuntimeAnswers(sandbox)
        self._loop = loop
        self._streamed: Request | None = None
        """The response that is passed on as it comes."""

    def admit(self, request: Request) -> Admission:
        """What becomes of a body. Only one that is expected is read as it comes; another than that is not kept."""
        rest = request.target.removeprefix(_PREFIX + b"invocation/")
        if not rest.endswith(b"/response"):
            return limits.RESPONSE_MAX_BYTES
        request_id, sandbox = rest.removesuffix(b"/response"), self._sandbox
        if not self._answers.expected(request_id) or sandbox.state is not RuntimeState.RUNNING:
            return 0
        if sandbox.extensions is not None:
            sandbox.extensions.answering()
        invocation = sandbox.invocation
        streamed = request.method == b"POST" and request.headers.get(_RESPONSE_MODE) == b"streaming"
        if streamed and invocation is not None and invocation.stream is not None:
            return self._stream(request, invocation)
        return ResponseBody(request, self.serve, lambda: self._answers.truncated(request_id))

    def _stream(self, request: Request, invocation: RunningInvocation) -> BodySink:
        """From here on `/error` comes too late."""
        from kubelambda.agent.apis.streamed_response import StreamedResponse  # noqa: PLC0415 - few functions stream

        self._streamed, self._sandbox.state = request, RuntimeState.RESPONDING
        return StreamedResponse(
            request,
            invocation,
            self._loop,
            complete=self.serve,
            broken_off=lambda: self._answers.truncated(invocation.id),
            exceeded=self._answers.exceeded,
        )

    def serve(self, request: Request) -> None:
        """Answers one request; `/next` is answered when there is an event."""
        try:
            self._route(request)
        except InvalidStateTransition as error:
            _refuse(request, 403, "InvalidStateTransition", str(error))

    def _route(self, request: Request) -> None:
        path = request.target.partition(b"?")[0]
        if path == b"/2018-06-01/runtime/invocation/next" and request.method == b"GET":
            self._sandbox.next(request)
        elif path.startswith(_PREFIX + b"invocation/") and request.method == b"POST":
            self._answer(request, path.removeprefix(_PREFIX + b"invocation/"))
        elif path == b"/2018-06-01/runtime/init/error" and request.method == b"POST":
            self._answers.init_error(request.body, _error_type(request, "Runtime.Unknown"))
            request.respond(202, _OK, _JSON)
        elif path == b"/2018-06-01/runtime/restore/next":
            after(self._sandbox.state, RuntimeCall.RESTORE_NEXT)
        elif path == b"/2018-06-01/runtime/restore/error":
            after(self._sandbox.state, RuntimeCall.RESTORE_ERROR)
        elif path in (b"/2018-06-01/ping", b"/ping"):
            request.respond(200, b"pong")
        elif path.startswith(_OF_EXTENSIONS):
            from kubelambda.agent.apis.extensions_api import ExtensionsApi  # noqa: PLC0415 - few functions have any

            ExtensionsApi(self._sandbox, self._reserved).serve(request, path)
        else:
            _refuse(request, 404, "NotFound", f"no such call: {path.decode(errors='replace')}")

    def _answer(self, request: Request, rest: bytes) -> None:
        request_id, _, call = rest.partition(b"/")
        if call == b"response":
            mode = request.headers.get(_RESPONSE_MODE)
            if mode not in (None, b"streaming", b"buffered"):
                _refuse(request, 400, "InvalidFunctionResponseMode", "Invalid function response mode")
                return
            if self._sandbox.state is RuntimeState.RESPONDING and request is not self._streamed:
                raise InvalidStateTransition(RuntimeState.RESPONDING, RuntimeCall.RESPONSE)
            accepted = self._answers.response(request, request_id, _reported_within(request))
        elif call == b"error":
            accepted = self._answers.error(request, request_id, _error_type(request, "Function.Unknown"))
        else:
            _refuse(request, 404, "NotFound", f"no such call: {call.decode(errors='replace')}")
            return
        if not accepted:
            _refuse(request, 400, "InvalidRequestID", "Invalid request ID")
        elif request.size > limits.RESPONSE_MAX_BYTES:
            message = f"Exceeded maximum allowed payload size ({limits.RESPONSE_MAX_BYTES} bytes)."
            _refuse(request, 413, "RequestEntityTooLarge", message)
        else:
            request.respond(202, _OK, _JSON)


def _error_type(request: Request, default: str) -> str:
    return _known(request.headers.get(_ERROR_TYPE_FIELD, b""), default)


def _known(given: bytes, default: str) -> str:
    found = given.decode(errors="replace")
    return found if _ERROR_TYPE.fullmatch(found) else default


def _reported_within(request: Request) -> Failure | None:
    """The error that a streaming runtime met after it had begun to answer: in the trailers (§3.1.5)."""
    trailers = request.trailers
    if _ERROR_TYPE_FIELD not in trailers and _ERROR_BODY_FIELD not in trailers:
        return None
    error_type = _known(trailers.get(_ERROR_TYPE_FIELD, b""), "Function.Unknown")
    try:
        body = base64.b64decode(trailers.get(_ERROR_BODY_FIELD, b""))
    except ValueError:
        body = b""
    return Failure(body or error_body(error_type, "the response ended with an error"), "error", error_type)


def _refuse(request: Request, status: int, error_type: str, message: str) -> None:
    request.respond(status, json.dumps({"errorMessage": message, "errorType": error_type}).encode(), _JSON)
