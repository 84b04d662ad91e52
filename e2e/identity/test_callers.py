"""Callers with access keys, with tokens and with neither, on a cluster whose other namespaces ask for nothing."""

import datetime
import io
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import botocore.auth
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from installation.account import Account
from installation.kubectl import eventually, kubectl
from installation.release import RELEASE, SYSTEM_NAMESPACE, platform_pods

ENDPOINT = os.environ.get("ENDPOINT", "")
KEY, SECRET, TOKEN = "AKIDENDTOEND", "a secret of the end-to-end tests", "a/session+token="
GUEST = "AKIDGUESTOFTHEM"
ROLE = "arn:aws:iam::123456789012:role/lambda"
SOURCE = "def handler(event, context):\n    print('handled', event)\n    return [event, context.invoked_function_arn]\n"


def client(key: str, secret: str = SECRET, token: str | None = None) -> Any:
    """A Lambda client as boto3 makes it, that never tries again."""
    return boto3.client(
        "lambda",
        endpoint_url=ENDPOINT,
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token,
        config=Config(retries={"max_attempts": 0}, read_timeout=180),
    )


def refused(call: Callable[[], Any]) -> tuple[str, str]:
    """Name and text of an error that is a 403."""
    with pytest.raises(ClientError) as raised:
        call()
    answer = raised.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 403
    return answer["Error"]["Code"], answer["Error"]["Message"]


def write_keys(namespace: str, **values: Any) -> None:
    """The Secret with the keys of a namespace."""
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
    metadata = {"name": "kubelambda-access-keys", "namespace": namespace}
    manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": texts}
    kubectl("apply", "--filename", "-", stdin=json.dumps(manifest))


@pytest.fixture(scope="module")
def owner(account: Account) -> Account:
    """An account that wants to know who calls, with a function that its own key made by name alone."""
    session = {"SecretAccessKey": SECRET, "SessionToken": TOKEN, "Expiration": "2100-01-01T00:00:00Z"}
    write_keys(account.namespace, **{KEY: SECRET, "ASIAENDTOEND": session})
    kubectl("annotate", "namespace", account.namespace, "kubelambda.dev/auth-mode=any")
    account.client = client(KEY)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as folder:
        folder.writestr("index.py", SOURCE)
    members = {
        "Runtime": "python3.13",
        "Role": ROLE,
        "Handler": "index.handler",
        "Timeout": 30,
        "Code": {"ZipFile": archive.getvalue()},
    }

    def created() -> Any:
        try:
            return account.client.create_function(FunctionName="signed", **members)
        except ClientError as error:  # the key is on its way to the replicas
            raise AssertionError(str(error)) from error

    assert eventually(created)["FunctionArn"] == account.arn("signed")
    account.client.get_waiter("function_active_v2").wait(FunctionName="signed", WaiterConfig={"Delay": 1})
    eventually(lambda: asked_of_whom_they_are(account))
    return account


def asked_of_whom_they_are(account: Account) -> bool:
    """Whether all frontends know keys and mode: each connection leads to one of them, whichever."""
    for _ in range(8):
        if anonymous(account).status != 403:
            return False
        try:
            client(KEY).invoke(FunctionName="signed", InvocationType="DryRun")
        except ClientError:
            return False
    return True


class Answer:
    """Status and body of an unsigned request."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.body = body


def ask(url: str, data: bytes, **headers: str) -> Answer:
    """A POST without boto3."""
    request = urllib.request.Request(url, data=data, headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return Answer(answer.status, answer.read())
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.read())


def anonymous(account: Account, **headers: str) -> Answer:
    """An invocation of the account's function that nobody signed."""
    return ask(f"{ENDPOINT}/2015-03-31/functions/{account.arn('signed')}/invocations", b'"hi"', **headers)


