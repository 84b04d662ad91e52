"""Who may call the control API: boto3 with access keys, tokens of service accounts, and nobody (DESIGN §10)."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.integration.access_key_secrets import write_keys
from tests.integration.boto_caller import BotoAnswer, BotoCaller
from tests.integration.control_api.control_api import DOMAIN, HELLO, ROLE, Api
from tests.integration.control_plane import SYSTEM_NAMESPACE, ControlPlane
from tests.integration.processes import Component, Installation

from kubelambda.core.account.access_key import SECRET_NAME
from kubelambda.core.account.identity import account_id
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import NAMESPACES, SECRETS

MISMATCH = "The request signature we calculated does not match the signature you provided."
INVALID = "The security token included in the request is invalid."


@dataclass
class Serving:
    """A control API that wants to know who calls."""

    component: Component
    address: str
    call: BotoCaller
    _started: list[Component] = field(default_factory=list)


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory, control_plane: ControlPlane) -> Iterator[Serving]:
    """Mode `any`; boto3 as its caller."""
    folder = tmp_path_factory.mktemp("strict")
    found = Installation(
        folder, control_plane, SYSTEM_NAMESPACE, endpointDomain=DOMAIN, auth={"mode": "any"}, controlApiRates={}
    )
    found.code_store()
    found.operator()
    component, address = found.control_api()
    call = BotoCaller(address)
    yield Serving(component, address, call)
    call.close()
    found.stop()


def eventually(call: Callable[[], BotoAnswer], holds: Callable[[BotoAnswer], bool]) -> BotoAnswer:
    """The first answer that `holds`: a watch brings keys within moments."""
    deadline = time.monotonic() + 90
    while True:
        found = call()
        if holds(found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def hello(name: str) -> dict[str, Any]:
    """Parameters of CreateFunction."""
    return {
        "FunctionName": name,
        "Runtime": "python3.13",
        "Role": ROLE,
        "Handler": "index.handler",
        "Code": {"ZipFile": HELLO.hex()},
    }


async def account_of(client: KubeClient, namespace: str) -> str:
    """The id of an account."""
    return account_id((await client.get(NAMESPACES, namespace))["metadata"]["uid"])


async def test_an_access_key_is_its_namespace(strict: Serving, client: KubeClient, namespace: str) -> None:
    """What boto3 makes with a key is in the key's account, and is listed there."""
    await write_keys(client, namespace, AKIDONE="the secret")
    call = strict.call
    created = eventually(lambda: call("create_function", hello("f"), key="AKIDONE", secret="the secret"), good)
    account = await account_of(client, namespace)
    assert created.members["FunctionArn"] == f"arn:aws:lambda:us-east-1:{account}:function:f"
    listed = call("list_functions", key="AKIDONE", secret="the secret")
    assert [each["FunctionName"] for each in listed.members["Functions"]] == ["f"]
    presigned = call("get_function", {"FunctionName": "f"}, key="AKIDONE", secret="the secret", presigned="GET")
    assert presigned.members["Configuration"]["FunctionName"] == "f"
    scaling = {"ServiceNamespace": "lambda"}
    service = "application-autoscaling"
    described = call("describe_scalable_targets", scaling, key="AKIDONE", secret="the secret", service=service)
    assert described.status == 200


def good(answer: BotoAnswer) -> bool:
    """A success."""
    return answer.status < 300


