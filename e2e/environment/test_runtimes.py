"""Every runtime of the release with its official client, and the ways in which a process can end (§3)."""

import base64
import io
import json
import re
import runpy
import zipfile
from pathlib import Path
from typing import Any

import pytest

from installation.account import Account
from installation.kubectl import eventually, kubectl

PROBES = Path(__file__).parent.parent.parent / "tests" / "behaviour" / "agent" / "prestart_probes.py"
EXAMPLES = Path(__file__).parent.parent.parent / "examples"

PROCESS = """
import os, sys, time, pathlib
loaded = time.time()
marker = pathlib.Path("/tmp/marker")

def handler(event, context):
    action = event.get("action")
    if action == "exit":
        os._exit(event["code"])
    if action == "write":
        marker.write_text("kept")
    if action == "allocate":
        block = bytearray(event["mb"] * 1024 * 1024)
        for index in range(0, len(block), 4096):
            block[index] = 1
    if action == "print":
        line = "x" * 1023
        for _ in range(event["kb"]):
            print(line)
    return {"loaded": loaded, "marker": marker.read_text() if marker.exists() else None}
"""


@pytest.fixture(scope="module")
def process(account: Account) -> str:
    """A function whose process can be made to end."""
    account.function("process", PROCESS, memorySize=256, timeout=60)
    return "process"


@pytest.mark.parametrize(
    ("example", "name", "expected"),
    [
        ("hello.yaml", "hello", {"hello": "you"}),
        ("node.yaml", "hello-node", {"hello": "you"}),
        ("shell.yaml", "hello-shell", {"echo": {"name": "you"}}),
    ],
)
def test_the_examples_run(account: Account, example: str, name: str, expected: Any) -> None:
    """Python, Node.js and a shell bootstrap, each through its own Runtime API client."""
    kubectl("--namespace", account.namespace, "apply", "--filename", str(EXAMPLES / example))
    account.wait_ready(name)
    for _ in range(3):
        answer = account.invoke(name, {"name": "you"}, LogType="Tail")
        assert answer["Payload"] == expected
        request_id = answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"]
        assert f"invoked as {request_id}" in base64.b64decode(answer["LogResult"]).decode()


@pytest.mark.parametrize(
    "code",
    [
        "exports.handler = async (event) => ({ hello: event.name });",
        "import os from 'node:os'; export const handler = async (event) => ({ hello: event.name });",
    ],
    ids=["CommonJS", "ES module"],
)
def test_inline_node_code_may_be_of_either_kind(account: Account, code: str) -> None:
    """It is saved as index.js, which may be both."""
    account.function("node-kind", runtime="nodejs20.x", code={"inline": code})
    assert account.invoke("node-kind", {"name": "you"})["Payload"] == {"hello": "you"}


def test_the_shell_of_provided_is_bash(account: Account) -> None:
    """Bootstraps for Amazon Linux begin with #!/bin/sh and use what only bash has."""
    bootstrap = """#!/bin/sh
set -euo pipefail
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
words=(one two)
while [[ -n "$api" ]]; do
  curl -sS -D /tmp/headers "$api/next" > /dev/null
  id=$(grep -i '^lambda-runtime-aws-request-id:' /tmp/headers | tr -d '[:space:]' | cut -d: -f2)
  curl -sS -o /dev/null -d "\\"${words[1]}\\"" "$api/$id/response"
done
"""
    account.function("bash", runtime="provided.al2023", code={"inline": bootstrap})
    assert account.invoke("bash", {})["Payload"] == "two"


def test_a_pre_started_process_is_as_a_new_one(account: Account) -> None:
    """The table of probes, in the real image: in the process that the pool had ready, and in the one after its end."""
    probes = runpy.run_path(str(PROBES))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as folder:
        for name, text in probes["package"](probes["NAMES"]).items():
            folder.writestr(name, text)
    code = {"zipFile": base64.b64encode(archive.getvalue()).decode()}
    account.function("probes", code=code, timeout=60, environment={"variables": {"TZ": "Asia/Tokyo"}})
    seen = []
    for _ in range(2):
        seen.append(account.invoke("probes", {})["Payload"])
        account.invoke("probes", "end")
    prestarted, new = seen
    assert probes["differences"](prestarted, new) == []
    assert new["time zone"][0] == ["JST", "JST"]
    assert new["sys.path"][:4] == [
        "/var/task",
        "/opt/python/lib/python3.13/site-packages",
        "/opt/python",
        "/var/runtime",
    ]
    assert new["argv"] == [["/var/runtime/bootstrap.py"], ["/var/lang/bin/python3.13", "/var/runtime/bootstrap.py"]]
    assert new["locale"][0].startswith("LC_CTYPE=en_US.UTF-8;")


