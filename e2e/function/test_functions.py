"""The life of a Function: sources of code, updates, references, refusals, deletion (§1.3, §1.4)."""

import base64
import hashlib
import json
import threading
import time
from typing import Any

import pytest

from installation.account import Account
from installation.archives import zipped
from installation.kubectl import KubectlError, eventually, kubectl, kubectl_json

RETURN = "def handler(event, context):\n    return {value!r}"


def test_kubectl_shows_what_people_look_for(account: Account) -> None:
    """Columns, short name, conditions and events."""
    account.function("shown", RETURN.format(value=1))
    table = kubectl("--namespace", account.namespace, "get", "fn", "shown")
    assert {"NAME", "RUNTIME", "STATE", "MEMORY", "READY", "AGE"} <= set(table.splitlines()[0].split())
    assert "Active" in table
    described = kubectl("--namespace", account.namespace, "describe", "fn", "shown")
    assert "Ready" in described
    kubectl("--namespace", account.namespace, "wait", "--for=condition=Ready", "function/shown", "--timeout=60s")


def test_status_says_what_lambda_says(account: Account) -> None:
    """State, last update, code size and digest, ARN."""
    account.function("status", RETURN.format(value=1))
    found = account.get("function", "status")
    status = found["status"]
    assert (status["state"], status["lastUpdateStatus"]) == ("Active", "Successful")
    assert status["functionArn"] == account.arn("status")
    assert status["observedGeneration"] == found["metadata"]["generation"]
    assert len(base64.b64decode(status["codeSha256"])) == 32
    assert status["codeSize"] > 0


def test_code_from_a_zip_file(account: Account) -> None:
    """Several modules in one archive."""
    archive = zipped(
        {"index.py": "from lib import value\ndef handler(event, context):\n    return value", "lib.py": "value = 7"}
    )
    account.function("zip", code={"zipFile": base64.b64encode(archive).decode()})
    assert account.invoke("zip")["Payload"] == 7
    digest = base64.b64encode(hashlib.sha256(archive).digest()).decode()
    assert account.get("function", "zip")["status"]["codeSha256"] == digest


def test_code_from_a_config_map(account: Account) -> None:
    """Source text under data, an archive under binaryData."""
    archive = base64.b64encode(zipped({"index.py": RETURN.format(value="archive")})).decode()
    config_map: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "code"},
        "data": {"text": RETURN.format(value="text")},
        "binaryData": {"zip": archive},
    }
    account.apply(config_map)
    for key, value in (("text", "text"), ("zip", "archive")):
        account.function(f"config-map-{key}", code={"configMapRef": {"name": "code", "key": key}})
        assert account.invoke(f"config-map-{key}")["Payload"] == value


def test_variables_from_secrets_and_config_maps(account: Account) -> None:
    """Values reach pooled environments and appear in no spec."""
    account.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "api"}, "stringData": {"token": "s3cret"}}
    )
    account.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"mode": "fast"}})
    account.function(
        "references",
        "import os\ndef handler(event, context):\n"
        "    return [os.environ['TOKEN'], os.environ['MODE'], 'OPTIONAL' in os.environ]",
        environment={
            "from": [
                {"name": "TOKEN", "secretKeyRef": {"name": "api", "key": "token"}},
                {"name": "MODE", "configMapKeyRef": {"name": "settings", "key": "mode"}},
                {"name": "OPTIONAL", "secretKeyRef": {"name": "api", "key": "absent", "optional": True}},
            ]
        },
    )
    assert account.invoke("references")["Payload"] == ["s3cret", "fast", False]
    seen = json.dumps(account.get("function", "references")) + json.dumps(account.pods())
    assert "s3cret" not in seen


def test_a_missing_reference_is_named_in_a_condition(account: Account) -> None:
    """The message says which object and key are missing; creating them makes the function ready."""
    environment = {"from": [{"name": "TOKEN", "secretKeyRef": {"name": "late", "key": "token"}}]}
    account.function("late", RETURN.format(value=1), environment=environment, ready=False)

    def named() -> bool:
        conditions = account.get("function", "late").get("status", {}).get("conditions", [])
        return any(c["status"] == "False" and "late" in c["message"] and "token" in c["message"] for c in conditions)

    eventually(named)
    account.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "late"}, "stringData": {"token": "x"}})
    account.wait_ready("late", timeout=120)