async def test_whoever_proves_nothing_is_refused_in_the_words_of_aws(
    strict: Serving, client: KubeClient, namespace: str
) -> None:
    """No credentials, an unknown key, a wrong secret, a clock that is wrong, another region, another service's key."""
    await write_keys(client, namespace, AKIDKNOWN="the secret")
    call = strict.call
    eventually(lambda: call("list_functions", key="AKIDKNOWN", secret="the secret"), good)
    refusals = {
        "nothing": (call("list_functions"), "MissingAuthenticationTokenException", "Missing Authentication Token"),
        "unknown": (call("list_functions", key="AKIDTWO", secret="x"), "UnrecognizedClientException", INVALID),
        "secret": (call("list_functions", key="AKIDKNOWN", secret="other"), "InvalidSignatureException", MISMATCH),
        "late": (
            call("list_functions", key="AKIDKNOWN", secret="the secret", skew=-400),
            "InvalidSignatureException",
            "Signature expired: ",
        ),
        "early": (
            call("list_functions", key="AKIDKNOWN", secret="the secret", skew=400),
            "InvalidSignatureException",
            "Signature not yet current: ",
        ),
        "region": (
            call("list_functions", key="AKIDKNOWN", secret="the secret", region="eu-west-1"),
            "InvalidSignatureException",
            "Credential should be scoped to a valid region, not 'eu-west-1'. ",
        ),
        "session": (
            call("list_functions", key="AKIDKNOWN", secret="the secret", token="none was given"),
            "UnrecognizedClientException",
            INVALID,
        ),
        "presigned": (
            call("list_functions", key="AKIDKNOWN", secret="other", presigned="GET"),
            "InvalidSignatureException",
            MISMATCH,
        ),
        "code": (
            call("create_function", hello("g"), key="AKIDKNOWN", secret="other"),
            "InvalidSignatureException",
            MISMATCH,
        ),
    }
    for name, (answer, error, text) in refusals.items():
        assert (name, answer.status, answer.error) == (name, 403, error)
        assert answer.text.startswith(text)
    half = Api(strict.address, namespace, "").call("GET", "/2015-03-31/functions", authorization="AWS4-HMAC-SHA256 x=y")
    assert (half.status, half.error) == (403, "IncompleteSignatureException")
    scaling = {"ServiceNamespace": "lambda"}
    answer = call("describe_scalable_targets", scaling, key="AKIDTWO", secret="x", service="application-autoscaling")
    assert (answer.status, answer.error) == (400, "UnrecognizedClientException")
    log = strict.component.log.read_text()
    assert "the secret" not in log


async def test_keys_are_rotated_and_taken_away_without_a_restart(
    strict: Serving, client: KubeClient, namespace: str
) -> None:
    """A second key beside the first, another secret for it, and none: each counts within moments."""
    call = strict.call
    await write_keys(client, namespace, AKIDOLD="old")
    eventually(lambda: call("list_functions", key="AKIDOLD", secret="old"), good)
    await write_keys(client, namespace, AKIDOLD="old", AKIDNEW="new")
    eventually(lambda: call("list_functions", key="AKIDNEW", secret="new"), good)
    assert good(call("list_functions", key="AKIDOLD", secret="old"))
    await write_keys(client, namespace, AKIDNEW="newer")
    gone = eventually(lambda: call("list_functions", key="AKIDOLD", secret="old"), lambda found: not good(found))
    assert gone.error == "UnrecognizedClientException"
    assert call("list_functions", key="AKIDNEW", secret="new").error == "InvalidSignatureException"
    assert good(call("list_functions", key="AKIDNEW", secret="newer"))
    began = time.monotonic()
    await client.delete(SECRETS, SECRET_NAME, namespace)
    eventually(lambda: call("list_functions", key="AKIDNEW", secret="newer"), lambda found: not good(found))
    assert time.monotonic() - began < 60


async def test_temporary_and_limited_keys(strict: Serving, client: KubeClient, namespace: str) -> None:
    """A session token, an expiration, a status, and actions that a key is not made for."""
    session = {"SecretAccessKey": "s", "SessionToken": "the/token+=", "Expiration": "2100-01-01T00:00:00Z"}
    await write_keys(
        client,
        namespace,
        AKIDSESSION=session,
        AKIDPAST=session | {"Expiration": "2020-01-01T00:00:00+00:00"},
        AKIDINACTIVE={"SecretAccessKey": "s", "Status": "Inactive"},
        AKIDREADER={"SecretAccessKey": "s", "UserName": "reader", "Actions": ["lambda:Get*", "lambda:List*"]},
        AKIDWRONG={"SecretAccessKey": "s", "Policy": "?"},
    )
    call = strict.call
    eventually(lambda: call("list_functions", key="AKIDSESSION", secret="s", token="the/token+="), good)
    assert good(call("list_functions", key="AKIDSESSION", secret="s", token="the/token+=", presigned="GET"))
    assert call("list_functions", key="AKIDSESSION", secret="s").error == "UnrecognizedClientException"
    past = call("list_functions", key="AKIDPAST", secret="s", token="the/token+=")
    assert (past.error, past.text) == ("ExpiredTokenException", "The security token included in the request is expired")
    for key in ("AKIDINACTIVE", "AKIDWRONG"):
        assert call("list_functions", key=key, secret="s").error == "UnrecognizedClientException"
    assert good(call("list_functions", key="AKIDREADER", secret="s"))
    denied = call("create_function", hello("f"), key="AKIDREADER", secret="s")
    account = await account_of(client, namespace)
    assert (denied.status, denied.error) == (403, "AccessDeniedException")
    assert denied.text == (
        f"User: arn:aws:iam::{account}:user/reader is not authorized to perform: lambda:CreateFunction on resource: "
        f"arn:aws:lambda:us-east-1:{account}:function:f because no identity-based policy allows the "
        "lambda:CreateFunction action"
    )
    assert (
        "AKIDWRONG is no access key: it has members that no access key has: Policy" in strict.component.log.read_text()
    )


