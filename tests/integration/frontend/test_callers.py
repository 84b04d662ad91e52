"""Who may invoke: boto3 with access keys, tokens of service accounts, our own components, and nobody (DESIGN §10)."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from tests.eventually import eventually
from tests.integration.access_key_secrets import write_keys
from tests.integration.boto_caller import BotoAnswer, BotoCaller
from tests.integration.control_plane import ControlPlane
from tests.integration.loopback import Cluster
from tests.integration.processes import KEY

from kubelambda.api import labels
from kubelambda.api.settings import AuthSettings
from kubelambda.core.account import ownership
from kubelambda.core.account.identity import account_id
from kubelambda.core.environment.component_callers import CALLER, CallerRole, caller_proof
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import FUNCTIONS, NAMESPACES

ECHO = "def handler(event, context): return [event, context.invoked_function_arn]"
INVALID = "The security token included in the request is invalid."
ANY = AuthSettings(mode="any")

type Invoke = Callable[..., Awaitable[BotoAnswer]]


@pytest.fixture
async def boto(cluster: Cluster) -> AsyncIterator[Invoke]:
    """boto3, invoking through the frontend on 127.0.0.1 or at another address."""
    callers: dict[str, BotoCaller] = {}

    async def invoke(
        name: str, *, address: str = "127.0.0.1", parameters: Any = None, **credentials: Any
    ) -> BotoAnswer:
        endpoint = f"http://{address}:{cluster.port}"
        caller = callers.get(endpoint) or callers.setdefault(endpoint, BotoCaller(endpoint))
        given = {"FunctionName": name, **(parameters or {})}
        return await asyncio.to_thread(caller, "invoke", given, **credentials)

    yield invoke
    for caller in callers.values():
        await asyncio.to_thread(caller.close)


async def account_of(client: KubeClient, namespace: str) -> str:
    """The id of an account."""
    return account_id((await client.get(NAMESPACES, namespace))["metadata"]["uid"])


async def let_in(call: Callable[[], Awaitable[BotoAnswer]]) -> BotoAnswer:
    """The first answer that is a success: a watch brings keys and policies within moments."""

    async def good() -> BotoAnswer | None:
        found = await call()
        return found if found.status < 300 else None

    found: BotoAnswer = await eventually(good)
    return found


async def test_a_key_invokes_in_its_own_account(cluster: Cluster, client: KubeClient, boto: Invoke) -> None:
    """By the function's name alone, with every type of invocation; from another frontend than the owner, too."""
    await write_keys(client, cluster.namespace, AKIDONE="s")
    await cluster.function("echo", ECHO)
    await cluster.pool(1)
    addresses = ("127.0.1.1", "127.0.1.2")
    owner, other = ownership.ranked(cluster.namespace, addresses)
    for address in addresses:
        await cluster.frontend(address, members=addresses, auth=ANY, default_namespace="default")
    one = {"key": "AKIDONE", "secret": "s"}
    arn = f"arn:aws:lambda:us-east-1:{await account_of(client, cluster.namespace)}:function:echo"
    for address in (owner, other):
        answered = await let_in(partial(boto, "echo", address=address, parameters={"Payload": "1"}, **one))
        assert json.loads(answered.members["Payload"]) == [1, arn]
        dry = await boto("echo", address=address, parameters={"InvocationType": "DryRun"}, **one)
        assert dry.status == 204
        presigned = await boto("echo", address=address, presigned="POST", **one)
        assert presigned.members == [{}, arn]
    context = {"ClientContext": base64.b64encode(b"{}").decode(), "LogType": "Tail", "Payload": '"x"'}
    assert (await boto("echo", address=other, parameters=context, **one)).status == 200
    assert (await boto("missing", address=other, **one)).error == "ResourceNotFoundException"


