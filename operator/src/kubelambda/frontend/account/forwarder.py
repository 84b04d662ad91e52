"""Passing a request on to the frontend that owns its account (DESIGN §5, Ownership)."""

import asyncio
import hmac
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from kubelambda.core.environment import tokens
from kubelambda.wire.background_tasks import BackgroundTasks
from kubelambda.wire.client import ClientConnection, connect
from kubelambda.wire.server import Request

CALLER = b"x-kubelambda-caller"
"""What the caller is, proven by the token of that role."""
HOPS = b"x-kubelambda-hops"
"""How many frontends have passed the request on."""
WITHOUT = b"x-kubelambda-without"
"""Frontends that the caller passes over: they drain, or cannot be reached."""
ROLE = "frontend"
_CONNECT_S = 1.0
IDLE_S = 60.0
"""How long a connection is kept that nobody uses: less than a frontend does, so that it never closes one first."""
_RELAYED = (
    b"content-type",
    b"x-amz-executed-version",
    b"x-amz-function-error",
    b"x-amz-log-result",
    b"x-amzn-requestid",
    b"x-amzn-errortype",
    b"retry-after",
)
_PASSED_ON = (
    b"host",
    b"x-amz-invocation-type",
    b"x-amz-log-type",
    b"x-amz-client-context",
    b"x-amzn-trace-id",
    b"x-amzn-requestid",
)


@dataclass(frozen=True, slots=True)
class Hop:
    """How a request came here from another frontend."""

    count: int
    without: tuple[str, ...]


@dataclass(slots=True)
class Forward:
    """A request that another frontend answers, and what becomes of it here."""

    request: Request
    request_id: str
    owner: str
    """Its address."""
    hops: int
    """Including this one."""
    without: list[str]
    seconds: float
    """How long the answer may take."""
    fail: Callable[[str], None]
    """Called with what went wrong, instead of an answer: the owner may have run it."""
    unreached: Callable[[str], None]
    """Called with what went wrong when nothing was sent: somebody else may take it."""


class Forwarder:
    """Keep-alive connections to the other frontends. `unreachable` is told whom no connection leads to."""

    def __init__(
        self, port: int, key: bytes, unreachable: Callable[[str], None], *, idle_seconds: float = IDLE_S
    ) -> None:
        self._port = port
        self._idle_seconds = idle_seconds
        self._token = f"{ROLE} {tokens.caller_token(key, ROLE)}".encode()
        self._unreachable = unreachable
        self._idle: defaultdict[str, list[tuple[ClientConnection, float]]] = defaultdict(list)
        self._tasks = BackgroundTasks()

    def hop(self, request: Request) -> Hop | None:
        """How the request came from another frontend; None when it did not."""
        given = request.headers.get(CALLER)
        if given is None or not hmac.compare_digest(given, self._token):
            return None
        hops = request.headers.get(HOPS, b"")
        without = request.headers.get(WITHOUT, b"").decode(errors="replace")
        return Hop(int(hops) if hops.isdigit() and len(hops) < 4 else 1, tuple(filter(None, without.split(","))))

    def forward(self, forward: Forward) -> None:
        """Passes the request on, over a connection that is kept where there is one."""
        idle, now = self._idle[forward.owner], time.monotonic()
        while idle:
            connection, since = idle.pop()
            if connection.open and now - since < self._idle_seconds:
                self._send(connection, forward)
                return
            connection.close()
        self._tasks.start(self._connect(forward))

    def close(self) -> None:
        """Lets go of the connections that are kept."""
        for connections in self._idle.values():
            for connection, _ in connections:
                connection.close()
        self._idle.clear()

    async def _connect(self, forward: Forward) -> None:
        try:
            connection = await connect(forward.owner, self._port, lambda _: None, _CONNECT_S)
        except (OSError, TimeoutError) as error:
            self._unreachable(forward.owner)
            forward.unreached(f"frontend {forward.owner} cannot be reached: {error or type(error).__name__}")
        else:
            self._send(connection, forward)

    def _send(self, connection: ClientConnection, forward: Forward) -> None:
        def answered(status: int, headers: dict[bytes, bytes], body: bytes) -> None:
            timer.cancel()
            lines = b"".join(b"%b: %b\r\n" % (name, headers[name]) for name in _RELAYED if name in headers)
            if headers.get(b"connection") != b"close":
                self._idle[forward.owner].append((connection, time.monotonic()))
            forward.request.respond(status, body, lines)

        def lost(in_flight: bool) -> None:
            timer.cancel()
            if in_flight:
                self._unreachable(forward.owner)  # it is asked whether it is there, and used again once it says so
                forward.fail("the frontend that ran the request ended")

        connection.on_lost = lost
        timer = asyncio.get_running_loop().call_later(forward.seconds, connection.close)
        connection.send(self._head(forward), forward.request.body, answered)

    def _head(self, forward: Forward) -> bytes:
        request = forward.request
        lines = [
            request.method + b" " + request.target + b" HTTP/1.1",
            b"content-length: %d" % len(request.body),
            CALLER + b": " + self._token,
            HOPS + b": %d" % forward.hops,
        ]
        if forward.without:
            lines.append(WITHOUT + b": " + ",".join(forward.without).encode())
        headers = request.headers | {b"x-amzn-requestid": forward.request_id.encode()}
        lines += [name + b": " + headers[name] for name in _PASSED_ON if name in headers]
        return b"\r\n".join(lines) + b"\r\n\r\n"