async def test_another_account_needs_the_policy_of_the_function(
    strict: Serving, client: KubeClient, namespace: str
) -> None:
    """Denied in AWS's words, allowed once AddPermission names the account, and for that action alone."""
    await write_keys(client, namespace, AKIDOWNER="s")
    await write_keys(client, "default", AKIDGUEST="s")
    call = strict.call
    eventually(lambda: call("create_function", hello("shared"), key="AKIDOWNER", secret="s"), good)
    owner, guest = await account_of(client, namespace), await account_of(client, "default")
    arn = f"arn:aws:lambda:us-east-1:{owner}:function:shared"
    denied = eventually(
        lambda: call("get_function", {"FunctionName": arn}, key="AKIDGUEST", secret="s"),
        lambda found: found.error == "AccessDeniedException",
    )
    assert denied.text == (
        f"User: arn:aws:iam::{guest}:user/AKIDGUEST is not authorized to perform: lambda:GetFunction on resource: "
        f"{arn} because no resource-based policy allows the lambda:GetFunction action"
    )
    permission = {
        "FunctionName": "shared",
        "StatementId": "guest",
        "Action": "lambda:GetFunction",
        "Principal": guest,
    }
    assert call("add_permission", permission, key="AKIDOWNER", secret="s").status == 201
    found = call("get_function", {"FunctionName": arn}, key="AKIDGUEST", secret="s")
    assert found.members["Configuration"]["FunctionArn"] == arn
    for operation in ("delete_function", "get_function_configuration"):
        refused = call(operation, {"FunctionName": arn}, key="AKIDGUEST", secret="s")
        assert refused.error == "AccessDeniedException"
    absent = call("get_function", {"FunctionName": f"{arn}-not"}, key="AKIDGUEST", secret="s")
    assert absent.error == "AccessDeniedException"  # whether there is one is none of its business


async def test_another_account_needs_the_policy_of_the_layer_version(
    strict: Serving, client: KubeClient, namespace: str, other_namespace: str
) -> None:
    """Denied in AWS's words, allowed once AddLayerVersionPermission names the account, to keys that may read."""
    await write_keys(client, namespace, AKIDLAYERS="s")
    limited = {"SecretAccessKey": "s", "Actions": ["lambda:ListLayers"]}
    await write_keys(client, other_namespace, AKIDREADS="s", AKIDLISTS=limited)
    call = strict.call
    published = {"LayerName": "shared", "Content": {"ZipFile": HELLO.hex()}}
    arn = eventually(lambda: call("publish_layer_version", published, key="AKIDLAYERS", secret="s"), good).members[
        "LayerVersionArn"
    ]
    guest = await account_of(client, other_namespace)
    wanted = {"Arn": arn}
    denied = eventually(
        lambda: call("get_layer_version_by_arn", wanted, key="AKIDREADS", secret="s"),
        lambda found: found.error == "AccessDeniedException",
    )
    assert denied.text == (
        f"User: arn:aws:iam::{guest}:user/AKIDREADS is not authorized to perform: lambda:GetLayerVersion on resource: "
        f"{arn} because no resource-based policy allows the lambda:GetLayerVersion action"
    )
    created = {**hello("user"), "Layers": [arn]}
    assert call("create_function", created, key="AKIDREADS", secret="s").text == denied.text
    permission = {
        "LayerName": "shared",
        "VersionNumber": 1,
        "StatementId": "guest",
        "Action": "lambda:GetLayerVersion",
        "Principal": guest,
    }
    assert call("add_layer_version_permission", permission, key="AKIDLAYERS", secret="s").status == 201
    found = call("get_layer_version_by_arn", wanted, key="AKIDREADS", secret="s")
    assert found.members["LayerVersionArn"] == arn
    named = {"LayerName": arn.removesuffix(":1"), "VersionNumber": 1}
    assert call("get_layer_version", named, key="AKIDREADS", secret="s").members["LayerVersionArn"] == arn
    limited_denied = eventually(
        lambda: call("get_layer_version", named, key="AKIDLISTS", secret="s"),
        lambda found: found.error == "AccessDeniedException",
    )
    assert "no identity-based policy allows the lambda:GetLayerVersion action" in limited_denied.text
    assert call("delete_layer_version", named, key="AKIDREADS", secret="s").error == "AccessDeniedException"
    assert call("create_function", created, key="AKIDREADS", secret="s").status == 201


