"""An answer between an environment that streams and a caller who reads as he likes, over real sockets."""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from tests.eventually import eventually

from kubelambda.frontend.dispatch import environment_end
from kubelambda.frontend.dispatch.environment_end import EnvironmentEnd
from kubelambda.frontend.dispatch.environment_handle import GRACE_S, EnvironmentHandle
from kubelambda.frontend.dispatch.invocation import Invocation
from kubelambda.frontend.dispatch.streamed_invocation import StreamedInvocation
from kubelambda.wire.client import connect
from kubelambda.wire.flow import Flow
from kubelambda.wire.request import Request

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue"


@dataclass
class Caller:
    """The connection of a caller who says himself when he reads."""

    lasting: bool = False
    relaying: bool = False
    peer: str = ""
    body: bytes = b""
    flow: Flow | None = None
    trailers: bytes | None = None
    whole: bytes | None = None
    high_water: float = math.inf

    def respond(self, request: Request, status: int, body: bytes, headers: bytes) -> None:
        """Whole."""
        self.whole = body

    def begin(self, request: Request, status: int, headers: bytes, length: int | None, flow: Flow | None) -> None:
        """The head."""
        assert (status, length) == (200, None)
        self.flow = flow

    def write(self, request: Request, data: bytes) -> None:
        """Some of the body."""
        self.body += data
        if self.flow is not None and len(self.body) >= self.high_water:
            self.flow.pause()

    def end(self, request: Request, trailers: bytes) -> None:
        """All of it."""
        self.trailers = trailers

    def abort(self, request: Request) -> None:
        """Only after the end."""
        assert self.whole is not None

    def pause(self, request: Request) -> None:
        """Nothing is sent."""

    def resume(self, request: Request) -> None:
        """Nothing is sent."""

    def serves(self, request: Request) -> bool:
        """Always."""
        return True


@dataclass
class Environment:
    """An agent that the test writes, and the handle on it, of which it keeps what is told."""

    port: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    ended: list[dict[bytes, bytes]] = field(default_factory=list)
    failures: list[EnvironmentEnd] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Reads heads of requests; their answers are the test's."""
        self.writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                self.heads.append(await reader.readuntil(b"\r\n\r\n{}"))

    def answered(
        self, environment: EnvironmentHandle, invocation: Invocation, headers: dict[bytes, bytes], body: bytes
    ) -> None:
        """An answer, or the end of one."""
        self.ended.append(headers)
        invocation.succeed(headers, body)

    def rejected(self, environment: EnvironmentHandle, invocation: Invocation) -> None:
        """Never."""
        raise AssertionError

    def failed(self, environment: EnvironmentHandle, invocation: Invocation | None, end: EnvironmentEnd) -> None:
        """It is gone."""
        self.failures.append(end)
        if invocation is not None:
            invocation.function_error(b'{"errorType": "Sandbox.Failure"}')


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[tuple[Environment, EnvironmentHandle]]:
    """A handle with an open connection."""
    found = Environment()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    handle = EnvironmentHandle(1, "pod", "uid", "token", 3.0, found)
    port = server.sockets[0].getsockname()[1]
    handle.connection = await connect("127.0.0.1", port, lambda _: handle.lost())
    yield found, handle
    handle.close()
    for writer in found.writers:
        writer.close()
    server.close()
    await asyncio.sleep(0.02)


def streamed() -> tuple[Caller, StreamedInvocation]:
    """An invocation and who waits for its answer."""
    caller = Caller()
    request = Request(caller, b"POST", b"/", {}, b"{}", 2)
    return caller, StreamedInvocation(request, "id-1", "arn", time.monotonic())


async def begun(environment: Environment, handle: EnvironmentHandle) -> Caller:
    """A caller who has the first bytes."""
    caller, invocation = streamed()
    handle.send(invocation)
    await eventually(lambda: environment.heads)
    environment.writers[0].write(HEAD + b"3\r\none\r\n")
    await eventually(lambda: caller.body == b"one")
    return caller


