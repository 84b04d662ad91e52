"""Streamed answers over real frontends and agents: boto3 as the caller, and callers and parts that go away (§2.4)."""

import asyncio
import base64
import http.client
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests import event_messages
from tests.eventually import eventually
from tests.integration.access_key_secrets import write_keys
from tests.integration.boto_caller import BotoAnswer, BotoCaller
from tests.integration.frontend import patience
from tests.integration.loopback import Cluster

from kubelambda.api.settings import AuthSettings, ResponseStreamSettings
from kubelambda.core.account import ownership
from kubelambda.core.invoke.url_address import url_id
from kubelambda.frontend.frontend import Frontend
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import FUNCTIONS

ADDRESSES = ("127.0.1.1", "127.0.1.2")
STREAMER = r"""
import base64, http.client, json, os, socket, time
host, _, port = os.environ["AWS_LAMBDA_RUNTIME_API"].partition(":")
path = "/2018-06-01/runtime/invocation/"


def answer(request_id, event):
    connection = socket.create_connection((host, int(port)))
    head = "POST %s%s/response HTTP/1.1\r\nHost: api\r\n" % (path, request_id)
    if "whole" in event:
        body = json.dumps(event["whole"])
        connection.sendall(("%sContent-Length: %d\r\n\r\n%s" % (head, len(body), body)).encode())
        connection.recv(4096)
        return
    head += "Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n"
    head += "Content-Type: %s\r\n\r\n" % event.get("type", "text/plain")
    connection.sendall(head.encode())
    pieces = [piece.encode() for piece in event["pieces"]]
    if "prelude" in event:
        pieces.insert(0, json.dumps(event["prelude"]).encode() + bytes(8))
    for piece in pieces:
        connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
    while "gate" in event and not os.path.exists(event["gate"]):
        time.sleep(0.01)
    for _ in range(event.get("megabytes", 0)):
        connection.sendall(b"100000\r\n%b\r\n" % bytes(1 << 20))
    end = "0\r\n"
    if "error" in event:
        told = base64.b64encode(json.dumps(event["error"]).encode()).decode()
        end += "Lambda-Runtime-Function-Error-Type: Function.Broken\r\n"
        end += "Lambda-Runtime-Function-Error-Body: %s\r\n" % told
    connection.sendall((end + "\r\n").encode())
    connection.recv(4096)
    if "done" in event:
        open(event["done"], "w").close()


while True:  # a runtime of its own, in the place of the official client that imports it
    asking = http.client.HTTPConnection(host, int(port))
    asking.request("GET", path + "next")
    found = asking.getresponse()
    event = json.loads(found.read())
    asking.close()
    print("streaming", flush=True)
    answer(found.headers["Lambda-Runtime-Aws-Request-Id"], json.loads(event["body"]) if "body" in event else event)
"""
PERMISSIONS = [
    {"statementId": "url", "action": "lambda:InvokeFunctionUrl", "principal": "*", "functionUrlAuthType": "NONE"},
    {"statementId": "function", "action": "lambda:InvokeFunction", "principal": "*", "invokedViaFunctionUrl": True},
]

type Invoke = Callable[..., Awaitable[BotoAnswer]]


class Call:
    """One streamed invocation, read as it comes."""

    def __init__(
        self,
        cluster: Cluster,
        event: Any,
        address: str = "127.0.0.1",
        host: str = "",
        method: str = "POST",
        *,
        log_type: str = "None",
    ) -> None:
        """`host`: that of a function URL."""
        path = "/" if host else "/2021-11-15/functions/streamer/response-streaming-invocations"
        headers = {"Content-Type": "application/json", "X-Amz-Log-Type": log_type} | ({"Host": host} if host else {})
        self._connection = http.client.HTTPConnection(address, cluster.port, timeout=60)
        self._connection.request(method, path, json.dumps(event).encode(), headers)
        self.answer = self._connection.getresponse()
        self.read = b""

    async def until(self, data: bytes) -> None:
        """Reads on until `data` has come."""
        while data not in self.read:
            more = await asyncio.to_thread(self.answer.read1)
            assert more, f"the answer ended with {self.read!r}"
            self.read += more

    async def rest(self) -> bytes:
        """All that comes."""
        self.read += await asyncio.to_thread(self.answer.read)
        return self.read

    @property
    def events(self) -> list[tuple[str, Any]]:
        """What came so far."""
        return event_messages.events(self.read)

    def close(self) -> None:
        """Goes away."""
        self.answer.close()
        self._connection.close()


