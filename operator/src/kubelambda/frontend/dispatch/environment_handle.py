"""A frontend's handle on one execution environment: its pod, its connection, and the invocation that it runs."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from kubelambda.api import environment_protocol
from kubelambda.api.environment_protocol import EnvironmentState, StreamBounds, UnusableMessage
from kubelambda.core.invoke import invoke_error
from kubelambda.frontend.dispatch import environment_end
from kubelambda.frontend.dispatch.environment_end import EnvironmentEnd
from kubelambda.frontend.dispatch.invocation import Invocation
from kubelambda.frontend.dispatch.streamed_answer import StreamedAnswer
from kubelambda.frontend.dispatch.streamed_invocation import StreamedInvocation
from kubelambda.wire.client import ANSWER_MAX_BYTES, ClientConnection, CollectingSink, request_head

GRACE_S = 5.0
"""How long after the function's timeout an agent may still answer, before the platform answers in its place."""

_OPENING = "POST /invoke HTTP/1.1\r\nHost: agent\r\nAuthorization: Bearer "
_REQUEST_ID, _INVOKED_ARN = environment_protocol.REQUEST_ID, environment_protocol.INVOKED_ARN
_BUSY = environment_protocol.BUSY.lower().encode()
_BILLED_MS = environment_protocol.BILLED_MS.lower().encode()
_TRACE_ID = environment_protocol.TRACE_ID.lower().encode()
_CLIENT_CONTEXT = environment_protocol.CLIENT_CONTEXT.lower().encode()
_LOG_TYPE = environment_protocol.LOG_TYPE.lower().encode()


type Settled = Callable[["EnvironmentHandle", EnvironmentState, int], None]
"""Gets an environment that is free, what it says of itself, and what its answer had billed, in milliseconds."""


class EnvironmentEvents(Protocol):
    """What an environment tells of itself."""

    def answered(
        self, environment: "EnvironmentHandle", invocation: Invocation, headers: dict[bytes, bytes], body: bytes
    ) -> None:
        """An invocation was answered by its environment; its caller is not yet."""

    def rejected(self, environment: "EnvironmentHandle", invocation: Invocation) -> None:
        """The agent refused an invocation before any of it reached the runtime."""

    def failed(self, environment: "EnvironmentHandle", invocation: Invocation | None, end: EnvironmentEnd) -> None:
        """The environment is unusable; `invocation` was in flight and its event must not be sent again."""


