"""Invoke as Lambda's callers know it: boto3 and the aws cli against a function on a real cluster (§2)."""

import base64
import json
import os
import re
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from installation.account import Account

HELLO = """
import time
state = {"invocations": 0}

def handler(event, context):
    state["invocations"] += 1
    print("invocation", state["invocations"])
    if event.get("raise"):
        raise ValueError(event["raise"])
    if event.get("sleep"):
        time.sleep(event["sleep"])
    return {"event": event, "id": context.aws_request_id, "arn": context.invoked_function_arn,
            "name": context.function_name, "version": context.function_version, "memory": context.memory_limit_in_mb,
            "log_group": context.log_group_name, "log_stream": context.log_stream_name,
            "remaining": context.get_remaining_time_in_millis()}
"""


@pytest.fixture(scope="module")
def hello(account: Account) -> str:
    """The function under test."""
    account.function("hello", HELLO, timeout=10)
    return "hello"


def post(path: str, body: bytes = b"{}", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """One raw request, for what boto3 refuses to send."""
    request = urllib.request.Request(os.environ["ENDPOINT"] + path, data=body, method="POST", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, dict(response.headers), response.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def test_boto3_gets_the_handlers_result_and_lambdas_headers(account: Account, hello: str) -> None:
    """A synchronous invocation answers 200 with the result, the executed version and the request id."""
    answer = account.invoke(hello, {"name": "you"})
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert answer["StatusCode"] == 200
    assert answer["ExecutedVersion"] == "$LATEST"
    assert "FunctionError" not in answer
    assert answer["Payload"]["event"] == {"name": "you"}
    assert answer["Payload"]["id"] == headers["x-amzn-requestid"]


def test_the_context_says_what_lambda_says(account: Account, hello: str) -> None:
    """Name, version, memory, log group and remaining time reach the handler."""
    payload = account.invoke(hello, {})["Payload"]
    assert payload["arn"] == account.arn(hello)
    assert (payload["name"], payload["version"], payload["memory"]) == ("hello", "$LATEST", "256")
    assert payload["log_group"] == "/aws/lambda/hello"
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", payload["log_stream"])
    assert 0 < payload["remaining"] <= 10_000


def test_log_type_tail_returns_start_end_and_report_of_this_request(account: Account, hello: str) -> None:
    """The tail ends with the REPORT line, and every line carries the same request id."""
    answer = account.invoke(hello, {}, LogType="Tail")
    request_id = answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"]
    log = base64.b64decode(answer["LogResult"]).decode()
    lines = log.splitlines()
    assert f"START RequestId: {request_id} Version: $LATEST" in lines
    assert any(line.startswith("invocation ") for line in lines)
    assert f"END RequestId: {request_id}" in lines
    durations = r"\tDuration: [\d.]+ ms\tBilled Duration: \d+ ms"
    report = rf"REPORT RequestId: {request_id}{durations}\tMemory Size: 256 MB\tMax Memory Used: \d+ MB\t"
    assert re.match(report, lines[-1]), log


def test_an_exception_is_a_function_error_with_status_200(account: Account, hello: str) -> None:
    """The runtime's own JSON reaches the caller, and the environment stays warm."""

    def stays_warm() -> None:
        before = account.invoke(hello, {})["Payload"]["log_stream"]
        answer = account.invoke(hello, {"raise": "no"})
        assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
        assert answer["Payload"]["errorType"] == "ValueError"
        assert answer["Payload"]["errorMessage"] == "no"
        assert answer["Payload"]["stackTrace"]
        assert account.invoke(hello, {})["Payload"]["log_stream"] == before

    account.in_one_environment(hello, stays_warm)


def test_a_timeout_is_reported_with_two_decimals(account: Account, hello: str) -> None:
    """The handler is stopped at the configured timeout and the next invocation works."""
    answer = account.invoke(hello, {"sleep": 30})
    request_id = answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"]
    assert answer["FunctionError"] == "Unhandled"
    assert answer["Payload"] == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": f"RequestId: {request_id} Error: Task timed out after 10.00 seconds",
    }
    assert account.invoke(hello, {"after": 1})["Payload"]["event"] == {"after": 1}


def test_dry_run_checks_without_running(account: Account, hello: str) -> None:
    """DryRun answers 204 with no body."""
    answer = account.client.invoke(FunctionName=account.arn(hello), InvocationType="DryRun")
    assert answer["StatusCode"] == 204
    assert answer["Payload"].read() == b""


def test_a_missing_function_is_a_404_with_its_arn(account: Account) -> None:
    """The text names the ARN with $LATEST."""
    with pytest.raises(account.client.exceptions.ResourceNotFoundException) as raised:
        account.invoke("absent")
    assert raised.value.response["Error"]["Message"] == f"Function not found: {account.arn('absent')}:$LATEST"


def test_a_missing_qualifier_is_a_404(account: Account, hello: str) -> None:
    """Only $LATEST exists until versions do."""
    assert account.invoke(hello, {}, Qualifier="$LATEST")["ExecutedVersion"] == "$LATEST"
    with pytest.raises(account.client.exceptions.ResourceNotFoundException):
        account.invoke(hello, {}, Qualifier="7")


def test_conflicting_qualifiers_are_refused(account: Account, hello: str) -> None:
    """A qualifier in the name and another one beside it."""
    with pytest.raises(account.client.exceptions.InvalidParameterValueException, match="derived qualifier"):
        account.client.invoke(FunctionName=f"{account.arn(hello)}:$LATEST", Qualifier="7")


@pytest.mark.parametrize("form", ["{arn}", "{account}:function:hello", "{arn}:$LATEST"])
def test_every_form_of_the_name_reaches_the_function(account: Account, hello: str, form: str) -> None:
    """Full ARN, partial ARN, and qualified ARN."""
    name = form.format(arn=account.arn(hello), account=account.account_id)
    assert account.client.invoke(FunctionName=name, Payload=b"{}")["StatusCode"] == 200


def test_invalid_json_is_refused(account: Account, hello: str) -> None:
    """The event must be JSON."""
    with pytest.raises(account.client.exceptions.InvalidRequestContentException, match="Could not parse"):
        account.client.invoke(FunctionName=account.arn(hello), Payload=b"{not json")


def test_an_empty_body_is_an_empty_event(account: Account, hello: str) -> None:
    """No payload at all."""
    answer = account.client.invoke(FunctionName=account.arn(hello))
    assert json.loads(answer["Payload"].read())["event"] == {}


def test_six_megabytes_pass_and_more_is_a_413(account: Account, hello: str) -> None:
    """The limit on a synchronous request is 6,291,456 bytes."""
    path = f"/2015-03-31/functions/{account.arn(hello)}/invocations"
    limit = 6_291_456
    status, _, _ = post(path, b'"' + b"x" * (limit - 2) + b'"')
    assert status == 200
    status, headers, body = post(path, b'"' + b"x" * (limit - 1) + b'"')
    assert status == 413
    assert headers["x-amzn-ErrorType"].startswith("RequestTooLargeException")
    assert str(limit) in json.loads(body)["message"]


def test_an_unknown_path_is_not_the_invoke_api() -> None:
    """Nothing else is served on the port."""
    status, headers, _ = post("/2015-03-31/nothing")
    assert 400 <= status < 500
    assert "x-amzn-RequestId" in headers or "x-amzn-requestid" in headers


def test_the_aws_cli_invokes(account: Account, hello: str, tmp_path: Path) -> None:
    """The command line tool, unmodified."""
    out = tmp_path / "answer.json"
    command = [
        "aws",
        "lambda",
        "invoke",
        "--endpoint-url",
        os.environ["ENDPOINT"],
        "--function-name",
        account.arn(hello),
    ]
    finished = subprocess.run(
        [*command, "--payload", '{"from": "cli"}', "--output", "json", str(out)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(finished.stdout)["StatusCode"] == 200
    assert json.loads(out.read_text())["event"] == {"from": "cli"}


def test_the_same_name_in_two_namespaces_never_meets(account: Account, hello: str, other_account: Account) -> None:
    """Accounts are namespaces."""
    other_account.function("hello", "def handler(event, context):\n    return 'the other one'")
    assert other_account.invoke("hello")["Payload"] == "the other one"
    assert account.invoke(hello, {"mine": True})["Payload"]["event"] == {"mine": True}


def test_logs_of_an_environment_are_its_pods_logs(account: Account, hello: str) -> None:
    """kubectl logs shows START, the handler's lines, END and REPORT."""
    from installation.kubectl import eventually, kubectl

    request_id = account.invoke(hello, {})["Payload"]["id"]

    def logged() -> bool:
        pods = account.environments(hello)
        logs = "".join(kubectl("--namespace", account.namespace, "logs", pod["metadata"]["name"]) for pod in pods)
        return f"START RequestId: {request_id}" in logs and f"REPORT RequestId: {request_id}" in logs

    eventually(logged)


def test_client_context_reaches_the_handler(account: Account) -> None:
    """Custom client context, base64 on the wire, decoded for the handler."""
    code = "def handler(event, context):\n    return context.client_context.custom"
    account.function("client-context", code)
    context: Any = base64.b64encode(json.dumps({"custom": {"k": "v"}}).encode()).decode()
    assert account.invoke("client-context", {}, ClientContext=context)["Payload"] == {"k": "v"}