@pytest.fixture
async def boto(cluster: Cluster) -> AsyncIterator[Invoke]:
    """boto3, at the frontend of an address."""
    caller = BotoCaller("")

    async def call(operation: str, event: Any, address: str, name: str = "streamer", **more: Any) -> BotoAnswer:
        caller.endpoint = f"http://{address}:{cluster.port}"
        parameters = {"FunctionName": name, "Payload": json.dumps(event)} | more.pop("parameters", {})
        return await asyncio.to_thread(caller, operation, parameters, **more)

    yield call
    await asyncio.to_thread(caller.close)


async def two(cluster: Cluster, **how: Any) -> tuple[str, str]:
    """Two frontends; the addresses of the owner and of the other."""
    _, owner, _, other = await frontends(cluster, **how)
    return owner, other


async def frontends(cluster: Cluster, **how: Any) -> tuple[Frontend, str, Frontend, str]:
    """The owner of the namespace and its address, and the other one."""
    owner, other = ownership.ranked(cluster.namespace, ADDRESSES)
    owning, holding = [await cluster.frontend(each, members=ADDRESSES, **how) for each in (owner, other)]
    return owning, owner, holding, other


async def called(cluster: Cluster, event: Any, address: str = "127.0.0.1", **how: Any) -> Call:
    """A call whose answer has begun."""
    return await asyncio.to_thread(Call, cluster, event, address, **how)


def sample(frontend: Frontend, name: str, **labels: str) -> float:
    """A figure of a frontend."""
    return frontend.metrics.registry.get_sample_value(name, labels) or 0.0


async def test_boto3_reads_the_events_of_a_stream(cluster: Cluster, client: KubeClient, boto: Invoke) -> None:
    """At the owner of the account and at another frontend; who may not invoke may not stream."""
    await write_keys(client, cluster.namespace, AKIDONE="s")
    await cluster.function("streamer", STREAMER)
    await cluster.pool(1)
    one = {"key": "AKIDONE", "secret": "s"}
    addresses = await two(cluster, auth=AuthSettings(mode="any"), default_namespace="default")
    for address in addresses:

        async def stream(event: Any, at: str = address, **more: Any) -> BotoAnswer:
            return await boto("invoke_with_response_stream", event, at, **{**one, **more})

        async def let_in(stream: Invoke = stream) -> bool:
            return (await stream({"whole": 1})).status == 200

        await eventually(let_in)
        found = (await stream({"pieces": ["one", "two"]}, parameters={"LogType": "Tail"})).members
        assert found["ExecutedVersion"] == "$LATEST"
        *chunks, end = found["EventStream"]
        assert "".join(each["PayloadChunk"]["Payload"] for each in chunks) == "onetwo"
        log = base64.b64decode(end["InvokeComplete"].pop("LogResult")).decode()
        assert end == {"InvokeComplete": {}}
        assert "streaming\n" in log
        assert "REPORT RequestId: " in log
        error = {"errorType": "Function.Broken", "errorMessage": "half way"}
        failed = (await stream({"pieces": ["half"], "error": error})).members["EventStream"]
        assert failed[0] == {"PayloadChunk": {"Payload": "half"}}
        assert failed[1]["InvokeComplete"]["ErrorCode"] == "Unhandled"
        assert json.loads(failed[1]["InvokeComplete"]["ErrorDetails"]) == error
        whole = (await stream({"whole": [True]})).members["EventStream"]
        assert whole == [{"PayloadChunk": {"Payload": "[true]"}}, {"InvokeComplete": {}}]
        buffered = await boto("invoke", {"pieces": ["on", "e"]}, address, **one)
        assert buffered.members["Payload"] == "one"
        assert (await stream({}, parameters={"InvocationType": "DryRun"})).status == 204
        assert (await stream({}, secret="wrong")).error == "InvalidSignatureException"
        assert (await stream({}, key=None)).error == "MissingAuthenticationTokenException"
        assert (await stream({}, name="nobody")).error == "ResourceNotFoundException"
    assert len(await eventually(cluster.claimed_pods)) == 1


