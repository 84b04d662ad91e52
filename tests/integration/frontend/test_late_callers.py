"""Who calls a function URL, or with an access key, that a frontend's own watch has not heard of yet."""

import asyncio
import contextlib
import http.client
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.eventually import eventually
from tests.integration.access_key_secrets import write_keys
from tests.integration.boto_caller import BotoAnswer, BotoCaller
from tests.integration.frontend.late_caches import deafen, hear
from tests.integration.loopback import Cluster
from tests.ports import free_port

from kubelambda.api.settings import AuthSettings
from kubelambda.core.account.access_key import SECRET_NAME
from kubelambda.core.account.identity import account_id
from kubelambda.core.account.request_signing import ClientKey, Question, signed_headers
from kubelambda.core.invoke import waiting_room
from kubelambda.core.invoke.url_address import url_id
from kubelambda.core.invoke.waiting_room import WAIT_S
from kubelambda.frontend.frontend import Frontend
from kubelambda.kube.late_news import LateNews
from kubelambda.kube.resources import FUNCTIONS, INVOKE_ENDPOINTS, NAMESPACES, SECRETS

ECHO = "def handler(event, context): return 'here'"
PUBLIC: list[dict[str, Any]] = [
    {"statementId": "url", "action": "lambda:InvokeFunctionUrl", "principal": "*", "functionUrlAuthType": "NONE"},
    {"statementId": "f", "action": "lambda:InvokeFunction", "principal": "*", "invokedViaFunctionUrl": True},
]
ANY = AuthSettings(mode="any")
NEW: dict[str, Any] = {"key": "AKIDNEW", "secret": "s"}

