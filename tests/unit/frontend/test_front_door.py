"""What a frontend says at the head of a request, over real sockets: before any of the body was sent."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kubelambda.core.environment.component_callers import CALLER, CallerRole, ComponentCallers, caller_proof
from kubelambda.core.environment.tokens import secret_report_token
from kubelambda.core.invoke.invoke_error import InvokeError
from kubelambda.frontend.account.forwarder import Hop
from kubelambda.frontend.cold_start.secret_report import SecretReport
from kubelambda.frontend.control_api.control_api_proxy import ControlApiProxy
from kubelambda.frontend.control_api.control_api_servers import ControlApiServers
from kubelambda.frontend.front_door import FrontDoor, Gate, wording
from kubelambda.frontend.invoke.caller_gate import Check
from kubelambda.frontend.invoke.invoke_request import InvokeCall
from kubelambda.kube.api_server import Server
from kubelambda.kube.kube_client import KubeClient
from kubelambda.wire.connections import Bounds, Connections
from kubelambda.wire.protocol import ServerProtocol
from kubelambda.wire.request import Request

KEY = b"k" * 32
INVOKE = "/2015-03-31/functions/hello/invocations"


async def anonymous() -> dict[str, str]:
    """No credentials."""
    return {}


class Door:
    """A frontend's door, whose invocations say what they were let in as."""

    def __init__(self, gate: Gate | None, bounds: Bounds) -> None:
        self.client = KubeClient(Server("http://127.0.0.1:9", None, anonymous))
        self.door = FrontDoor(
            ComponentCallers(KEY),
            invoke=self.invoke,
            control_api=ControlApiProxy(ControlApiServers("http://127.0.0.1:9"), lambda _: "default"),
            secret_report=SecretReport(self.client, KEY),
            probes={b"/healthz": lambda request: request.respond(200, b"ok")},
            gate=gate,
        )
        self.bounds = bounds
        self.port = 0

    def invoke(self, request_id: str, call: InvokeCall, hop: Hop | None, request: Request) -> None:
        """Says what it got."""
        found = {
            "id": request_id,
            "name": call.reference.name,
            "hops": hop.count if hop else None,
            "size": request.size,
            "relaying": request.connection.relaying,
        }
        request.respond(200, json.dumps(found).encode())

    async def ask(self, head: str, body: bytes = b"", *headers: str) -> tuple[int, dict[str, str], Any]:
        """Status, headers and document of an answer; the body is sent after the head was, unless it is answered."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        lines = "".join(f"{line}\r\n" for line in ("Host: x", *headers))
        writer.write(f"{head} HTTP/1.1\r\n{lines}\r\n".encode() + body)
        async with asyncio.timeout(20):
            found = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in found[1:] if line)}
            answer = await reader.readexactly(int(fields["content-length"]))
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        document = json.loads(answer) if answer.startswith(b"{") else answer
        return int(found[0].split()[1]), fields, document


@contextlib.asynccontextmanager
async def opened(gate: Gate | None = None, bounds: Bounds | None = None) -> AsyncIterator[Door]:
    """A door that listens."""
    found = Door(gate, bounds or Bounds())
    loop = asyncio.get_running_loop()
    connections = Connections(found.bounds, loop.call_later)

    def never(_: Request) -> None:
        raise AssertionError

    server = await loop.create_server(
        lambda: ServerProtocol(never, max_body=0, admit=found.door.admit, wording=wording, connections=connections),
        "127.0.0.1",
        0,
    )
    found.port = server.sockets[0].getsockname()[1]
    yield found
    server.close()
    found.door.close()
    await found.client.close()


@pytest.mark.parametrize(
    ("head", "headers", "status", "error", "text"),
    [
        (f"POST {INVOKE}", ("Content-Length: 6291457",), 413, "RequestTooLargeException", "6291457 byte payload"),
        (
            f"POST {INVOKE}",
            ("Content-Length: 1048577", "X-Amz-Invocation-Type: Event"),
            413,
            "RequestTooLargeException",
            "the Event invocation type (limit 1048576 bytes)",
        ),
        (f"PUT {INVOKE}", ("Content-Length: 6000000",), 404, "UnknownOperationException", "no operation at PUT"),
        ("POST /what", ("Content-Length: 6000000",), 404, "UnknownOperationException", "no operation at POST /what"),
        ("OPTIONS /2015-03-31/functions", (), 404, "UnknownOperationException", "no operation at OPTIONS"),
        (f"POST {INVOKE}?Qualifier=a%20b", ("Transfer-Encoding: chunked",), 400, "ValidationException", "qualifier"),
        (
            "POST /2015-03-31/functions",
            ("Content-Length: 80000000",),
            413,
            "RequestEntityTooLargeException",
            "70167211",
        ),
        (
            "POST /2021-11-15/functions/f/invocation-x",
            ("Content-Length: 7000000",),
            413,
            "RequestEntityTooLargeException",
            "6291456",
        ),
    ],
)
async def test_what_cannot_be_is_refused_before_its_body_comes(
    head: str, headers: tuple[str, ...], status: int, error: str, text: str
) -> None:
    """None of the body was sent when the answer is here."""
    async with opened() as door:
        found, fields, document = await door.ask(head, b"", *headers)
    assert (found, fields["x-amzn-errortype"]) == (status, error)
    assert text in document["message"]
    assert len(fields["x-amzn-requestid"]) == 36


async def test_a_small_request_that_is_refused_costs_no_connection() -> None:
    """Its body is read, and another request follows."""
    async with opened() as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(f"POST {INVOKE}?Qualifier=a%20b HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answers = await asyncio.wait_for(reader.read(), 20)
        writer.close()
    assert answers.startswith(b"HTTP/1.1 400 ")
    assert answers.endswith(b"ok")


async def test_an_event_in_chunks_is_counted_and_refused() -> None:
    """By the limit of its invocation type."""
    async with opened() as door:
        body = b"".join(b"10000\r\n" + bytes(65_536) + b"\r\n" for _ in range(20)) + b"0\r\n\r\n"
        status, _, document = await door.ask(
            f"POST {INVOKE}", body, "Transfer-Encoding: chunked", "X-Amz-Invocation-Type: Event"
        )
    assert (status, document["size"]) == (200, 20 * 65_536)  # `check_event` says it; nothing of it was kept


async def test_only_our_own_components_choose_request_ids() -> None:
    """And only another frontend's request is a hop."""
    async with opened() as door:
        own = [f"{CALLER}: {caller_proof(KEY, role)}" for role in (CallerRole.FRONTEND, CallerRole.EVENTS)]
        found = [
            (await door.ask(f"POST {INVOKE}", b"", "X-Amzn-RequestId: given-id-1", *caller))[2]
            for caller in ([own[0]], [own[1]], [f"{CALLER}: frontend 00"], [])
        ]
    assert [each["hops"] for each in found] == [1, None, None, None]
    assert [each["relaying"] for each in found] == [True, False, False, False]
    assert [each["id"] == "given-id-1" for each in found] == [True, True, False, False]