async def test_what_a_function_sends_is_there_before_it_goes_on(cluster: Cluster, tmp_path: Path) -> None:
    """It waits for what only its caller can do, who has to have the first piece for that."""
    await cluster.function("streamer", STREAMER)
    await cluster.pool(1)
    for number, address in enumerate(await two(cluster)):
        gate = tmp_path / f"gate-{number}"
        event = {"pieces": ["first"], "gate": str(gate), "megabytes": 3}
        with closing(await called(cluster, event, address)) as call:
            await call.until(b"first")
            assert call.answer.headers["Content-Type"] == "application/vnd.amazon.eventstream"
            gate.touch()
            await call.rest()
            chunks = [payload for kind, payload in call.events if kind == "PayloadChunk"]
            assert b"".join(chunks) == b"first" + bytes(3 << 20)
            assert call.events[-1] == ("InvokeComplete", {})


async def test_a_caller_that_reads_slowly_makes_the_function_wait(cluster: Cluster, tmp_path: Path) -> None:
    """Through two frontends and the agent, none of which keeps what has not been read."""
    cluster.settings = {"response_streams": ResponseStreamSettings(mb_per_second=0)}
    await cluster.function("streamer", STREAMER, timeout=60)
    await cluster.pool(1)
    _, other = await two(cluster)
    done = tmp_path / "done"
    event = {"pieces": ["first"], "megabytes": 96, "done": str(done)}
    with closing(await called(cluster, event, other)) as call:
        await call.until(b"first")
        await asyncio.sleep(2)
        assert not done.exists()
        await call.rest()
        *chunks, end = call.events
        assert sum(len(payload) for _, payload in chunks) == len(b"first") + (96 << 20)
        assert end == ("InvokeComplete", {})
    await eventually(done.exists)


async def test_a_stream_of_a_function_that_cannot_start_ends_with_the_log_of_that(cluster: Cluster) -> None:
    """There is nothing else to read of it."""
    await cluster.function("streamer", "print('before it broke')\nraise RuntimeError('no luck')")
    await cluster.pool(1)
    await cluster.frontend()
    with closing(await called(cluster, {}, log_type="Tail")) as call:
        await call.rest()
        ((kind, complete),) = call.events
    assert (kind, json.loads(complete["ErrorDetails"])["errorMessage"]) == ("InvokeComplete", "no luck")
    assert "before it broke\n" in base64.b64decode(complete["LogResult"]).decode()