@pytest.mark.parametrize("runtime", ["python3.13", "nodejs20.x"])
def test_managed_runtimes_can_be_started_as_in_lambdas_images(account: Account, runtime: str) -> None:
    """/lambda-entrypoint.sh is there, and says what is missing outside an environment."""
    codes = {
        "python3.13": "import subprocess\ndef handler(event, context):\n"
        "    return subprocess.run(['/lambda-entrypoint.sh'], capture_output=True).returncode",
        "nodejs20.x": "const { spawnSync } = require('node:child_process');\n"
        "exports.handler = async () => spawnSync('/lambda-entrypoint.sh').status;",
    }
    account.function("entrypoint", runtime=runtime, code={"inline": codes[runtime]})
    assert account.invoke("entrypoint", {})["Payload"] == 142


@pytest.mark.parametrize("runtime", ["python3.13", "nodejs20.x"])
def test_each_invocation_has_a_trace_header_of_its_own_and_init_has_none(account: Account, runtime: str) -> None:
    """Nobody sent one."""
    codes = {
        "python3.13": "import os\nNAME = '_X_AMZN_TRACE_ID'\nAT_INIT = os.environ.get(NAME, '')\n"
        "def handler(event, context):\n    return [AT_INIT, os.environ.get(NAME, '')]",
        "nodejs20.x": "const name = '_X_AMZN_TRACE_ID', atInit = process.env[name] ?? '';\n"
        "exports.handler = async () => [atInit, process.env[name] ?? ''];",
    }
    account.function("traced", runtime=runtime, code={"inline": codes[runtime]})
    (first_init, first), (second_init, second) = (account.invoke("traced", {})["Payload"] for _ in range(2))
    assert (first_init, second_init) == ("", "")
    assert first != second
    for trace in (first, second):
        assert re.match("Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=[01]", trace)


def test_a_wrapper_starts_the_node_runtime(account: Account) -> None:
    """What it exports is in the process environment, and it gets the command as its arguments."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as folder:
        folder.writestr("index.js", "exports.handler = async () => process.env.WRAPPED;")
        entry = zipfile.ZipInfo("wrapper")
        entry.external_attr = 0o755 << 16
        folder.writestr(entry, '#!/bin/bash\nexport WRAPPED="$1"\nexec "$@"\n')
    code = {"zipFile": base64.b64encode(archive.getvalue()).decode()}
    variables = {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrapper"}
    account.function("wrapped", runtime="nodejs20.x", code=code, environment={"variables": variables})
    assert account.invoke("wrapped", {})["Payload"] == "/usr/bin/node"


def test_a_node_exception_is_a_function_error(account: Account) -> None:
    """The shape of an error of the Node.js client."""
    code = {"inline": "export const handler = async () => { throw new TypeError('no'); };"}
    account.function("node-raise", runtime="nodejs20.x", code=code)
    answer = account.invoke("node-raise", {})
    assert answer["FunctionError"] == "Unhandled"
    assert (answer["Payload"]["errorType"], answer["Payload"]["errorMessage"]) == ("TypeError", "no")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (3, "Runtime exited with error: exit status 3"),
        (0, "Runtime exited without providing a reason"),
    ],
)
def test_an_exit_of_the_process_is_reported_and_the_next_invocation_works(
    account: Account, process: str, code: int, message: str
) -> None:
    """The environment is reset: /tmp is kept, the module is loaded again."""

    def is_reset() -> None:
        before = account.invoke(process, {"action": "write"})["Payload"]
        answer = account.invoke(process, {"action": "exit", "code": code})
        request_id = answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"]
        assert answer["FunctionError"] == "Unhandled"
        assert answer["Payload"] == {
            "errorType": "Runtime.ExitError",
            "errorMessage": f"RequestId: {request_id} Error: {message}",
        }
        after = account.invoke(process, {})["Payload"]
        assert after["marker"] == "kept"
        assert after["loaded"] > before["loaded"]

    account.in_one_environment(process, is_reset)


def has_its_size(pod: Any) -> bool:
    """Whether an environment has its function's limits: the kubelet needs a moment to give them to a pool pod."""
    (wanted,) = pod["spec"]["containers"]
    (given,) = pod["status"]["containerStatuses"]
    of_the_function = wanted["resources"]["limits"]["cpu"] == "145m"  # and not of the pool any more
    return bool(of_the_function and given["resources"]["limits"] == wanted["resources"]["limits"])


