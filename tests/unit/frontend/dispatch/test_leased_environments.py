"""Environments on leases: what becomes of an answer on its way while its environment is lent again."""

import asyncio
import contextlib
import time
from typing import Any, cast

import pytest
from tests.eventually import eventually

from kubelambda.api import environment_protocol
from kubelambda.api.kinds.deployed_configuration import DeployedCode, DeployedConfiguration
from kubelambda.frontend.cluster.views import PodView
from kubelambda.frontend.cold_start.start import Target
from kubelambda.frontend.dispatch import leased_environments
from kubelambda.frontend.dispatch.invocation import Invocation
from kubelambda.frontend.dispatch.lease_messages import GivenBack, LeaseTerms, parse_given_back
from kubelambda.frontend.dispatch.leased_environments import LeasedEnvironments, Neighbourhood
from kubelambda.frontend.dispatch.metrics import Metrics
from kubelambda.wire.flow import Flow
from kubelambda.wire.request import Request

CONFIGURATION = DeployedConfiguration(
    revision="0123456789abcdef",
    runtime="python3.13",
    handler="index.handler",
    code=DeployedCode(sha256="0" * 64, size=1),
    memory_size=128,
    timeout=3,
    log_group="/aws/lambda/f",
)
TARGET = Target("ns", "f", "function-uid", "0" * 12, CONFIGURATION)
POD = PodView("pod-uid", "1", "127.0.0.1", True, False, False, 0, False, "", 0, "", "f", "", "", "node")


class Caller:
    """Keeps the answer of one request."""

    lasting = False
    peer = ""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def respond(self, request: Request, status: int, body: bytes, headers: bytes) -> None:
        """The whole answer."""
        self.bodies.append(body)

    def begin(self, request: Request, status: int, headers: bytes, length: int | None, flow: Flow | None) -> None:
        """Nothing is streamed."""
        raise AssertionError

    write = end = abort = pause = resume = begin

    def serves(self, request: Request) -> bool:
        """Always."""
        return True


def terms(name: str) -> bytes:
    """A lease of the one environment that there is."""
    found = LeaseTerms(name, "term", TARGET.uid, CONFIGURATION.version, CONFIGURATION.revision, "pod", POD.uid, 60, 64)
    return found.header().partition(b": ")[2].strip()


async def test_an_environment_that_is_lent_again_too_early_keeps_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner knows that it runs nothing any more before all of the answer is here: the new lease goes back."""
    writers: list[asyncio.StreamWriter] = []
    given: list[GivenBack] = []

    async def agent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n{}")
                writers.append(writer)
        writer.close()

    async def call(address: str, path: bytes, body: bytes, seconds: float) -> bytes:
        given.extend(parse_given_back(body))
        return b""

    server = await asyncio.start_server(agent, "127.0.0.1", 0)
    monkeypatch.setattr(leased_environments, "_CONNECT_S", 60.0)  # who stands still meanwhile would take another
    monkeypatch.setattr(environment_protocol, "CONTROL_PORT", server.sockets[0].getsockname()[1])
    metrics = Metrics()
    around = Neighbourhood(
        key=b"key",
        owner_of=lambda _: "owner",
        pod=lambda _: POD,
        metrics_of=lambda name: metrics.function(*name),
        why_ended=lambda *_: "",
        elsewhere=cast("Any", None),
    )
    held, caller = LeasedEnvironments(around, call), Caller()
    held.granted(terms("first"), TARGET, "owner", time.monotonic())
    request = Request(cast("Any", caller), b"POST", b"/", {}, b"{}", 2)
    assert held.dispatch(TARGET, Invocation(request, "id-1", "arn", time.monotonic()), "")
    await eventually(lambda: writers)
    writers[0].write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntr")

    held.granted(terms("second"), TARGET, "owner", time.monotonic())
    await eventually(lambda: given)
    assert [(each.id, each.use.invocations) for each in given] == [("second", 0)]
    writers[0].write(b"ue")
    await eventually(lambda: caller.bodies)
    assert caller.bodies == [b"true"]
    held.close()
    server.close()
    await asyncio.sleep(0.02)
