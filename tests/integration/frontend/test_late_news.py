"""Who waited for a function or an alias, and calls it before a frontend's own watch has heard of that."""

import asyncio
import contextlib
import http.client
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.eventually import eventually
from tests.integration.frontend.late_caches import deafen, hear
from tests.integration.frontend.publishing import SHOW, point, publish
from tests.integration.loopback import RUNTIME_NAME, Cluster
from tests.ports import free_port

from kubelambda.core.account import ownership
from kubelambda.core.invoke import waiting_room
from kubelambda.core.invoke.url_address import url_id
from kubelambda.core.invoke.waiting_room import WAIT_S
from kubelambda.frontend.frontend import Frontend
from kubelambda.kube.kube_client import Object
from kubelambda.kube.reflector import Reflector
from kubelambda.kube.resources import ALIASES, FUNCTIONS

ECHO = "def handler(event, context): return 'here'"
URL: dict[str, Any] = {
    "url": {"authType": "NONE"},
    "permissions": [
        {"statementId": "url", "action": "lambda:InvokeFunctionUrl", "principal": "*", "functionUrlAuthType": "NONE"},
        {"statementId": "f", "action": "lambda:InvokeFunction", "principal": "*", "invokedViaFunctionUrl": True},
    ],
}


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests wait until the test has told what they wait for, however slow the machine is."""
    monkeypatch.setattr(waiting_room, "WAIT_S", 60.0)


async def create(cluster: Cluster, name: str = "f", **spec: Any) -> Object:
    """A Function as its user leaves it: nobody has deployed it."""
    manifest = {
        "apiVersion": FUNCTIONS.api_version,
        "kind": FUNCTIONS.kind,
        "metadata": {"name": name},
        "spec": {"runtime": RUNTIME_NAME, "handler": "index.handler", "code": {"inline": "x"}, **spec},
    }
    return await cluster.client.create(FUNCTIONS, manifest, cluster.namespace)


async def known(cluster: Cluster, *frontends: Frontend, name: str = "f") -> None:
    """Waits until frontends have heard of a function."""
    await eventually(lambda: all((cluster.namespace, name) in each.caches.functions.items for each in frontends))


async def waiting(frontend: Frontend, count: int) -> None:
    """Waits until so many requests wait for news, and sees that they take part in nothing else."""
    await eventually(lambda: len(frontend._news) == count)
    assert (frontend.in_flight, frontend.unanswered) == (0, 0)


async def tell(cluster: Cluster, frontend: Frontend, name: str = "f") -> None:
    """The frontend hears of a function as it is now."""
    hear(frontend.caches.functions, await cluster.client.get(FUNCTIONS, name, cluster.namespace))


@contextlib.asynccontextmanager
async def event_queue(cluster: Cluster) -> AsyncIterator[list[bytes]]:
    """One that accepts everything; what it was sent."""
    found: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        found.append(await reader.readexactly(length))
        writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    port = free_port()
    cluster.settings["event_queue_url"] = f"http://127.0.0.1:{port}"
    async with await asyncio.start_server(serve, "127.0.0.1", port):
        yield found


@pytest.mark.usefixtures("patient")
async def test_an_invocation_waits_for_the_frontend_to_hear_that_its_function_is_active(cluster: Cluster) -> None:
    """Of every kind; a dry run needs nothing of it, and what is no event is refused at once."""
    async with event_queue(cluster) as accepted:
        function = await create(cluster, **URL)
        await cluster.pool(2)
        frontend = await cluster.frontend()
        await known(cluster, frontend)
        deafen(frontend.caches.functions)
        await cluster.function("f", ECHO)
        asked = {"X-Amz-Invocation-Type": "Event"}
        calls = [*cluster.calls("f", 1), *cluster.calls("f", 1, "kept", headers=asked)]
        site = asyncio.create_task(asyncio.to_thread(get, cluster, url_id(function["metadata"]["uid"])))
        assert (await cluster.invoke("f", headers={"X-Amz-Invocation-Type": "DryRun"})).status == 204
        await waiting(frontend, 3)
        assert accepted == []
        await tell(cluster, frontend)
        answers = await asyncio.gather(*calls)
        assert [answer.status for answer in answers] == [200, 202]
        assert answers[0].json == "here"
        assert await site == (200, b"here")
        assert accepted == [b'"kept"']
        assert len(frontend._news) == 0


def get(cluster: Cluster, host: str) -> tuple[int, bytes]:
    """Status and body of a function URL."""
    connection = http.client.HTTPConnection("127.0.0.1", cluster.port, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", "/", headers={"Host": f"{host}.lambda-url.us-east-1.lambda.internal"})
        found = connection.getresponse()
        return found.status, found.read()


@pytest.mark.usefixtures("patient")
async def test_who_creates_and_calls_at_once_waits_too(cluster: Cluster) -> None:
    """Though the frontend has not heard of the function at all, and hears of its beginning first."""
    await cluster.pool(1)
    frontend = await cluster.frontend()
    deafen(frontend.caches.functions)
    created = await create(cluster)
    call = cluster.calls("f", 1)[0]
    await waiting(frontend, 1)
    hear(frontend.caches.functions, created)
    await waiting(frontend, 1)
    await cluster.function("f", ECHO)
    await tell(cluster, frontend)
    assert (await call).json == "here"


@pytest.mark.usefixtures("patient")
async def test_the_owner_of_an_account_may_be_the_one_that_is_behind(cluster: Cluster) -> None:
    """Whoever passes a request on has heard of the function; the owner waits for that with the request."""
    addresses = ("127.0.1.1", "127.0.1.2")
    owner, other = ownership.ranked(cluster.namespace, addresses)
    await create(cluster)
    await cluster.pool(1)
    behind = await cluster.frontend(owner, members=addresses)
    ahead = await cluster.frontend(other, members=addresses)
    await known(cluster, behind, ahead)
    deafen(behind.caches.functions)
    await cluster.function("f", ECHO)
    await eventually(lambda: ahead.caches.functions.items[cluster.namespace, "f"].state == "Active")
    call = cluster.calls("f", 1, address=other)[0]
    await waiting(behind, 1)
    await tell(cluster, behind)
    assert (await call).json == "here"


async def test_a_function_that_is_being_created_says_so_after_a_moment(cluster: Cluster) -> None:
    """As Lambda does; and again, however old it is."""
    await create(cluster)
    frontend = await cluster.frontend()
    await known(cluster, frontend)
    for _ in range(2):
        begun = time.monotonic()
        answer = await cluster.invoke("f")
        assert (answer.status, answer.headers["x-amzn-ErrorType"]) == (409, "ResourceConflictException")
        assert answer.json["message"].endswith("The function is currently in the following state: Pending")
        assert time.monotonic() - begun >= WAIT_S


@pytest.mark.usefixtures("patient")
async def test_nobody_waits_longer_for_what_has_failed_or_is_gone(cluster: Cluster) -> None:
    """That is news, too."""
    await create(cluster, "bad")
    await create(cluster, "gone")
    frontend = await cluster.frontend()
    await known(cluster, frontend, name="gone")
    bad, gone = cluster.calls("bad", 1)[0], cluster.calls("gone", 1)[0]
    await waiting(frontend, 2)
    status = {"state": "Failed", "stateReason": "no"}
    await cluster.client.patch(FUNCTIONS, "bad", {"status": status}, cluster.namespace, subresource="status")
    await cluster.client.delete(FUNCTIONS, "gone", cluster.namespace)
    assert ((await bad).status, (await gone).status) == (502, 404)


async def alias(cluster: Cluster) -> None:
    """An Alias as its user leaves it: the operator has not seen it."""
    spec = {"functionName": "f", "name": "live", "functionVersion": "1"}
    manifest = {
        "apiVersion": ALIASES.api_version,
        "kind": ALIASES.kind,
        "metadata": {"name": "f-live"},
        "spec": spec,
    }
    await cluster.client.create(ALIASES, manifest, cluster.namespace)


@pytest.mark.usefixtures("patient")
async def test_an_alias_that_is_called_before_the_operator_has_led_it_somewhere_is_waited_for(cluster: Cluster) -> None:
    """Whether its frontend has heard of the alias or has to ask for it."""
    await publish(cluster, "f", 1, f"CODE = 1\n{SHOW}")
    await cluster.pool(2)
    frontend = await cluster.frontend()
    deafen(frontend.caches.aliases)
    await alias(cluster)
    first = cluster.calls("f:live", 1)[0]
    await waiting(frontend, 1)
    hear(frontend.caches.aliases, await cluster.client.get(ALIASES, "f-live", cluster.namespace))
    second = cluster.calls("f:live", 1)[0]
    await waiting(frontend, 2)
    await point(cluster, "f", "live", "1")
    hear(frontend.caches.aliases, await cluster.client.get(ALIASES, "f-live", cluster.namespace))
    assert [(await call).headers["X-Amz-Executed-Version"] for call in (first, second)] == ["1", "1"]


async def test_an_alias_that_leads_nowhere_is_said_to_be_absent_after_a_moment(cluster: Cluster) -> None:
    """Once, and without being asked for again and again."""
    await publish(cluster, "f", 1, f"CODE = 1\n{SHOW}")
    frontend = await cluster.frontend()
    await alias(cluster)
    begun = time.monotonic()
    async with asyncio.timeout(60):
        answer = await cluster.invoke("f:live")
    assert (answer.status, answer.json["Message"].partition(":")[0]) == (404, "Alias not found")
    assert time.monotonic() - begun >= WAIT_S
    assert len(frontend._news) == 0


@pytest.mark.usefixtures("patient")
async def test_a_version_that_got_its_number_a_moment_ago_is_found(cluster: Cluster) -> None:
    """The frontend has heard of its object and not of the number: Kubernetes is asked."""
    await publish(cluster, "f", 1, f"CODE = 1\n{SHOW}")
    await point(cluster, "f", "live", "1")
    await cluster.pool(1)
    frontend = await cluster.frontend()
    caches = frontend.caches
    deafen(caches.versions, caches.aliases)
    known_early: list[tuple[Reflector[Any], str]] = [(caches.versions, "f-1"), (caches.aliases, "f-live")]
    for reflector, name in known_early:
        body = await cluster.client.get(reflector.resource, name, cluster.namespace)
        hear(reflector, {**body, "status": {}})
    answers = await asyncio.gather(*cluster.calls("f:1", 1), *cluster.calls("f:live", 1))
    assert [answer.headers["X-Amz-Executed-Version"] for answer in answers] == ["1", "1"]


async def test_a_call_ahead_of_the_cache_is_held_to_what_the_function_may_use(cluster: Cluster) -> None:
    """Its reserved concurrency, which the cache has not heard of either: none runs."""
    await cluster.pool(1)
    frontend = await cluster.frontend()
    deafen(frontend.caches.functions)
    await cluster.function("f", ECHO, reserved=0)
    answer = await cluster.invoke("f")
    assert (answer.status, answer.json["Reason"]) == (429, "ReservedFunctionConcurrentInvocationLimitExceeded")