type Boto = Callable[..., Coroutine[Any, Any, BotoAnswer]]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests wait until the test has told what they wait for, however slow the machine is."""
    monkeypatch.setattr(waiting_room, "WAIT_S", 60.0)


@pytest.fixture
async def boto(cluster: Cluster) -> AsyncIterator[Boto]:
    """boto3, invoking `f`."""
    callers: dict[int, BotoCaller] = {}

    async def invoke(*, port: int | None = None, payload: str = "1", **credentials: Any) -> BotoAnswer:
        used = port or cluster.port
        caller = callers.get(used) or callers.setdefault(used, BotoCaller(f"http://127.0.0.1:{used}"))
        return await asyncio.to_thread(caller, "invoke", {"FunctionName": "f", "Payload": payload}, **credentials)

    yield invoke
    for caller in callers.values():
        await asyncio.to_thread(caller.close)


async def deployed(cluster: Cluster, **how: Any) -> tuple[Frontend, str]:
    """A frontend that knows a function, and the host of what could be its URL."""
    await cluster.function("f", ECHO)
    await cluster.pool(1)
    frontend = await cluster.frontend(**how)
    await eventually(lambda: (cluster.namespace, "f") in frontend.caches.functions.items)
    body = await cluster.client.get(FUNCTIONS, "f", cluster.namespace)
    return frontend, f"{url_id(body['metadata']['uid'])}.lambda-url.us-east-1.lambda.internal"


async def get(cluster: Cluster, host: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """Status and body of a function URL."""

    def ask() -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", cluster.port, timeout=120)
        with contextlib.closing(connection):
            connection.request("GET", "/", headers={"Host": host, **(headers or {})})
            found = connection.getresponse()
            return found.status, found.read()

    return await asyncio.to_thread(ask)


async def waiting(news: LateNews, count: int) -> None:
    """Waits until so many requests wait for news."""
    await eventually(lambda: len(news) == count)


async def change(cluster: Cluster, frontend: Frontend, **spec: Any) -> None:
    """Changes the function, and has the frontend hear of that."""
    body = await cluster.client.patch(FUNCTIONS, "f", {"spec": spec}, cluster.namespace)
    hear(frontend.caches.functions, body)


async def tell_keys(cluster: Cluster, frontend: Frontend) -> None:
    """The frontend hears of the keys of the account as they are now."""
    body = await cluster.client.get(SECRETS, SECRET_NAME, cluster.namespace)
    hear(frontend.caches.access_keys.secrets, body)


def signed(host: str) -> dict[str, str]:
    """Headers that a holder of the new key signs for a URL."""
    found = signed_headers(Question(host, "/", "", "us-east-1", "lambda"), ClientKey("AKIDNEW", "s"), datetime.now(UTC))
    return {name: value for name, value in found.items() if name != "host"}  # the client sends that itself


@pytest.mark.usefixtures("patient")
async def test_a_function_url_that_was_made_a_moment_ago_is_waited_for(cluster: Cluster) -> None:
    """And then the permission that opens it, which is given after it."""
    frontend, host = await deployed(cluster)
    deafen(frontend.caches.functions)
    call = asyncio.create_task(get(cluster, host))
    news = frontend.caches.urls.news
    await waiting(news, 1)
    await change(cluster, frontend, url={"authType": "NONE"})
    await waiting(news, 1)
    await change(cluster, frontend, permissions=PUBLIC)
    assert await call == (200, b"here")
    assert len(news) == 0


@pytest.mark.usefixtures("patient")
async def test_an_access_key_that_was_made_a_moment_ago_is_waited_for(cluster: Cluster, boto: Boto) -> None:
    """By an invocation, and by a function URL that asks for a signature."""
    frontend, host = await deployed(cluster, auth=ANY)
    deafen(frontend.caches.access_keys.secrets, frontend.caches.functions)
    await change(cluster, frontend, url={"authType": "AWS_IAM"})
    await write_keys(cluster.client, cluster.namespace, AKIDNEW="s")
    invoked = asyncio.create_task(boto(**NEW))
    called = asyncio.create_task(get(cluster, host, signed(host)))
    await waiting(frontend.caches.access_keys.news, 2)
    await tell_keys(cluster, frontend)
    answer = await invoked
    assert (answer.status, json.loads(answer.members["Payload"])) == (200, "here")
    assert await called == (200, b"here")
    assert len(frontend.caches.access_keys.news) == 0


@pytest.mark.usefixtures("patient")
async def test_a_url_and_the_key_of_its_caller_may_both_be_new(cluster: Cluster) -> None:
    """It is waited for one after the other."""
    frontend, host = await deployed(cluster)
    deafen(frontend.caches.access_keys.secrets, frontend.caches.functions)
    await write_keys(cluster.client, cluster.namespace, AKIDNEW="s")
    called = asyncio.create_task(get(cluster, host, signed(host)))
    await waiting(frontend.caches.urls.news, 1)
    await change(cluster, frontend, url={"authType": "AWS_IAM"})
    await waiting(frontend.caches.access_keys.news, 1)
    await tell_keys(cluster, frontend)
    assert await called == (200, b"here")


@pytest.mark.usefixtures("patient")
async def test_a_new_key_is_waited_for_at_an_invoke_endpoint(cluster: Cluster, boto: Boto) -> None:
    """Whatever the installation asks of callers elsewhere."""
    frontend, _ = await deployed(cluster)
    deafen(frontend.caches.access_keys.secrets)
    account = account_id((await cluster.client.get(NAMESPACES, cluster.namespace))["metadata"]["uid"])
    principal = f"arn:aws:iam::{account}:user/AKIDNEW"
    policy = [{"effect": "Allow", "principals": [principal], "functions": ["f"]}]
    manifest = {"metadata": {"name": "lambda", "namespace": cluster.namespace}, "spec": {"policy": policy}}
    await cluster.client.apply(INVOKE_ENDPOINTS, manifest, manager="test")
    port = free_port()
    status = {"status": {"frontendPort": port}}
    await cluster.client.patch(INVOKE_ENDPOINTS, "lambda", status, cluster.namespace, subresource="status")

    async def listens() -> bool:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return True
        return False

    await eventually(listens)
    await write_keys(cluster.client, cluster.namespace, AKIDNEW="s")
    invoked = asyncio.create_task(boto(port=port, **NEW))
    await waiting(frontend.caches.access_keys.news, 1)
    await tell_keys(cluster, frontend)
    assert (await invoked).status == 200


async def test_whoever_stays_unknown_is_told_so_after_a_moment(cluster: Cluster, boto: Boto) -> None:
    """A key that nobody has, and the host of no function."""
    _, host = await deployed(cluster, auth=ANY)
    for refused in (lambda: boto(**NEW), lambda: get(cluster, host)):
        begun = time.monotonic()
        found = await refused()
        assert (found[0] if isinstance(found, tuple) else found.status) == 403
        assert time.monotonic() - begun >= WAIT_S


@pytest.mark.usefixtures("patient")
async def test_nobody_waits_whose_key_decides_nothing_or_who_sends_much(cluster: Cluster, boto: Boto) -> None:
    """Where no proof is asked for, clients sign with whatever they have; what strangers send is not kept."""
    frontend, _ = await deployed(cluster)
    assert (await boto(**NEW)).status == 200
    await cluster.frontend("127.0.0.2", auth=ANY)
    url = f"http://127.0.0.2:{cluster.port}"
    caller = BotoCaller(url)
    large = {"FunctionName": "f", "Payload": json.dumps("x" * 100_000)}
    begun = time.monotonic()
    refused = await asyncio.to_thread(caller, "invoke", large, **NEW)
    assert (refused.status, refused.error) == (403, "UnrecognizedClientException")
    assert time.monotonic() - begun < waiting_room.WAIT_S
    assert len(frontend.caches.access_keys.news) == 0
    await asyncio.to_thread(caller.close)
