"""Function URLs over real frontends and agents: any HTTP client, the host says which function (§2.5)."""

import asyncio
import http.client
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.eventually import eventually
from tests.integration.access_key_secrets import write_keys
from tests.integration.control_plane import ControlPlane
from tests.integration.loopback import Cluster

from kubelambda.api.settings import FunctionUrlSettings
from kubelambda.core.account import ownership
from kubelambda.core.account.identity import account_id
from kubelambda.core.account.request_signing import ClientKey, Question, signed_headers
from kubelambda.core.invoke.url_address import url_id
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import FUNCTIONS, NAMESPACES

ECHO = """
import json
def handler(event, context):
    path = event["rawPath"]
    if path == "/event":
        return event
    if path == "/page":
        return {"statusCode": 201, "headers": {"content-type": "text/html"}, "cookies": ["a=1", "b=2"], "body": "<p>"}
    if path == "/bytes":
        return {"statusCode": 200, "body": "AAEC", "isBase64Encoded": True}
    if path == "/large":
        return {"statusCode": 200, "body": "x" * 1_000_000}
    if path == "/bad":
        return {"statusCode": "none"}
    if path == "/raise":
        raise ValueError("no")
    return "hello"
"""
PUBLIC: list[dict[str, Any]] = [
    {
        "statementId": "url",
        "action": "lambda:InvokeFunctionUrl",
        "principal": "*",
        "functionUrlAuthType": "NONE",
    },
    {"statementId": "function", "action": "lambda:InvokeFunction", "principal": "*", "invokedViaFunctionUrl": True},
]
FORBIDDEN = (
    "Forbidden. For troubleshooting Function URL authorization issues, see: "
    "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
)
NONE = {"authType": "NONE"}


@dataclass(frozen=True)
class Page:
    """An answer as it came."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        """Every value of a header."""
        return [value for found, value in self.headers if found.lower() == name]


class Site:
    """The URL of one function, called at one frontend or another."""

    def __init__(self, cluster: Cluster, host: str) -> None:
        self.port = cluster.port
        self.host = host

    async def __call__(
        self,
        path: str = "/",
        *,
        method: str = "GET",
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        address: str = "127.0.0.1",
    ) -> Page:
        """One request."""

        def ask() -> Page:
            connection = http.client.HTTPConnection(address, self.port, timeout=60)
            try:
                connection.request(method, path, body, {"Host": self.host, **(headers or {})})
                found = connection.getresponse()
                return Page(found.status, found.getheaders(), found.read())
            finally:
                connection.close()

        return await asyncio.to_thread(ask)

    async def opened(self, **how: Any) -> None:
        """Waits until the frontend has heard of the URL and of who may call it."""

        async def open_to_all() -> bool:
            return (await self(**how)).status == 200

        await eventually(open_to_all)


async def publish(
    cluster: Cluster, client: KubeClient, url: dict[str, Any], permissions: Sequence[dict[str, Any]] = PUBLIC
) -> Site:
    """The echo with a URL."""
    await cluster.function("echo", ECHO)
    spec = {"url": url, "permissions": list(permissions)}
    body = await client.patch(FUNCTIONS, "echo", {"spec": spec}, cluster.namespace)
    return Site(cluster, f"{url_id(body['metadata']['uid'])}.lambda-url.us-east-1.lambda.internal")


async def test_an_http_request_becomes_an_event_and_its_result_an_answer(cluster: Cluster, client: KubeClient) -> None:
    """At the frontend that owns the account, and at another one, which passes it on."""
    site = await publish(cluster, client, NONE)
    await cluster.pool(1)
    addresses = ("127.0.1.1", "127.0.1.2")
    for address in addresses:
        await cluster.frontend(address, members=addresses, default_namespace="default")
        await site.opened(address=address)
    for address in ownership.ranked(cluster.namespace, addresses):
        sent = {"content-type": "application/json", "cookie": "a=1; b=2", "x-amz-log-type": "Tail"}
        event = await site("/event?x=1&x=2", method="PUT", body=b'{"a":1}', headers=sent, address=address)
        found = json.loads(event.body)
        assert (found["version"], found["rawPath"], found["rawQueryString"]) == ("2.0", "/event", "x=1&x=2")
        assert (found["body"], found["isBase64Encoded"], found["cookies"]) == ('{"a":1}', False, ["a=1", "b=2"])
        context = found["requestContext"]
        assert context["http"]["method"] == "PUT"
        assert context["http"]["sourceIp"] == found["headers"]["x-forwarded-for"]
        assert context["http"]["sourceIp"].startswith("127.")
        assert (context["accountId"], context["domainName"]) == ("anonymous", site.host)
        assert event.all("x-amzn-requestid") == [context["requestId"]]
        assert found["headers"]["x-amzn-trace-id"].startswith("Root=1-")
        page = await site("/page", address=address)
        assert (page.status, page.body, page.all("content-type")) == (201, b"<p>", ["text/html"])
        assert page.all("set-cookie") == ["a=1", "b=2"]
        assert (await site("/bytes", address=address)).body == b"\0\1\2"
        assert len((await site("/large", address=address)).body) == 1_000_000
        assert (await site(address=address)).body == b"hello"
        head = await site("/page", method="HEAD", address=address)
        assert (head.status, head.body, head.all("content-length")) == (201, b"", ["3"])
        for path in ("/bad", "/raise"):
            failed = await site(path, address=address)
            assert (failed.status, failed.body) == (502, b"Internal Server Error")
            assert not failed.all("x-amz-function-error")
    # No path reaches anything but the function.
    routed = await site("/2015-03-31/functions/echo/invocations", method="POST", address=addresses[0])
    assert (routed.status, routed.body) == (200, b"hello")
    assert (await site("/healthz", address=addresses[0])).body == b"hello"


async def test_the_resource_policy_opens_a_url(
    cluster: Cluster, client: KubeClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever `auth.mode` is; both permissions are needed, and a host that is nobody's is said to be forbidden."""
    site = await publish(cluster, client, NONE, PUBLIC[:1])
    await cluster.pool(1)
    frontend = await cluster.frontend()
    unknown = await Site(cluster, "a" * 32 + site.host[32:])()
    assert (unknown.status, unknown.all("x-amzn-errortype")) == (403, ["AccessDeniedException"])
    assert json.loads(unknown.body) == {"Message": None}

    async def known() -> bool:
        return bool(json.loads((await site()).body) == {"Message": FORBIDDEN})

    await eventually(known)
    assert (await site(method="POST", body=b"x" * 300_000)).status == 403
    frontend.audit.flush()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "kubelambda.audit" in line]
    told = lines[-1]
    assert (told["action"], told["status"], told["caller"]) == ("lambda:InvokeFunctionUrl", 403, "anonymous")
    assert told["resource"].endswith(":function:echo")
    await client.patch(FUNCTIONS, "echo", {"spec": {"permissions": PUBLIC}}, cluster.namespace)
    await site.opened()
    large = await site(method="POST", body=b"x" * 7_000_000)
    assert large.status == 413
    grown = await site(method="POST", body=b"\0" * 5_000_000)  # within the limit as sent, and not as an event
    assert grown.status == 413
    await client.patch(FUNCTIONS, "echo", {"spec": {"url": None}}, cluster.namespace)

    async def closed() -> bool:
        return (await site()).body == b'{"Message":null}'

    await eventually(closed)