async def test_a_gate_refuses_at_the_head_and_again_with_the_whole_body() -> None:
    """What it can tell by the head costs nobody a body; our own components do not pass through it."""

    def gate(request: Request, call: InvokeCall, request_id: str, role: CallerRole | None) -> Check | None:
        if b"authorization" not in request.headers:
            raise InvokeError(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
        return check if call.reference.name == "hello" else None

    def check(request: Request, then: Any) -> None:
        good = request.body == b'"good"'
        asyncio.get_running_loop().call_later(
            0.01, then, None if good else InvokeError(403, "InvalidSignatureException", "no")
        )

    async with opened(gate) as door:
        status, fields, _ = await door.ask(f"POST {INVOKE}", b"", "Content-Length: 6000000")
        assert (status, fields["x-amzn-errortype"]) == (403, "MissingAuthenticationTokenException")
        signed = "Authorization: AWS4-HMAC-SHA256 x"
        status, fields, _ = await door.ask(f"POST {INVOKE}", b'"evil"', "Content-Length: 6", signed)
        assert (status, fields["x-amzn-errortype"]) == (403, "InvalidSignatureException")
        for headers in (
            ["Content-Length: 6", signed],
            ["Content-Length: 6", f"{CALLER}: {caller_proof(KEY, CallerRole.EVENTS)}"],
        ):
            assert (await door.ask(f"POST {INVOKE}", b'"good"', *headers))[0] == 200


async def test_only_the_operator_may_ask_about_secrets_at_the_head() -> None:
    """Nobody else's question is read."""
    async with opened() as door:
        status, _, _ = await door.ask("POST /internal/secret-keys", b"", "Content-Length: 1000000")
        assert status == 401
        token = f"Authorization: Bearer {secret_report_token(KEY)}"
        status, _, _ = await door.ask("POST /internal/secret-keys", b"no", "Content-Length: 2", token)
        assert status == 400


async def test_too_much_at_once_is_lambdas_throttle() -> None:
    """A client library that gets it waits and tries again."""
    async with opened(bounds=Bounds(buffered_bytes=100_000)) as door:
        body = bytes(200_000)
        status, fields, document = await door.ask(f"POST {INVOKE}", body, f"Content-Length: {len(body)}")
    assert (status, fields["x-amzn-errortype"]) == (429, "TooManyRequestsException")
    assert (fields["retry-after"], document["Reason"]) == ("1", "CallerRateLimitExceeded")
