"""A frontend's handle on one execution environment: its pod, its connection, and the invocation that it runs."""

import time
from dataclasses import dataclass
from typing import Protocol

from kubelambda.api import environment_protocol
from kubelambda.frontend.dispatch import environment_end
from kubelambda.frontend.dispatch.environment_end import EnvironmentEnd
from kubelambda.frontend.dispatch.invocation import Invocation
from kubelambda.wire.client import ClientConnection

GRACE_S = 5.0
"""How long after the function's timeout an agent may still answer, before the platform answers in its place."""


_PASSED_ON = tuple(
    name.lower().encode()
    for name in (environment_protocol.TRACE_ID, environment_protocol.CLIENT_CONTEXT, environment_protocol.LOG_TYPE)
)


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

    def send(self, invocation: Invocation) -> None:
        """Sends an invocation to the agent."""
        connection = self.connection
        if connection is None or not connection.open or not connection.idle:
            self.events.rejected(self, invocation)
            return
        self.invocation = invocation
        self._sent = time.monotonic()
        connection.send(invocation.environment_head % self.token.encode(), invocation.request.body, self._answer)

    def lost(self) -> None:
        """The connection ended."""
        if not self.closed:
            self.end(environment_end.CLOSED)

    def check(self, now: float) -> None:
        """Asked about once a second; a timer for every invocation would cost more than the rest of sending it."""
        if self.invocation is not None and now - self._sent > self.timeout + GRACE_S:
            self.end(environment_end.OVERDUE)

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
            self.events.answered(self, invocation, headers, body)
        elif status == 409:
            self.events.rejected(self, invocation)
        else:
            self.events.failed(self, invocation, environment_end.faulty(status))

    def end(self, end: EnvironmentEnd) -> None:
        """No answer will come of it any more."""
        self.closed = True
        invocation, self.invocation = self.invocation, None
        if self.connection is not None:
            self.connection.close()
        self.events.failed(self, invocation, end)


def invoke_head(invocation: Invocation, term: str = "") -> bytes:
    """The agent's request head, with a place for the token. `term`: of the lease that it is sent by."""
    headers = invocation.request.headers
    lines = [
        b"POST /invoke HTTP/1.1\r\nHost: agent\r\nAuthorization: Bearer %b\r\nContent-Length: "
        + str(len(invocation.request.body)).encode(),
        f"{environment_protocol.REQUEST_ID}: {invocation.id}".encode(),
        f"{environment_protocol.INVOKED_ARN}: {invocation.arn}".encode(),
    ]
    if term:
        lines.append(f"{environment_protocol.TERM}: {term}".encode())
    for name in _PASSED_ON:
        value = headers.get(name)
        if value is not None:
            lines.append(name + b": " + value.replace(b"%", b"%%"))
    return b"\r\n".join(lines) + b"\r\n\r\n"