def test_allocating_past_the_memory_size_is_an_out_of_memory_kill(account: Account, process: str) -> None:
    """The process is killed, the caller hears of it, and the function goes on."""
    account.invoke(process, {})

    def sized() -> bool:
        """Whichever gets the call: one that is slow to say how it is gets none, and another one starts."""
        environments = account.environments(process)
        return bool(environments) and all(has_its_size(pod) for pod in environments)

    eventually(sized)
    answer = account.invoke(process, {"action": "allocate", "mb": 900})
    assert answer["FunctionError"] == "Unhandled"
    assert answer["Payload"]["errorType"] == "Runtime.ExitError"
    assert answer["Payload"]["errorMessage"].endswith("Runtime exited with error: signal: killed")
    assert account.invoke(process, {})["StatusCode"] == 200


def test_ten_megabytes_of_output_do_not_disturb_the_invocation(account: Account, process: str) -> None:
    """The tail is the last 4 KB, and it ends with the REPORT line."""
    answer = account.invoke(process, {"action": "print", "kb": 10_240}, LogType="Tail")
    assert "FunctionError" not in answer
    tail = base64.b64decode(answer["LogResult"])
    assert len(tail) == 4096
    assert b"REPORT RequestId: " in tail.splitlines()[-1]


def test_an_exception_at_import_reaches_the_first_caller(account: Account) -> None:
    """The init error is the answer of the first invocation."""
    account.function("init-raise", "raise RuntimeError('broken module')\ndef handler(event, context): pass")
    answer = account.invoke("init-raise", {})
    assert answer["FunctionError"] == "Unhandled"
    assert answer["Payload"]["errorMessage"] == "broken module"


def test_a_slow_initialization_is_repeated_inside_the_first_invocation(account: Account) -> None:
    """12 s of INIT exceed its 10 s, and succeed under the function's own 30 s."""
    account.function(
        "init-slow", "import time\ntime.sleep(12)\ndef handler(event, context):\n    return 'ready'", timeout=30
    )
    assert account.invoke("init-slow", {})["Payload"] == "ready"


def test_a_missing_bootstrap_is_an_invalid_entrypoint(account: Account) -> None:
    """A provided runtime without the executable it looks for."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as folder:
        folder.writestr("readme.txt", "no bootstrap here")
    code = {"zipFile": base64.b64encode(archive.getvalue()).decode()}
    account.function("no-bootstrap", runtime="provided.al2023", code=code)
    answer = account.invoke("no-bootstrap", {})
    assert answer["FunctionError"] == "Unhandled"
    assert answer["Payload"]["errorType"] == "Runtime.InvalidEntrypoint"


def test_the_process_environment_is_lambdas(account: Account) -> None:
    """Reserved variables, the user's own, and none of the platform's."""
    code = "import os\ndef handler(event, context):\n    return {**os.environ, 'cwd': os.getcwd(), 'uid': os.getuid()}"
    account.function("variables", code, environment={"variables": {"GREETING": "hi", "LANG": "C.UTF-8"}})
    seen = account.invoke("variables", {})["Payload"]
    assert seen["GREETING"] == "hi"
    assert seen["LANG"] == "C.UTF-8"
    assert seen["_HANDLER"] == "index.handler"
    assert seen["LAMBDA_TASK_ROOT"] == "/var/task" == seen["cwd"]
    assert seen["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.13"
    assert seen["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert seen["AWS_LAMBDA_INITIALIZATION_TYPE"] == "on-demand"
    assert (seen["PWD"], seen["SHLVL"], seen["PYTHONPATH"]) == ("/var/task", "0", "/var/runtime")
    assert "AWS_LAMBDA_LOG_FORMAT" not in seen
    assert seen["AWS_REGION"] == seen["AWS_DEFAULT_REGION"] == "us-east-1"
    assert seen["uid"] != 0
    assert not [name for name in seen if name.startswith(("KUBELAMBDA", "KUBERNETES"))]


def test_a_response_over_the_limit_is_a_function_error(account: Account) -> None:
    """6 MB + 100 bytes is the most that a response may have."""
    account.function("large", "def handler(event, context):\n    return 'x' * event['size']")
    assert len(account.invoke("large", {"size": 6_000_000})["Payload"]) == 6_000_000
    answer = account.invoke("large", {"size": 7_000_000})
    assert answer["FunctionError"] == "Unhandled"
    assert answer["Payload"] == {
        "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
        "errorType": "Function.ResponseSizeTooLarge",
    }


def test_none_is_null(account: Account) -> None:
    """A handler that returns nothing."""
    account.function("none", "def handler(event, context):\n    pass")
    answer = account.client.invoke(FunctionName=account.arn("none"), Payload=json.dumps([1, "a"]))
    assert answer["Payload"].read() == b"null"