async def test_bounds_go_out_and_trailers_come_back() -> None:
    """The caller gets what comes while it comes, and how it ended at the end."""
    async with connected() as (environment, handle):
        caller = await begun(environment, handle)
        assert b"X-Kubelambda-Stream: 209715200,6291456,2097152\r\n" in environment.heads[0]
        assert handle.streaming
        environment.writers[0].write(b"3\r\ntwo\r\n0\r\nX-Kubelambda-Billed-Ms: 100\r\nX-Amz-Log-Result: TE9H\r\n\r\n")
        await eventually(lambda: caller.trailers is not None)
        assert (caller.body, caller.trailers) == (b"onetwo", b"x-amz-log-result: TE9H\r\n")
        assert environment.ended[0][b"x-kubelambda-billed-ms"] == b"100"
        assert (handle.invocation, handle.streaming) == (None, False)


async def test_it_is_the_caller_who_is_late_while_he_does_not_read() -> None:
    """The environment has its time again once he does; one that is late itself is given up."""
    async with connected() as (environment, handle):
        caller = await begun(environment, handle)
        assert caller.flow is not None
        caller.flow.pause()
        handle.check(time.monotonic() + 1000)
        assert not environment.failures
        caller.flow.resume()
        handle.check(time.monotonic() + GRACE_S / 2)
        assert not environment.failures
        handle.check(time.monotonic() + 1000)
        assert environment.failures == [environment_end.OVERDUE]
        assert caller.trailers is not None
        assert b"x-amz-function-error: Unhandled\r\n" in caller.trailers


async def test_an_answer_without_an_end_is_a_failure() -> None:
    """The trailers that the caller gets are ours."""
    async with connected() as (environment, handle):
        caller = await begun(environment, handle)
        environment.writers[0].close()
        await eventually(lambda: environment.failures)
        assert environment.failures == [environment_end.CLOSED]
        assert caller.trailers is not None
        assert b"x-kubelambda-error-body: " in caller.trailers


async def test_a_caller_who_is_gone_is_in_nobodys_way() -> None:
    """The rest is read and lost; and whoever was slow has nothing to say about the next answer."""
    async with connected() as (environment, handle):
        caller = await begun(environment, handle)
        assert caller.flow is not None
        caller.flow.pause()
        caller.flow.cancel()
        environment.writers[0].write(b"3\r\ntwo\r\n0\r\n\r\n")
        await eventually(lambda: environment.ended)
        next_caller, invocation = streamed()
        handle.send(invocation)
        caller.flow.pause()
        await eventually(lambda: len(environment.heads) == 2)
        environment.writers[0].write(WHOLE)
        await eventually(lambda: next_caller.whole == b"true")


@pytest.mark.parametrize(("slow", "holder"), [(True, ""), (False, "10.0.0.1")])
async def test_no_lease_goes_behind_what_the_caller_has_not_read(slow: bool, holder: str) -> None:
    """It would come after its time, and keep the environment from everybody until then."""
    async with connected() as (environment, handle):
        caller, invocation = streamed()
        invocation.holder = "10.0.0.1"
        handle.send(invocation)
        await eventually(lambda: environment.heads)
        if slow:
            caller.high_water = 3
        environment.writers[0].write(HEAD + b"3\r\none\r\n0\r\n\r\n")
        await eventually(lambda: environment.ended)
        assert invocation.holder == holder


async def test_a_caller_whose_answer_cannot_be_passed_on_is_told_so() -> None:
    """It is no answer of the environment's any more, and its connection has nothing to say about it."""
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    async with connected() as (environment, handle):
        caller, invocation = streamed()

        def unable(*_: object) -> None:
            raise ValueError("no answer")

        environment.answered = unable  # type: ignore[method-assign, assignment]
        handle.send(invocation)
        await eventually(lambda: environment.heads)
        environment.writers[0].write(WHOLE)
        await eventually(lambda: environment.failures)
    assert caller.whole is not None
    assert b"could not be passed on" in caller.whole
    assert [type(error) for error in told] == [ValueError]