async def test_a_url_with_proof_is_for_keys_and_tokens(
    cluster: Cluster, client: KubeClient, control_plane: ControlPlane
) -> None:
    """In the default mode too; who called is in the event, and a token is not handed on to the function."""
    await write_keys(client, cluster.namespace, AKIDURL="s")
    site = await publish(cluster, client, {"authType": "AWS_IAM"}, [])
    await cluster.pool(1)
    await cluster.frontend()

    def signed(secret: str) -> dict[str, str]:
        question = Question(site.host, "/event", "", "us-east-1", "lambda")
        found = signed_headers(question, ClientKey("AKIDURL", secret), datetime.now(UTC))
        return {name: value for name, value in found.items() if name != "host"}  # the client sends that itself

    async def let_in() -> Page | None:
        found = await site("/event", headers=signed("s"))
        return found if found.status == 200 else None

    answer: Page = await eventually(let_in)
    account = account_id((await client.get(NAMESPACES, cluster.namespace))["metadata"]["uid"])
    context = json.loads(answer.body)["requestContext"]
    assert context["accountId"] == account
    assert context["authorizer"]["iam"]["userArn"] == f"arn:aws:iam::{account}:user/AKIDURL"
    assert context["authorizer"]["iam"]["accessKey"] == "AKIDURL"
    for headers, body in (({}, None), (signed("wrong"), None), (signed("s"), b"y")):
        refused = await site("/event", body=body, headers=headers)
        assert (refused.status, json.loads(refused.body)) == (403, {"Message": FORBIDDEN})
    space = ("--namespace", cluster.namespace)

    async def kubectl(*arguments: str) -> str:
        return (await asyncio.to_thread(control_plane.kubectl, *arguments, *space)).stdout

    await kubectl("create", "serviceaccount", "caller")
    bearer = {"Authorization": f"Bearer {(await kubectl('create', 'token', 'caller')).strip()}"}
    assert (await site("/event", headers=bearer)).status == 403
    role = ("create", "role", "invoker", "--verb=create", "--resource=functions.kubelambda.dev/invoke")
    await kubectl(*role, "--resource-name=echo")
    await kubectl("create", "rolebinding", "invoker", "--role=invoker", f"--serviceaccount={cluster.namespace}:caller")

    async def allowed() -> Page | None:
        found = await site("/event", headers=bearer)
        return found if found.status == 200 else None

    answer = await eventually(allowed)
    assert "authorization" not in json.loads(answer.body)["headers"]


async def test_browsers_are_told_the_rules_of_the_url(cluster: Cluster, client: KubeClient) -> None:
    """A preflight request starts no environment; our proxies say where a caller is."""
    cluster.settings = {"function_urls": FunctionUrlSettings(proxies=1)}
    cors = {"allowOrigins": ["https://a.example"], "allowMethods": ["GET"], "maxAge": 5, "exposeHeaders": ["X-A"]}
    site = await publish(cluster, client, {**NONE, "cors": cors})
    await cluster.frontend()
    page = {"Origin": "https://a.example"}
    asks = {**page, "Access-Control-Request-Method": "GET"}

    async def preflight() -> Page | None:
        found = await site(method="OPTIONS", headers=asks)
        return found if found.status == 200 else None

    asked: Page = await eventually(preflight)
    assert asked.all("access-control-allow-origin") == ["https://a.example"]
    assert (asked.all("access-control-allow-methods"), asked.all("access-control-max-age")) == (["GET"], ["5"])
    assert not await cluster.pods()
    await cluster.pool(1)
    behind = {**page, "X-Forwarded-For": "6.6.6.6, 203.0.113.9", "X-Forwarded-Proto": "https"}
    answered = await site("/event", headers=behind)
    assert answered.all("access-control-expose-headers") == ["X-A"]
    event = json.loads(answered.body)
    assert event["requestContext"]["http"]["sourceIp"] == "203.0.113.9"
    assert event["headers"]["x-forwarded-proto"] == "https"
    elsewhere = await site(headers={"Origin": "https://b.example"})
    assert not elsewhere.all("access-control-allow-origin")
