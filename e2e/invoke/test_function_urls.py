"""Function URLs as anybody calls them: curl, with the host of the function (§2.5)."""

import os
import subprocess
from pathlib import Path

from installation.account import Account
from installation.kubectl import eventually, kubectl

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def curl(address: str, *arguments: str) -> str:
    """What curl prints of an answer: its body, and its status in a line of its own."""
    host, _, path = address.removeprefix("http://").partition("/")
    command = ["curl", "--silent", "--max-time", "60", "--write-out", "\n%{http_code}", "--header", f"Host: {host}"]
    target = f"{os.environ['ENDPOINT']}/{path}"
    return subprocess.run([*command, *arguments, target], capture_output=True, text=True, check=True).stdout


def test_the_example_answers_curl(account: Account) -> None:
    """`examples/url.yaml`: the address is in the status, and the rules of the URL answer a preflight request."""
    kubectl("--namespace", account.namespace, "apply", "--filename", str(EXAMPLES / "url.yaml"))
    account.wait_ready("site")
    address = account.get("function", "site")["status"]["functionUrl"]
    answer = eventually(lambda: (found := curl(f"{address}?name=you")).endswith("\n200") and found)
    assert answer == "Hello, you\n200"
    preflight = ("--request", "OPTIONS", "--header", "Origin: https://example.com", "--include")
    asked = ("--header", "Access-Control-Request-Method: POST")
    # Frontends hear of an address one after the other.
    eventually(lambda: "Access-Control-Allow-Methods: GET,POST" in curl(address, *preflight, *asked))


def test_an_address_that_the_api_makes_opens_with_its_permissions(account: Account) -> None:
    """Of an alias; boto3 makes it, and lets everybody in by both permissions."""
    function = account.function("api", "def handler(event, context):\n    return context.function_version\n")
    account.client.publish_version(FunctionName=function)
    account.client.create_alias(FunctionName=function, Name="live", FunctionVersion="1")
    made = account.client.create_function_url_config(FunctionName=function, Qualifier="live", AuthType="NONE")
    forbidden = eventually(lambda: "Forbidden. For" in (found := curl(made["FunctionUrl"])) and found)
    assert forbidden.endswith("\n403")
    grants = (
        {"Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "NONE"},
        {"Action": "lambda:InvokeFunction", "InvokedViaFunctionUrl": True},
    )
    for number, grant in enumerate(grants):
        account.client.add_permission(
            FunctionName=function, Qualifier="live", Principal="*", StatementId=f"grant-{number}", **grant
        )
    assert eventually(lambda: curl(made["FunctionUrl"]) == "1\n200")