async def test_nobody_else_gets_in(
    cluster: Cluster, client: KubeClient, boto: Invoke, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the words of AWS, whether there is such a function or not; and every refusal is in the audit log."""
    await write_keys(
        client, cluster.namespace, AKIDOLD="the secret", AKIDLIST={"SecretAccessKey": "s", "Actions": "lambda:List*"}
    )
    await cluster.function("echo", ECHO)
    frontend = await cluster.frontend(auth=ANY)
    dry = {"InvocationType": "DryRun"}
    await let_in(lambda: boto("echo", parameters=dry, key="AKIDOLD", secret="the secret"))
    frontend.audit.flush()
    capsys.readouterr()  # until it was let in it may have been refused
    arn = f"arn:aws:lambda:us-east-1:{await account_of(client, cluster.namespace)}"
    identity = (
        f"User: {arn.replace('lambda:us-east-1', 'iam:')}:user/AKIDLIST is not authorized to perform: "
        f"lambda:InvokeFunction on resource: {arn}:function:echo because no identity-based policy allows the "
        "lambda:InvokeFunction action"
    )
    refusals: list[tuple[dict[str, Any], str, str]] = [
        ({}, "MissingAuthenticationTokenException", "Missing Authentication Token"),
        ({"key": "AKIDTWO", "secret": "x"}, "UnrecognizedClientException", INVALID),
        ({"key": "AKIDOLD", "secret": "the secret", "token": "t"}, "UnrecognizedClientException", INVALID),
        ({"key": "AKIDOLD", "secret": "x"}, "InvalidSignatureException", "The request signature we calculated does"),
        (
            {"key": "AKIDOLD", "secret": "the secret", "skew": -301},
            "InvalidSignatureException",
            "Signature expired: ",
        ),
        ({"key": "AKIDOLD", "secret": "the secret", "skew": 400}, "InvalidSignatureException", "Signature not yet "),
        (
            {"key": "AKIDOLD", "secret": "x", "presigned": "POST"},
            "InvalidSignatureException",
            "The request signature",
        ),
        ({"key": "AKIDLIST", "secret": "s"}, "AccessDeniedException", identity),
    ]
    for credentials, error, text in refusals:
        answer = await boto("echo", **credentials)
        assert (answer.status, answer.error) == (403, error), credentials
        assert answer.text.startswith(text)
    assert (await boto("missing")).error == "MissingAuthenticationTokenException"
    frontend.audit.flush()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "kubelambda.audit" in line]
    assert [line["error"] for line in lines if line["status"] == 403][: len(refusals)] == [each[1] for each in refusals]
    told = lines[-2]
    assert (told["caller"], told["resource"]) == (
        f"{arn.replace('lambda:us-east-1', 'iam:')}:user/AKIDLIST",
        f"{arn}:function:echo",
    )
    assert told["action"] == "lambda:InvokeFunction"
    assert "the secret" not in json.dumps(lines)


async def test_another_account_needs_the_policy_of_the_function(
    cluster: Cluster, client: KubeClient, boto: Invoke
) -> None:
    """For the unqualified function, or for the alias that the statement names."""
    await write_keys(client, "default", AKIDGUEST="s")
    await cluster.function("shared", ECHO)
    await cluster.frontend(auth=ANY)
    guest = await account_of(client, "default")
    arn = f"arn:aws:lambda:us-east-1:{await account_of(client, cluster.namespace)}:function:shared"
    dry = {"InvocationType": "DryRun"}

    def as_guest(qualifier: str | None = None) -> Awaitable[BotoAnswer]:
        more = {"Qualifier": qualifier} if qualifier else {}
        return boto(arn, parameters=dry | more, key="AKIDGUEST", secret="s")

    async def known() -> bool:
        return (await as_guest()).error == "AccessDeniedException"

    await eventually(known)
    assert (await as_guest()).text == (
        f"User: arn:aws:iam::{guest}:user/AKIDGUEST is not authorized to perform: lambda:InvokeFunction on resource: "
        f"{arn} because no resource-based policy allows the lambda:InvokeFunction action"
    )
    statement = {"statementId": "guest", "action": "lambda:InvokeFunction", "principal": guest}
    await client.patch(FUNCTIONS, "shared", {"spec": {"permissions": [statement]}}, cluster.namespace)
    await let_in(as_guest)
    assert (await as_guest("$LATEST")).status == 204
    assert (await as_guest("live")).error == "AccessDeniedException"
    live = {**statement, "qualifier": "live", "principal": f"arn:aws:iam::{guest}:user/AKIDGUEST"}
    await client.patch(FUNCTIONS, "shared", {"spec": {"permissions": [live]}}, cluster.namespace)

    async def turned() -> bool:
        return (await as_guest()).error == "AccessDeniedException"

    await eventually(turned)
    assert (await as_guest("live")).error == "ResourceNotFoundException"  # let in; there is no such alias


async def test_a_token_invokes_what_kubernetes_lets_it(
    cluster: Cluster, client: KubeClient, control_plane: ControlPlane
) -> None:
    """`create` on `functions/invoke`, by name; who has no such right is told so, and nobody's token is refused."""
    await cluster.function("echo", ECHO)
    await cluster.frontend(auth=AuthSettings(mode="token"))
    space = ("--namespace", cluster.namespace)

    async def kubectl(*arguments: str) -> str:
        return (await asyncio.to_thread(control_plane.kubectl, *arguments, *space)).stdout

    await kubectl("create", "serviceaccount", "caller")
    token = (await kubectl("create", "token", "caller")).strip()
    headers = {"Authorization": f"Bearer {token}", "X-Amz-Invocation-Type": "DryRun"}
    denied = await cluster.invoke("echo", headers=headers)
    account = await account_of(client, cluster.namespace)
    assert denied.status == 403
    assert denied.json["Message"].startswith(f"User: arn:aws:iam::{account}:role/caller is not authorized to perform: ")
    role = ("create", "role", "invoker", "--verb=create", "--resource=functions.kubelambda.dev/invoke")
    await kubectl(*role, "--resource-name=echo")
    await kubectl("create", "rolebinding", "invoker", "--role=invoker", f"--serviceaccount={cluster.namespace}:caller")

    async def allowed() -> bool:
        return (await cluster.invoke("echo", headers=headers)).status == 204

    await eventually(allowed)
    assert (await cluster.invoke("other", headers=headers)).status == 403
    nobody = await cluster.invoke("echo", headers={"Authorization": "Bearer nobody"})
    assert (nobody.status, nobody.headers["x-amzn-ErrorType"]) == (403, "UnrecognizedClientException")
    signed = {"Authorization": "AWS4-HMAC-SHA256 Credential=x"}
    assert (await cluster.invoke("echo", headers=signed)).status == 403


async def test_a_namespace_asks_for_more_than_the_installation(
    cluster: Cluster, client: KubeClient, boto: Invoke
) -> None:
    """Its functions want to know who calls, those of others do not; and the annotation opens nothing by itself."""
    await write_keys(client, cluster.namespace, AKIDNOTED="s")
    await cluster.function("echo", ECHO)
    await cluster.frontend()
    dry = {"InvocationType": "DryRun"}
    assert (await boto("echo", parameters=dry)).status == 204
    assert (await boto("echo", parameters=dry, key="none", secret="none")).status == 204
    annotation = {"metadata": {"annotations": {labels.AUTH_MODE: "any"}}}
    await client.patch(NAMESPACES, cluster.namespace, annotation)

    async def closed() -> bool:
        return (await boto("echo", parameters=dry)).error == "MissingAuthenticationTokenException"

    await eventually(closed)
    assert (await boto("echo", parameters=dry, key="none", secret="none")).error == "UnrecognizedClientException"
    await let_in(lambda: boto("echo", parameters=dry, key="AKIDNOTED", secret="s"))
    await cluster.frontend("127.0.1.9", default_namespace="default")
    unproven = await boto("echo", address="127.0.1.9", parameters=dry, key="AKIDNOTED", secret="wrong")
    assert unproven.error == "InvalidSignatureException"  # and not taken for a nameless caller of the default account
    nameless = await boto("echo", address="127.0.1.9", parameters=dry, key="none", secret="none")
    assert nameless.error == "ResourceNotFoundException"


async def test_our_own_components_invoke_with_their_tokens(cluster: Cluster, client: KubeClient) -> None:
    """Event queue and pollers for themselves; for a service, only what the policy of the function lets it."""
    await cluster.function("echo", ECHO)
    await cluster.frontend(auth=ANY)
    account = await account_of(client, cluster.namespace)

    async def invoke(role: CallerRole, key: bytes, /, **more: str) -> int:
        headers = {CALLER: caller_proof(key, role), "X-Amz-Invocation-Type": "DryRun"}
        headers |= {f"x-kubelambda-{name.replace('_', '-')}": value for name, value in more.items()}
        return (await cluster.invoke("echo", headers=headers)).status

    assert await invoke(CallerRole.EVENTS, KEY) == 204
    assert await invoke(CallerRole.POLLERS, KEY) == 204
    assert await invoke(CallerRole.POLLERS, b"another key") == 403
    bucket = {"principal": "s3.amazonaws.com", "source_arn": "arn:aws:s3:::photos", "source_account": account}
    assert await invoke(CallerRole.EVENTS, KEY, **bucket) == 403
    statement = {
        "statementId": "bucket",
        "action": "lambda:InvokeFunction",
        "principal": "s3.amazonaws.com",
        "sourceArn": "arn:aws:s3:::pho*",
        "sourceAccount": account,
    }
    await client.patch(FUNCTIONS, "echo", {"spec": {"permissions": [statement]}}, cluster.namespace)

    async def allowed() -> bool:
        return await invoke(CallerRole.EVENTS, KEY, **bucket) == 204

    await eventually(allowed)
    assert await invoke(CallerRole.EVENTS, KEY, **bucket | {"source_arn": "arn:aws:s3:::other"}) == 403
    assert await invoke(CallerRole.EVENTS, KEY, **bucket | {"principal": "sns.amazonaws.com"}) == 403


async def test_nobody_chooses_an_account_by_a_header_of_ours(cluster: Cluster, client: KubeClient) -> None:
    """What frontends tell each other counts for nothing from outside."""
    await cluster.function("echo", ECHO)
    await cluster.frontend(default_namespace="default")
    headers = {"x-kubelambda-namespace": cluster.namespace, "X-Amz-Invocation-Type": "DryRun"}
    assert (await cluster.invoke("echo", headers=headers)).status == 404
