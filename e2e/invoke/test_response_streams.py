"""Streamed answers as anybody gets them: the official Node.js client in the function, boto3 and curl outside (§2.4)."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from installation.account import Account
from installation.kubectl import eventually, kubectl

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
PAGE = """
export const handler = awslambda.streamifyResponse(async (event, stream, context) => {
  if (event.requestContext === undefined) {
    stream.write("half");
    throw new Error("half way");
  }
  const metadata = { statusCode: 201, headers: { "content-type": "text/html" }, cookies: ["a=1"] };
  stream = awslambda.HttpResponseStream.from(stream, metadata);
  stream.write("<p>");
  stream.write("</p>");
  stream.end();
});
"""


def curl(address: str, *arguments: str) -> str:
    """What curl prints of an answer."""
    host = address.removeprefix("http://").partition("/")[0]
    command = ["curl", "--silent", "--no-buffer", "--max-time", "60", "--header", f"Host: {host}"]
    target = os.environ["ENDPOINT"]
    return subprocess.run([*command, *arguments, target], capture_output=True, text=True, check=True).stdout


def streamed(account: Account, name: str) -> tuple[bytes, dict[str, Any]]:
    """All that the chunks have, and the members of the end."""
    answer = account.client.invoke_with_response_stream(FunctionName=account.arn(name), Payload=b"{}", LogType="Tail")
    *chunks, end = answer["EventStream"]
    return b"".join(each["PayloadChunk"]["Payload"] for each in chunks), end["InvokeComplete"]


def test_the_example_is_read_as_it_is_written(account: Account) -> None:
    """`examples/streaming.yaml`: boto3 gets events, and curl has the first word before the function has the last."""
    kubectl("--namespace", account.namespace, "apply", "--filename", str(EXAMPLES / "streaming.yaml"))
    account.wait_ready("story")
    payload, end = streamed(account, "story")
    assert payload == b"Once\nupon\na\ntime\n"
    assert set(end) == {"LogResult"}
    address = account.get("function", "story")["status"]["functionUrl"]
    timed = ("--write-out", "%{http_code} %{content_type} %{time_starttransfer} %{time_total}")
    answer = eventually(lambda: (found := curl(address, *timed)).startswith("Once") and found)

    def in_pieces() -> bool:
        """A machine that stands still for a second gets all words at once."""
        words, _, told = curl(address, *timed).rpartition("\n")
        status, content_type, first, last = told.split()
        assert (words, status, content_type) == ("Once\nupon\na\ntime", "200", "text/plain"), answer
        return float(last) - float(first) > 0.1

    eventually(in_pieces)


def test_status_and_errors_of_a_stream(account: Account) -> None:
    """The official client's head of an HTTP answer, and its error in the middle of one."""
    permissions = [
        {"statementId": "url", "action": "lambda:InvokeFunctionUrl", "principal": "*", "functionUrlAuthType": "NONE"},
        {
            "statementId": "function",
            "action": "lambda:InvokeFunction",
            "principal": "*",
            "invokedViaFunctionUrl": True,
        },
    ]
    url = {"authType": "NONE", "invokeMode": "RESPONSE_STREAM"}
    account.function("page", PAGE, runtime="nodejs20.x", url=url, permissions=permissions)
    payload, end = streamed(account, "page")
    assert (payload, end["ErrorCode"]) == (b"half", "Unhandled")
    assert json.loads(end["ErrorDetails"])["errorMessage"] == "half way"
    address = account.get("function", "page")["status"]["functionUrl"]
    answer = eventually(lambda: (found := curl(address, "--include")).endswith("<p></p>") and found)
    assert answer.startswith("HTTP/1.1 201 Created")
    assert "content-type: text/html\n" in answer.replace("\r\n", "\n")
    assert "Set-Cookie: a=1\n" in answer.replace("\r\n", "\n")
