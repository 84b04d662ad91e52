"""Passing a request on to the frontend that owns its account (DESIGN §5, Ownership)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from kubelambda.core.environment.component_callers import CALLER, CallerRole, caller_proof
from kubelambda.wire.background_tasks import BackgroundTasks
from kubelambda.wire.flow import Headers
from kubelambda.wire.kept_connections import KeptConnections
from kubelambda.wire.relay import AnswerRelay
from kubelambda.wire.request import Request

NAMESPACE = b"x-kubelambda-namespace"
"""The account of a caller that named none, as the first frontend found it; nobody else can say it."""
HOPS = b"x-kubelambda-hops"
"""How many frontends have passed the request on."""
WITHOUT = b"x-kubelambda-without"
"""Frontends that the caller passes over: they drain, or cannot be reached."""
IDLE_S = 60.0
"""How long a connection is kept that nobody uses: less than a frontend does, so that it never closes one first."""
_CONNECT_S = 1.0
_PASSED_ON = (
    b"host",
    b"x-amz-invocation-type",
    b"x-amz-log-type",
    b"x-amz-client-context",
    b"x-amzn-trace-id",
    b"x-amzn-requestid",
    NAMESPACE,
)


@dataclass(frozen=True, slots=True)
class Hop:
    """How a request came here from another frontend."""

    count: int
    without: tuple[str, ...]


def hop_of(request: Request) -> Hop:
    """What a request says that is proven to come from another frontend."""
    hops = request.headers.get(HOPS, b"")
    without = request.headers.get(WITHOUT, b"").decode(errors="replace")
    return Hop(int(hops) if hops.isdigit() and len(hops) < 4 else 1, tuple(filter(None, without.split(","))))


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
    """How long the answer may take to begin, and then to get on."""
    fail: Callable[[str], None]
    """Called with what went wrong, instead of an answer: the owner may have run it."""
    unreached: Callable[[str], None]
    """Called with what went wrong when nothing was sent: somebody else may take it."""
    lines: bytes = b""
    """More header lines for the owner."""
    answered: Callable[[Headers], Headers] | None = None
    """Called with the headers of the answer; returns those that are passed on."""


class Forwarder:
    """Keep-alive connections to the other frontends. `unreachable` is told whom no connection leads to.

    Answers pass through as they come. A request of which a byte was sent is never sent again.
    """

    def __init__(
        self, port: int, key: bytes, unreachable: Callable[[str], None], *, idle_seconds: float = IDLE_S
    ) -> None:
        self._port = port
        self._proof = b"%b: %b\r\n" % (CALLER.encode(), caller_proof(key, CallerRole.FRONTEND).encode())
        self._unreachable = unreachable
        self._connections = KeptConnections(idle_s=idle_seconds, connect_s=_CONNECT_S)
        self._tasks = BackgroundTasks()

    def forward(self, forward: Forward) -> None:
        """Passes the request on, over a connection that is kept where there is one."""
        address = (forward.owner, self._port)

        def lost(why: str) -> None:
            self._unreachable(forward.owner)  # it is asked whether it is there, and used again once it says so
            forward.fail(f"the frontend that ran the request ended: {why}")

        done = partial(self._connections.keep, address)
        relay = AnswerRelay(forward.request, done=done, failed=lost, seconds=forward.seconds, answered=forward.answered)
        kept = self._connections.take(address)
        if kept is not None:
            relay.ask(kept, self._head(forward))
        else:
            self._tasks.start(self._connect(forward, relay))

    def close(self) -> None:
        """Lets go of the connections that are kept."""
        self._connections.close()

    async def _connect(self, forward: Forward, relay: AnswerRelay) -> None:
        try:
            connection = await self._connections.connect((forward.owner, self._port))
        except (OSError, TimeoutError) as error:
            self._unreachable(forward.owner)
            forward.unreached(f"frontend {forward.owner} cannot be reached: {error or type(error).__name__}")
        else:
            relay.ask(connection, self._head(forward))

    def _head(self, forward: Forward) -> bytes:
        request = forward.request
        lines = [
            b"%b %b HTTP/1.1\r\nContent-Length: %d\r\n" % (request.method, request.target, len(request.body)),
            self._proof,
            b"%b: %d\r\n" % (HOPS, forward.hops),
        ]
        if forward.without:
            lines.append(b"%b: %b\r\n" % (WITHOUT, ",".join(forward.without).encode()))
        headers = request.headers | {b"x-amzn-requestid": forward.request_id.encode()}
        lines += [b"%b: %b\r\n" % (name, headers[name]) for name in _PASSED_ON if name in headers]
        return b"".join(lines) + forward.lines + b"\r\n"