def test_an_update_runs_the_new_code_and_loses_no_request(account: Account) -> None:
    """Requests go on while the code changes; environments of the old code end after their invocation."""
    account.function("updated", RETURN.format(value=0))
    answers: list[Any] = []
    stop = threading.Event()

    def call() -> None:
        while not stop.is_set():
            answers.append(account.invoke("updated"))

    caller = threading.Thread(target=call)
    caller.start()
    for version in (1, 2, 3):
        account.function("updated", RETURN.format(value=version))
        eventually(lambda version=version: account.invoke("updated")["Payload"] == version)
    stop.set()
    caller.join()
    values = [answer["Payload"] for answer in answers]
    assert all("FunctionError" not in answer for answer in answers)
    assert set(values) <= {0, 1, 2, 3}
    revision = account.get("function", "updated")["status"]["deployed"]["revision"]

    def only_new() -> bool:
        found = {pod["metadata"]["labels"]["kubelambda.dev/revision"] for pod in account.environments("updated")}
        return found == {revision}

    eventually(only_new)


def test_a_broken_update_leaves_the_old_code_serving(account: Account) -> None:
    """LastUpdateStatus says Failed, the message says why, the function still answers."""
    account.function("survivor", RETURN.format(value="old"))
    account.function("survivor", code={"zipFile": base64.b64encode(b"this is no archive").decode()}, ready=False)

    def failed() -> bool:
        status = account.get("function", "survivor")["status"]
        return status["lastUpdateStatus"] == "Failed" and "Could not unzip uploaded file" in json.dumps(status)

    eventually(failed)
    assert account.invoke("survivor")["Payload"] == "old"
    account.function("survivor", RETURN.format(value="new"))
    eventually(lambda: account.invoke("survivor")["Payload"] == "new")


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        ("bad-zip", {"zipFile": base64.b64encode(b"no").decode()}, "Could not unzip uploaded file"),
        ("unreachable", {"url": "http://nowhere.invalid/code.zip", "sha256": "0" * 64}, "nowhere.invalid"),
        (
            "forbidden",
            {"url": "http://127.0.0.1:9/code.zip", "sha256": "0" * 64},
            "code is never fetched from 127.0.0.1",
        ),
    ],
)
def test_unusable_code_fails_with_a_clear_condition(
    account: Account, name: str, code: dict[str, str], text: str
) -> None:
    """The Function is not Ready and says what is wrong."""
    account.function(name, code=code, ready=False)

    def told() -> bool:
        conditions = account.get("function", name).get("status", {}).get("conditions", [])
        return any(c["type"] == "Ready" and c["status"] == "False" and text in c["message"] for c in conditions)

    eventually(told)


def test_an_unknown_runtime_is_named(account: Account) -> None:
    """The message names the runtime that does not exist; other functions are not delayed."""
    account.function("unknown-runtime", RETURN.format(value=1), runtime="cobol85", ready=False)
    started = time.monotonic()
    account.function("good", RETURN.format(value=1))
    assert time.monotonic() - started < 90

    def told() -> bool:
        conditions = account.get("function", "unknown-runtime").get("status", {}).get("conditions", [])
        return any("cobol85" in condition["message"] for condition in conditions)

    eventually(told)


@pytest.mark.parametrize(
    ("name", "spec", "text"),
    [
        ("no-handler", {"handler": None}, "handler"),
        ("memory", {"memorySize": 64}, "memorySize"),
        ("timeout", {"timeout": 901}, "timeout"),
        ("type", {"timeout": "three"}, "timeout"),
        ("environment", {"environment": {"variables": {"BIG": "x" * 4096}}}, "4KB"),
        ("reserved", {"environment": {"variables": {"AWS_REGION": "x"}}}, "reserve"),
        ("traced", {"tracingConfig": {"mode": "Active"}}, "tracingConfig is not served"),
        ("two-sources", {"code": {"inline": "x", "zipFile": "eA=="}}, "exactly one of"),
        ("n" * 64, {}, "63"),
    ],
)
def test_bad_manifests_are_refused_at_once(account: Account, name: str, spec: dict[str, Any], text: str) -> None:
    """The API server itself says what is wrong."""
    with pytest.raises(KubectlError) as raised:
        account.function(name, "" if "code" in spec else RETURN.format(value=1), ready=False, **spec)
    assert text in str(raised.value)