async def test_a_bearer_token_has_the_rights_of_its_service_account(
    strict: Serving, control_plane: ControlPlane, client: KubeClient, namespace: str
) -> None:
    """Kubernetes says whose it is and what it may: read, after a Role says so, and not write."""
    control_plane.kubectl("create", "serviceaccount", "reader", "--namespace", namespace)
    token = control_plane.kubectl("create", "token", "reader", "--namespace", namespace).stdout.strip()
    api = Api(strict.address, "default", "")

    def listed() -> Any:
        return api.call("GET", "/2015-03-31/functions", authorization=f"Bearer {token}")

    account = await account_of(client, namespace)
    refusal = f"User: arn:aws:iam::{account}:role/reader is not authorized to perform: lambda:ListF"
    deadline = time.monotonic() + 90
    while not (denied := listed()).text.startswith(refusal):  # it may not have heard of the namespace yet
        assert time.monotonic() < deadline, denied
        await asyncio.sleep(0.2)
    assert (denied.status, denied.error) == (403, "AccessDeniedException")
    role = ["create", "role", "reader", "--verb=get,list", "--resource=functions.kubelambda.dev"]
    control_plane.kubectl(*role, "--namespace", namespace)
    binding = ["create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={namespace}:reader"]
    control_plane.kubectl(*binding, "--namespace", namespace)
    deadline = time.monotonic() + 90
    while listed().status != 200:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)
    written = api.call("POST", "/2015-03-31/functions", {"FunctionName": "f"}, authorization=f"Bearer {token}")
    assert written.status in (400, 403)
    deleted = api.call("DELETE", "/2015-03-31/functions/f", authorization=f"Bearer {token}")
    assert deleted.error == "AccessDeniedException"
    nobody = api.call("GET", "/2015-03-31/functions", authorization="Bearer nobody's")
    assert (nobody.status, nobody.error) == (403, "UnrecognizedClientException")
    assert token not in strict.component.log.read_text()


async def test_every_call_leaves_one_line_of_audit(strict: Serving, client: KubeClient, namespace: str) -> None:
    """Who, what, which object, what came of it."""
    await write_keys(client, namespace, AKIDAUDIT="s")
    call = strict.call
    eventually(lambda: call("list_functions", key="AKIDAUDIT", secret="s"), good)
    call("get_function", {"FunctionName": "missing"}, key="AKIDAUDIT", secret="s")
    account = await account_of(client, namespace)
    deadline = time.monotonic() + 90
    while True:
        lines = [
            json.loads(line) for line in strict.component.log.read_text().splitlines() if '"kubelambda.audit"' in line
        ]
        found = [line for line in lines if line["caller"].endswith("AKIDAUDIT") and line["status"] == 404]
        if found:
            break
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    assert len(found) == 1
    assert found[0]["caller"] == f"arn:aws:iam::{account}:user/AKIDAUDIT"
    assert found[0]["action"] == "lambda:GetFunction"
    assert found[0]["resource"] == f"arn:aws:lambda:us-east-1:{account}:function:missing"
    assert found[0]["error"] == "ResourceNotFoundException"