async def test_streams_run_on_leases(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who keeps forwarding them gets leases with their trailers, and each is counted once."""
    patience.long_leases(monkeypatch)
    patience.early_leases(monkeypatch)
    await cluster.function("streamer", STREAMER)
    await cluster.pool(1)
    owning, owner, holding, other = await frontends(cluster)
    for _ in range(60):
        with closing(await called(cluster, {"pieces": ["one"]}, other)) as call:
            await call.rest()
            assert call.events == [("PayloadChunk", b"one"), ("InvokeComplete", {})]
    forwarded = sample(holding, "kubelambda_forwards_total")
    assert forwarded < 40
    labels = {"namespace": cluster.namespace, "function": "streamer"}
    with closing(await called(cluster, {"pieces": ["one"], "error": {"errorType": "X"}}, owner)) as call:
        await call.rest()
    await eventually(lambda: sample(owning, "kubelambda_errors_total", **labels) == 1)
    assert sample(holding, "kubelambda_invocations_total", **labels) == 60 - forwarded
    assert sample(owning, "kubelambda_invocations_total", **labels) == forwarded + 1
    assert sample(owning, "kubelambda_billed_gb_seconds_total", **labels) > 0
    assert sample(holding, "kubelambda_billed_gb_seconds_total", **labels) > 0
    assert len(await eventually(cluster.claimed_pods)) == 1


async def test_an_environment_that_ends_in_the_middle_is_told_of(cluster: Cluster, tmp_path: Path) -> None:
    """Never does an answer end as if it were whole."""
    await cluster.function("streamer", STREAMER, timeout=60)
    await cluster.pool(2)
    for address in await two(cluster):
        with closing(await called(cluster, {"pieces": ["first"], "gate": str(tmp_path / "never")}, address)) as call:
            await call.until(b"first")
            (pod,) = await eventually(cluster.claimed_pods)
            cluster.agents.end(pod)
            await call.rest()
            kind, complete = call.events[-1]
            assert (kind, complete["ErrorCode"]) == ("InvokeComplete", "Unhandled")
            assert json.loads(complete["ErrorDetails"])["errorType"] == "Sandbox.Failure"

        async def gone() -> bool:
            return not await cluster.claimed_pods()

        await eventually(gone)


async def test_a_frontend_that_ends_in_the_middle_is_told_of(cluster: Cluster, tmp_path: Path) -> None:
    """By the one that passes its answer on."""
    await cluster.function("streamer", STREAMER, timeout=60)
    await cluster.pool(1)
    owner, other = await two(cluster)
    with closing(await called(cluster, {"pieces": ["first"], "gate": str(tmp_path / "never")}, other)) as call:
        await call.until(b"first")
        await cluster.crash(owner)
        await call.rest()
        kind, complete = call.events[-1]
        assert (kind, complete["ErrorCode"]) == ("InvokeComplete", "ServiceException")


async def test_a_function_finishes_without_its_caller(cluster: Cluster, tmp_path: Path) -> None:
    """What it still sends is lost, and its environment takes the next invocation."""
    await cluster.function("streamer", STREAMER, timeout=60)
    await cluster.pool(1)
    owning, owner, _, other = await frontends(cluster)
    for number, address in enumerate((owner, other)):
        gate, done = tmp_path / f"gate-{number}", tmp_path / f"done-{number}"
        event = {"pieces": ["first"], "gate": str(gate), "megabytes": 5, "done": str(done)}
        call = await called(cluster, event, address)
        await call.until(b"first")
        call.close()
        gate.touch()
        await eventually(done.exists)
        await eventually(lambda: owning.in_flight == 0)  # the function knows first that it is done
        with closing(await called(cluster, {"pieces": ["again"]}, address)) as again:
            await again.rest()
            assert again.events[0] == ("PayloadChunk", b"again")
    assert len(await eventually(cluster.claimed_pods)) == 1


async def test_a_url_streams_http(cluster: Cluster, client: KubeClient, tmp_path: Path) -> None:
    """Status and headers ahead of the body, which comes as the function sends it, and is cut off where that fails."""
    await cluster.function("streamer", STREAMER)
    spec = {"url": {"authType": "NONE", "invokeMode": "RESPONSE_STREAM"}, "permissions": PERMISSIONS}
    body = await client.patch(FUNCTIONS, "streamer", {"spec": spec}, cluster.namespace)
    host = f"{url_id(body['metadata']['uid'])}.lambda-url.us-east-1.lambda.internal"
    await cluster.pool(1)
    prelude = {"statusCode": 201, "headers": {"content-type": "text/html"}, "cookies": ["a=1", "b=2"]}
    integration = {"type": "application/vnd.awslambda.http-integration-response", "prelude": prelude}
    for number, address in enumerate(await two(cluster, default_namespace="default")):

        async def visit(event: Any, at: str = address, **how: Any) -> Call:
            return await called(cluster, event, at, host=host, **how)

        async def opened(visit: Callable[..., Awaitable[Call]] = visit) -> bool:
            with closing(await visit({"whole": "hello"})) as call:
                return call.answer.status == 200 and await call.rest() == b"hello"

        await eventually(opened)
        gate = tmp_path / f"gate-{number}"
        with closing(await visit({**integration, "pieces": ["<p>"], "gate": str(gate), "megabytes": 2})) as call:
            assert (call.answer.status, call.answer.headers["content-type"]) == (201, "text/html")
            assert call.answer.headers.get_all("set-cookie") == ["a=1", "b=2"]
            await call.until(b"<p>")
            gate.touch()
            assert await call.rest() == b"<p>" + bytes(2 << 20)
        with closing(await visit({"pieces": ["a", "b"], "type": "text/x-ab"})) as call:
            assert (call.answer.status, call.answer.headers["content-type"]) == (200, "text/x-ab")
            assert await call.rest() == b"ab"
        with closing(await visit({**integration, "pieces": ["<p>"]}, method="HEAD")) as call:
            assert (call.answer.status, await call.rest()) == (201, b"")
        with closing(await visit({**integration, "pieces": ["half"], "error": {"errorType": "X"}})) as call:
            assert call.answer.status == 201
            with pytest.raises(http.client.IncompleteRead):
                await call.rest()
        with closing(await visit({"pieces": [], "error": {"errorType": "X"}})) as call:
            assert (call.answer.status, await call.rest()) == (502, b"Internal Server Error")