def test_a_name_at_the_length_limit_works(account: Account) -> None:
    """63 characters, in every name and label made from it."""
    name = "n" * 63
    account.function(name, RETURN.format(value="long"))
    assert account.invoke(name)["Payload"] == "long"


def test_ephemeral_storage_beyond_the_pools_gets_a_pod_of_its_own(account: Account) -> None:
    """The size of /tmp is that of the Function, and a little for what no agent sees."""
    account.function("roomy", RETURN.format(value=1), ephemeralStorage={"size": 1024})
    assert account.invoke("roomy")["StatusCode"] == 200
    volumes = account.environment("roomy")["spec"]["volumes"]
    (size,) = (v["emptyDir"]["sizeLimit"] for v in volumes if v["name"] == "tmp")
    assert 1024 < int(size.removesuffix("Mi")) <= 1024 + 128, size


def test_a_function_that_fills_tmp_is_told_so_and_starts_anew(account: Account) -> None:
    """What it wrote before is kept from one invocation to the next, and gone with its environment."""
    source = """
import os, time

def handler(event, context):
    files = sorted(os.listdir("/tmp"))
    with open(f"/tmp/file-{len(files)}", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, event["megabytes"] << 20)
    time.sleep(event.get("sleep", 0))
    return files
"""
    account.function("filling", source, timeout=60)
    assert account.invoke("filling", {"megabytes": 1})["Payload"] == []

    def keeps() -> None:
        found = account.invoke("filling", {"megabytes": 1})["Payload"]
        assert account.invoke("filling", {"megabytes": 1})["Payload"] == [*found, f"file-{len(found)}"]

    account.in_one_environment("filling", keeps)
    answer = account.invoke("filling", {"megabytes": 600, "sleep": 50})
    assert answer["Payload"]["errorType"] == "Runtime.ExitError", answer
    assert "/tmp holds more than its 512 MB (ephemeralStorage)" in answer["Payload"]["errorMessage"]
    assert account.invoke("filling", {"megabytes": 1})["Payload"] == []


def test_memory_and_cpu_of_the_environment_follow_memory_size(account: Account) -> None:
    """A claimed environment is resized in place: 1769 MB are one vCPU."""
    account.function("sized", RETURN.format(value=1), memorySize=1769)
    account.invoke("sized")

    def resized() -> bool:
        pod = account.environments("sized")[0]
        return bool(pod["spec"]["containers"][0]["resources"]["limits"]["cpu"] in ("1", "1000m"))

    eventually(resized)


def test_a_cold_start_without_a_pool_pod_works(account: Account) -> None:
    """With a pool of size 0, the environment is a pod made on demand."""
    kubectl("annotate", "namespace", account.namespace, "pool-size.kubelambda.dev/provided.al2023=0", "--overwrite")
    code = {"inline": "#!/bin/bash\nexit 3\n"}
    account.function("on-demand", runtime="provided.al2023", code=code)

    def empty() -> bool:
        return not account.pods("kubelambda.dev/pool=provided.al2023")

    eventually(empty)
    answer = account.invoke("on-demand", {})
    assert answer["FunctionError"] == "Unhandled"
    assert "exit status 3" in answer["Payload"]["errorMessage"]


def test_deleting_functions_leaves_nothing(other_account: Account) -> None:
    """Environments, pools and policies go with the last Function."""
    other_account.function("gone", RETURN.format(value=1))
    other_account.invoke("gone")
    assert other_account.environment("gone")
    kubectl("--namespace", other_account.namespace, "delete", "function", "--all", "--wait")

    def nothing() -> bool:
        kinds = "pods,deployments,replicasets,services,secrets,networkpolicies"
        left = kubectl_json("--namespace", other_account.namespace, "get", kinds)["items"]
        assert not left, [(item["kind"], item["metadata"]["name"]) for item in left]
        return True

    eventually(nothing)