@dataclass(slots=True)
class EnvironmentHandle:
    """One environment that was specialized for a function."""

    id: int
    pod: str
    uid: str
    token: str
    timeout: float
    events: EnvironmentEvents
    connection: ClientConnection | None = None
    invocation: Invocation | None = None
    closed: bool = False
    _sent: float = 0.0
    _sink: CollectingSink = field(init=False)
    _settled: Settled | None = None
    """Who waits until the environment is done with what it has answered."""
    _stream: StreamedAnswer | None = None
    """The answer that comes now, where its caller takes it as it comes."""

    def __post_init__(self) -> None:
        """One sink collects the answers to all invocations."""
        self._sink = CollectingSink(self._answer, ANSWER_MAX_BYTES)

    def send(self, invocation: Invocation) -> None:
        """Sends an invocation to the agent."""
        connection = self.connection
        try:
            if connection is None:
                raise ConnectionError("it has none")
            if isinstance(invocation, StreamedInvocation):
                stream = StreamedAnswer(invocation, connection, self._answer_streamed)
                connection.exchange(self._head(invocation, invocation.bounds), invocation.request.body, stream)
                self._stream = stream
            else:
                connection.exchange(self._head(invocation), invocation.request.body, self._sink)
        except ConnectionError:
            self.events.rejected(self, invocation)
        else:
            self.invocation = invocation
            self._sent = time.monotonic()

    def _head(self, invocation: Invocation, bounds: StreamBounds | None = None) -> bytes:
        """The head of the request to the agent; `bounds` of an answer that is wanted as it comes."""
        body, headers = invocation.request.body, invocation.request.headers
        lines = (
            f"{_OPENING}{self.token}\r\nContent-Length: {len(body)}\r\n"
            f"{_REQUEST_ID}: {invocation.id}\r\n{_INVOKED_ARN}: {invocation.arn}\r\n"
        )
        if invocation.term:
            lines += f"{environment_protocol.TERM}: {invocation.term}\r\n"
        if bounds is not None:
            lines += f"{environment_protocol.STREAM}: {bounds.encode()}\r\n"
        head = lines.encode()
        if _CLIENT_CONTEXT in headers:
            head += b"%b: %b\r\n" % (_CLIENT_CONTEXT, headers[_CLIENT_CONTEXT])
        if _LOG_TYPE in headers:
            head += b"%b: %b\r\n" % (_LOG_TYPE, headers[_LOG_TYPE])
        if _TRACE_ID in headers:
            head += b"%b: %b\r\n" % (_TRACE_ID, headers[_TRACE_ID])
        return head + b"\r\n"

    def lost(self) -> None:
        """The connection ended."""
        if not self.closed:
            self.end(environment_end.CLOSED)

    def check(self, now: float) -> None:
        """Asked about once a second; a timer for every invocation would cost more than the rest of sending it."""
        waited_for = self.invocation is not None or self._settled is not None
        late = waited_for and now - self._sent > self.timeout + GRACE_S
        if late and (self._stream is None or not self._stream.held(now, GRACE_S)):
            self.end(environment_end.OVERDUE)

    def settle(self, headers: dict[bytes, bytes], told: Settled) -> bool:
        """Whether the environment goes on with what it has answered: extensions do. `told` hears when it is free."""
        if _BUSY not in headers:
            return False
        connection, billed_ms = self.connection, int(headers.get(_BILLED_MS, b"0"))
        if connection is not None and connection.ready:
            self._settled = told
            # A stream may have come as late as its caller read it: it is not the environment that is overdue then.
            self._sent = max(self._sent, time.monotonic() - self.timeout)
            seconds = int(self.timeout + GRACE_S)
            wait = {"Authorization": f"Bearer {self.token}", "Prefer": f"wait={seconds}"}
            head = request_head("GET", environment_protocol.STATE, "agent", wait, 0)
            connection.send(head, b"", lambda status, _, body: self._told(status, body, billed_ms))
        return True  # without a connection its end is on its way

    def _told(self, status: int, body: bytes, billed_ms: int) -> None:
        told, self._settled = self._settled, None
        try:
            state = environment_protocol.parse_state(body) if status == 200 else EnvironmentState(busy=True)
        except UnusableMessage:
            state = EnvironmentState(busy=True)
        if told is None:
            return
        if state.busy:
            self.end(environment_end.OVERDUE if status == 200 else environment_end.faulty(status))
        else:
            told(self, state, billed_ms)

    @property
    def settling(self) -> bool:
        """Whether nobody waits for what the environment still does: it has answered."""
        return self._settled is not None

    @property
    def streaming(self) -> bool:
        """Whether an answer is on its way: its environment may be done with it before its caller is."""
        return self._stream is not None and self._stream.begun

    def close(self) -> None:
        """Lets go of the connection on purpose."""
        self.closed = True
        if self.connection is not None:
            self.connection.close()

    def _answer(self, status: int, headers: dict[bytes, bytes], body: bytes) -> None:
        invocation, self.invocation = self.invocation, None
        if invocation is None:
            return
        if status == 200:
            try:
                self.events.answered(self, invocation, headers, body)
            except Exception:  # the connection tells of it, and ends; its invocation is not the environment's any more
                invocation.fail(invoke_error.service("the answer could not be passed on"))
                invocation.request.abort()
                raise
        elif status == 409:
            self.events.rejected(self, invocation)
        else:
            self.events.failed(self, invocation, environment_end.faulty(status))

    def _answer_streamed(self, status: int, headers: dict[bytes, bytes], body: bytes) -> None:
        stream, self._stream = self._stream, None
        if stream is not None and stream.held(time.monotonic(), 0.0) and self.invocation is not None:
            self.invocation.holder = ""  # a lease would come behind what the caller has not read: after its time
        self._answer(status, headers, body)

    def end(self, end: EnvironmentEnd) -> None:
        """No answer will come of it any more."""
        self.closed = True
        self._settled = None
        invocation, self.invocation = self.invocation, None
        if self._stream is not None:
            self._stream.over = True
            self._stream = None
        if self.connection is not None:
            self.connection.close()
        self.events.failed(self, invocation, end)
