"""What frontends serve at the ports of InvokeEndpoints, to callers who reach them: boto3, tokens, and nobody."""

import asyncio
import json
import subprocess
import tempfile
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from tests import event_messages
from tests.eventually import eventually
from tests.integration.access_key_secrets import write_keys
from tests.integration.boto_caller import ROOT, BotoCaller
from tests.integration.control_plane import ControlPlane
from tests.integration.loopback import Cluster
from tests.integration.processes import KEY
from tests.ports import free_port

from kubelambda.api.settings import AuthSettings
from kubelambda.core.account import ownership
from kubelambda.core.account.identity import account_id
from kubelambda.core.environment.component_callers import CALLER, CallerRole, caller_proof
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import INVOKE_ENDPOINTS, NAMESPACES

ECHO = "def handler(event, context): return [event, context.invoked_function_arn]"
DOCUMENT = ROOT / "docs" / "network.md"
TOKEN_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/token"
PATH = "/2015-03-31/functions/{}/invocations"


class Endpoint:
    """An InvokeEndpoint as the operator leaves it, and its callers."""

    def __init__(self, client: KubeClient, namespace: str, session: aiohttp.ClientSession) -> None:
        self._client = client
        self._namespace = namespace
        self._session = session
        self.port = free_port()

    async def write(self, *policy: Any, **spec: Any) -> None:
        """Makes it, or changes its spec."""
        manifest = {"metadata": {"name": "lambda", "namespace": self._namespace}, "spec": {"policy": policy, **spec}}
        await self._client.apply(INVOKE_ENDPOINTS, manifest, manager="test")
        status = {"status": {"frontendPort": self.port}}
        await self._client.patch(INVOKE_ENDPOINTS, "lambda", status, self._namespace, subresource="status")

    async def ask(
        self, path: str, *, address: str = "127.0.0.1", method: str = "POST", **headers: str
    ) -> tuple[int, Any]:
        """Status and error, or body; 0 while nobody listens."""
        url = f"http://{address}:{self.port}{path}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            async with self._session.request(method, url, data=b"1", headers=named) as answer:
                return answer.status, answer.headers.get("x-amzn-ErrorType") or await answer.json(content_type=None)
        except aiohttp.ClientConnectionError:
            return 0, None

    async def answers(self, expected: tuple[int, Any], function: str = "hello", **headers: str) -> None:
        """Waits until a function's answer is the expected one."""

        async def same() -> bool:
            return await self.ask(PATH.format(function), **headers) == expected

        await eventually(same)


@pytest.fixture
async def endpoint(cluster: Cluster, client: KubeClient) -> AsyncIterator[Endpoint]:
    """One that is not there yet, and a function behind it."""
    await cluster.function("hello", ECHO)
    async with aiohttp.ClientSession() as session:
        yield Endpoint(client, cluster.namespace, session)


async def arn_of(client: KubeClient, namespace: str, function: str = "hello") -> str:
    """The ARN of a function."""
    account = account_id((await client.get(NAMESPACES, namespace))["metadata"]["uid"])
    return f"arn:aws:lambda:us-east-1:{account}:function:{function}"


def allow(*principals: str, functions: tuple[str, ...] = ("hello",), effect: str = "Allow") -> Any:
    """A statement."""
    return {"effect": effect, "principals": list(principals), "functions": list(functions)}


async def token_of(control_plane: ControlPlane, namespace: str, name: str) -> str:
    """A token of a new service account."""
    space = ("--namespace", namespace)
    await asyncio.to_thread(control_plane.kubectl, "create", "serviceaccount", name, *space)
    made = await asyncio.to_thread(control_plane.kubectl, "create", "token", name, *space)
    return made.stdout.strip()


async def by_token(url: str, token: str) -> Any:
    """What boto3 gets with a bearer token, in the way of docs/network.md."""
    snippet = DOCUMENT.read_text().partition("```python\n")[2].partition("```")[0]
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(token)
        file.flush()
        program = snippet.replace("http://lambda.default.svc", url).replace(TOKEN_FILE, file.name)
        program += "print(client.invoke(FunctionName='hello', Payload=b'1')['Payload'].read().decode())"
        command = [str(ROOT / ".venv-e2e" / "bin" / "python"), "-c", program]
        ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


