"""An environment that goes on after its answer: it becomes free once or is gone once, and nobody waits for ever."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from tests.eventually import eventually
from tests.unit.frontend.dispatch.test_streamed_answer import streamed

from kubelambda.api.environment_protocol import EnvironmentState
from kubelambda.frontend.dispatch import environment_handle
from kubelambda.frontend.dispatch.environment_end import EndCause, EnvironmentEnd
from kubelambda.frontend.dispatch.environment_handle import GRACE_S, EnvironmentHandle
from kubelambda.frontend.dispatch.invocation import Invocation
from kubelambda.wire.client import connect

TIMEOUT_S = 3.0
STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n"
    b"0\r\nX-Kubelambda-Busy: 1\r\nX-Kubelambda-Billed-Ms: 100\r\n\r\n"
)


@dataclass
class Agent:
    """Answers an invocation with a stream, and is busy then; what it says of that is the test's. Keeps what is told."""

    asked: list[asyncio.StreamWriter] = field(default_factory=list)
    writer: asyncio.StreamWriter | None = None
    told: list[object] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.writer = writer
        await reader.readuntil(b"{}")
        writer.write(STREAM)
        await reader.readuntil(b"\r\n\r\n")
        self.asked.append(writer)

    def say(self, status: int, body: bytes) -> None:
        """What it says of itself."""
        self.asked[0].write(b"HTTP/1.1 %d OK\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))

    def answered(
        self, environment: EnvironmentHandle, invocation: Invocation, headers: dict[bytes, bytes], body: bytes
    ) -> None:
        """It has answered, and is waited for as by a dispatcher."""
        invocation.succeed(headers, body)
        assert environment.settle(headers, lambda _, state, billed: self.told.append((state.last_billed_ms, billed)))

    def rejected(self, environment: EnvironmentHandle, invocation: Invocation) -> None:
        """Never."""
        raise AssertionError

    def failed(self, environment: EnvironmentHandle, invocation: Invocation | None, end: EnvironmentEnd) -> None:
        """It is gone."""
        self.told.append((invocation, end.cause))


@pytest.fixture
async def found() -> AsyncIterator[tuple[Agent, EnvironmentHandle]]:
    """An environment that will answer an invocation at once."""
    agent = Agent()
    server = await asyncio.start_server(agent.serve, "127.0.0.1", 0)
    handle = EnvironmentHandle(1, "pod", "uid", "token", TIMEOUT_S, agent)
    port = server.sockets[0].getsockname()[1]
    handle.connection = await connect("127.0.0.1", port, lambda _: handle.lost())
    yield agent, handle
    handle.close()
    assert agent.writer is not None
    agent.writer.close()
    server.close()
    await asyncio.sleep(0.02)


FREE = EnvironmentState(last_billed_ms=300).encode()
BUSY = EnvironmentState(busy=True).encode()


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (200, FREE, (300, 100)),
        (200, BUSY, (None, EndCause.OVERDUE)),
        (200, b"[]", (None, EndCause.OVERDUE)),
        (401, b"", (None, EndCause.FAULTY)),
    ],
)
async def test_it_is_free_when_it_says_so_and_gone_when_it_does_not(
    found: tuple[Agent, EnvironmentHandle], status: int, body: bytes, told: object
) -> None:
    """Either is told once, whatever happens to its connection afterwards."""
    agent, handle = found
    handle.send(streamed()[1])
    await eventually(lambda: agent.asked)
    agent.say(status, body)
    await eventually(lambda: agent.told)
    agent.asked[0].close()
    await eventually(lambda: handle.connection is not None and not handle.connection.open)
    gone = [(None, EndCause.CLOSED)] if body == FREE else []
    assert agent.told == [told, *gone]


async def test_one_whose_connection_ends_is_gone(found: tuple[Agent, EnvironmentHandle]) -> None:
    """Its unit of concurrency must not stay with it."""
    agent, handle = found
    handle.send(streamed()[1])
    await eventually(lambda: agent.asked)
    agent.asked[0].close()
    await eventually(lambda: agent.told)
    assert agent.told == [(None, EndCause.CLOSED)]


async def test_one_whose_answer_was_read_late_has_its_time_all_the_same(
    found: tuple[Agent, EnvironmentHandle], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked when all of a stream is here, long after the timeout where the caller reads slowly."""
    agent, handle = found
    handle.send(streamed()[1])
    late = time.monotonic() + 60
    monkeypatch.setattr(environment_handle, "time", SimpleNamespace(monotonic=lambda: late))
    await eventually(lambda: agent.asked)
    handle.check(late + GRACE_S - 1)
    assert not agent.told
    handle.check(late + TIMEOUT_S + GRACE_S + 1)
    assert agent.told == [(None, EndCause.OVERDUE)]