def test_right_keys_of_boto3_and_wrong_ones(owner: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """By name alone, presigned, in a session; and every way to be wrong, on both APIs, in the words of AWS."""
    arn = owner.arn("signed")
    session = client("ASIAENDTOEND", token=TOKEN)
    for caller in (owner.client, session):
        answered = caller.invoke(FunctionName="signed", Payload=b'"x"')
        assert json.loads(answered["Payload"].read()) == ["x", arn]
        assert [each["FunctionName"] for each in caller.list_functions()["Functions"]] == ["signed"]
    presigned = owner.client.generate_presigned_url("invoke", Params={"FunctionName": "signed"}, ExpiresIn=60)
    assert json.loads(ask(presigned, b"").body) == [{}, arn]
    assert ask(presigned, b'{"other": "event"}').status == 403
    wrong = {
        "UnrecognizedClientException": (
            client("AKIDUNKNOWN"),
            "The security token included in the request is invalid.",
        ),
        "InvalidSignatureException": (client(KEY, "another"), "The request signature we calculated does not match"),
    }
    for error, (caller, text) in wrong.items():
        for call in (lambda c=caller: c.invoke(FunctionName=arn), lambda c=caller: c.get_function(FunctionName=arn)):
            found = refused(call)
            assert found[0] == error
            assert found[1].startswith(text)
    now = botocore.auth.get_current_datetime
    monkeypatch.setattr(
        botocore.auth, "get_current_datetime", lambda *a, **k: now(*a, **k) - datetime.timedelta(minutes=9)
    )
    for call in (lambda: owner.client.invoke(FunctionName=arn), lambda: owner.client.get_function(FunctionName=arn)):
        found = refused(call)
        assert found[0] == "InvalidSignatureException"
        assert found[1].startswith("Signature expired: ")
    assert json.loads(anonymous(owner).body)["message"] == "Missing Authentication Token"


def test_the_aws_cli_signs_too(owner: Account, tmp_path: Path) -> None:
    """With the key in its environment; with another secret it says what AWS says."""
    environment = os.environ | {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    output = tmp_path / "output"
    command = ["aws", "lambda", "invoke", "--endpoint-url", ENDPOINT, "--function-name", "signed", "--payload", '"cli"']
    command += [str(output)]
    subprocess.run(command, check=True, capture_output=True, env=environment, timeout=180)
    assert json.loads(output.read_text()) == ["cli", owner.arn("signed")]
    environment["AWS_SECRET_ACCESS_KEY"] = "another"
    failed = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=180)
    assert failed.returncode != 0
    assert "InvalidSignatureException" in failed.stderr


def test_another_account_with_and_without_permission(owner: Account, other_account: Account) -> None:
    """Denied until AddPermission names it, and again after RemovePermission."""
    write_keys(other_account.namespace, **{GUEST: SECRET})
    guest, arn = client(GUEST), owner.arn("signed")

    def denied() -> str:
        error, text = refused(lambda: guest.invoke(FunctionName=arn))
        assert error == "AccessDeniedException", text
        return text

    assert eventually(denied) == (
        f"User: arn:aws:iam::{other_account.account_id}:user/{GUEST} is not authorized to perform: "
        f"lambda:InvokeFunction on resource: {arn} because no resource-based policy allows the "
        "lambda:InvokeFunction action"
    )

    def denied_by_the_control_api() -> bool:
        """Which has the guest's key from a watch of its own."""
        return refused(lambda: guest.delete_function(FunctionName=arn))[0] == "AccessDeniedException"

    eventually(denied_by_the_control_api)
    permission = {"StatementId": "guest", "Action": "lambda:InvokeFunction", "Principal": other_account.account_id}
    owner.client.add_permission(FunctionName="signed", **permission)

    def invited() -> bool:
        try:
            return bool(guest.invoke(FunctionName=arn, Payload=b'"guest"')["StatusCode"] == 200)
        except ClientError:
            return False

    eventually(invited)
    assert refused(lambda: guest.get_function(FunctionName=arn))[0] == "AccessDeniedException"
    owner.client.remove_permission(FunctionName="signed", StatementId="guest")
    eventually(lambda: not invited())


def test_a_token_of_kubectl(owner: Account) -> None:
    """Of a service account that a RoleBinding lets invoke, and of one that has none."""
    space = ("--namespace", owner.namespace)
    for name in ("caller", "stranger"):
        kubectl("create", "serviceaccount", name, *space)
    role = f"--clusterrole={SYSTEM_NAMESPACE}-{RELEASE}-invoker"
    kubectl("create", "rolebinding", "callers", role, f"--serviceaccount={owner.namespace}:caller", *space)
    token, other = (kubectl("create", "token", name, *space).strip() for name in ("caller", "stranger"))

    def invoked() -> bool:
        return json.loads(anonymous(owner, Authorization=f"Bearer {token}").body) == ["hi", owner.arn("signed")]

    eventually(invoked)
    denied = anonymous(owner, Authorization=f"Bearer {other}")
    assert denied.status == 403
    text = json.loads(denied.body)["Message"]
    assert text.startswith(
        f"User: arn:aws:iam::{owner.account_id}:role/stranger is not authorized to perform: lambda:Inv"
    )
    url = f"{ENDPOINT}/2015-03-31/functions"
    assert ask(url, b"{}", Authorization=f"Bearer {token}").status in (400, 403)


def test_events_run_and_everything_is_in_the_audit_log(owner: Account) -> None:
    """What was accepted of a known caller runs without it; frontends and control API say who did what."""
    assert owner.client.invoke(FunctionName="signed", InvocationType="Event", Payload=b'"later"')["StatusCode"] == 202

    def handled() -> bool:
        pods = [pod["metadata"]["name"] for pod in owner.environments("signed")]
        return any("handled later" in kubectl("--namespace", owner.namespace, "logs", pod) for pod in pods)

    eventually(handled)

    def told() -> bool:
        found = set()
        for component in ("frontend", "awsapi"):
            for pod in platform_pods(component):
                lines = kubectl("--namespace", SYSTEM_NAMESPACE, "logs", pod, "--since=30m").splitlines()
                audit = [
                    json.loads(line) for line in lines if '"kubelambda.audit"' in line and owner.account_id in line
                ]
                assert SECRET not in "".join(lines)
                found |= {(line["action"], line["caller"].rpartition("/")[2]) for line in audit if line["status"] < 300}
        return {("lambda:CreateFunction", KEY), ("lambda:InvokeFunction", KEY)} <= found

    eventually(told)


def test_a_key_that_is_taken_away_stops_within_seconds(owner: Account) -> None:
    """Nothing is restarted for it."""
    owner.client.get_function(FunctionName="signed")
    kubectl("--namespace", owner.namespace, "delete", "secret", "kubelambda-access-keys")
    began = time.monotonic()

    def out() -> bool:
        try:
            owner.client.invoke(FunctionName=owner.arn("signed"))
        except ClientError as error:
            return bool(error.response["Error"]["Code"] == "UnrecognizedClientException")
        return False

    eventually(out)
    assert time.monotonic() - began < 60