async def test_tokens_and_keys_are_held_against_the_policy(
    cluster: Cluster, client: KubeClient, control_plane: ControlPlane, endpoint: Endpoint
) -> None:
    """Whatever the installation asks of callers elsewhere; a change of the policy counts at once. boto3 as it is."""
    await cluster.pool(1)
    await cluster.frontend(default_namespace="default")
    namespace = cluster.namespace
    await write_keys(client, namespace, AKIDIN="s", AKIDOUT="s")
    robot, other = [await token_of(control_plane, namespace, name) for name in ("robot", "other")]
    arn = await arn_of(client, namespace)
    user = arn.replace("lambda:us-east-1", "iam:").replace("function:hello", "user/AKIDIN")
    await endpoint.write(allow(f"system:serviceaccount:{namespace}:robot", user))
    good = (200, [1, arn])
    await endpoint.answers(good, Authorization=f"Bearer {robot}")
    assert await endpoint.ask(PATH.format(arn), Authorization=f"Bearer {robot}") == good
    denied = (403, "AccessDeniedException")
    assert await endpoint.ask(PATH.format("hello"), Authorization=f"Bearer {other}") == denied
    assert await endpoint.ask(PATH.format("secret"), Authorization=f"Bearer {robot}") == denied
    assert await endpoint.ask(PATH.format("hello:live"), Authorization=f"Bearer {robot}") == denied
    elsewhere = await arn_of(client, "default")
    assert await endpoint.ask(PATH.format(elsewhere), Authorization=f"Bearer {robot}") == denied
    unproven = [{}, {"Authorization": "Bearer nobody"}, {CALLER: caller_proof(KEY, CallerRole.FRONTEND)}]
    told = [await endpoint.ask(PATH.format("hello"), **headers) for headers in unproven]
    assert [status for status, _ in told] == [403, 403, 403]
    assert told[0][1] == told[2][1] == "MissingAuthenticationTokenException"
    boto = BotoCaller(f"http://127.0.0.1:{endpoint.port}")
    call = {"FunctionName": "hello", "Payload": "1"}

    async def invoked() -> bool:
        found = await asyncio.to_thread(boto, "invoke", dict(call), key="AKIDIN", secret="s")
        return found.status == 200 and json.loads(found.members["Payload"]) == [1, arn]

    await eventually(invoked)
    wrong = await asyncio.to_thread(boto, "invoke", dict(call), key="AKIDIN", secret="wrong")
    assert wrong.error == "InvalidSignatureException"
    outside = await asyncio.to_thread(boto, "invoke", dict(call), key="AKIDOUT", secret="s")
    assert outside.error == "AccessDeniedException"
    assert outside.text.endswith("because no VPC endpoint policy allows the lambda:InvokeFunction action")
    assert await by_token(f"http://127.0.0.1:{endpoint.port}", robot) == [1, arn]
    await endpoint.write(allow("*"), allow("system:serviceaccounts", effect="Deny"))
    await endpoint.answers(denied, Authorization=f"Bearer {robot}")
    assert (await endpoint.ask(PATH.format("hello")))[0] == 200
    boto.close()


async def test_nothing_else_is_served_there(cluster: Cluster, endpoint: Endpoint) -> None:
    """Not the control API, nor what frontends say to each other and to the kubelet; and nothing by another address."""
    await cluster.frontend("127.0.1.7")
    await endpoint.write(allow("*", functions=("*",)))

    async def serves() -> bool:
        return (await endpoint.ask(PATH.format("missing"), address="127.0.1.7"))[0] == 404

    await eventually(serves)
    proof = {CALLER: caller_proof(KEY, CallerRole.FRONTEND)}
    for method, path in [
        ("GET", "/2015-03-31/functions/"),
        ("GET", "/2015-03-31/functions/hello"),
        ("DELETE", "/2015-03-31/functions/hello"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("POST", "/internal/secret-keys"),
        ("GET", "/"),
        ("GET", PATH.format("hello")),
        ("POST", "/2015-03-31/functions/hello/invocations/../configuration"),
    ]:
        status, error = await endpoint.ask(path, address="127.0.1.7", method=method, **proof)
        assert (status, error) == (404, "UnknownOperationException"), path
    assert await endpoint.ask(PATH.format("hello"), address="127.0.1.8") == (0, None)


async def test_the_function_is_the_endpoints_wherever_it_runs(
    cluster: Cluster, client: KubeClient, endpoint: Endpoint
) -> None:
    """Through a frontend that does not own the account, and whatever account a caller claims by headers or host."""
    await cluster.pool(1)
    addresses = ("127.0.1.1", "127.0.1.2")
    for address in addresses:
        await cluster.frontend(address, members=addresses, default_namespace="default", auth=AuthSettings(mode="any"))
    await endpoint.write(allow("*"))
    good = (200, [1, await arn_of(client, cluster.namespace)])
    for address in ownership.ranked(cluster.namespace, addresses):
        await endpoint.answers(good, address=address, X_Kubelambda_Namespace="default", Host="default.lambda")
        # A stream comes in by the same door.
        url = f"http://{address}:{endpoint.port}/2021-11-15/functions/hello/response-streaming-invocations"
        async with aiohttp.ClientSession() as session, session.post(url, data=b"1") as answer:
            (_, payload), end = event_messages.events(await answer.read())
        assert (json.loads(payload), end) == (good[1], ("InvokeComplete", {}))


async def test_a_port_closes_with_its_endpoint(cluster: Cluster, client: KubeClient, endpoint: Endpoint) -> None:
    """Connections as well; those that were made while others reached it end after their next answer."""
    await cluster.pool(1)
    await cluster.frontend()
    await endpoint.write(allow("*"), allowedNamespaces=["one"])
    good = (200, [1, await arn_of(client, cluster.namespace)])
    await endpoint.answers(good)
    reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
    await endpoint.write(allow("*"), allowedNamespaces=["two"])
    assert await asyncio.wait_for(reader.read(), 60) == b""
    writer.close()
    await endpoint.answers(good)
    await client.delete(INVOKE_ENDPOINTS, "lambda", cluster.namespace)
    await endpoint.answers((0, None))


async def test_a_closed_frontend_serves_its_own_components_only(
    cluster: Cluster, client: KubeClient, endpoint: Endpoint
) -> None:
    """Then endpoints are the only way in, for Invoke and for everything else."""
    await cluster.pool(1)
    cluster.settings["public_frontend"] = False
    await cluster.frontend()
    await endpoint.write(allow("*"))
    await endpoint.answers((200, [1, await arn_of(client, cluster.namespace)]))
    refused = await cluster.invoke("hello")
    assert (refused.status, refused.headers["x-amzn-ErrorType"]) == (403, "AccessDeniedException")
    assert "invoke through an InvokeEndpoint" in refused.json["Message"]
    proof = {CALLER: caller_proof(KEY, CallerRole.EVENTS)}
    assert (await cluster.invoke("hello", headers=proof)).status == 200
    async with aiohttp.ClientSession() as session:
        for path, status in (("/2015-03-31/functions/", 403), ("/2015-03-31/functions/hello", 403), ("/readyz", 200)):
            async with session.get(f"http://127.0.0.1:{cluster.port}{path}") as answer:
                assert answer.status == status
