"""What a function starts ends with its reset, and nothing that it does ends the agent (§3.2.2)."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CODE = """
import os, pathlib, resource, signal, time

def detach(then):
    if os.fork():
        os.wait()
        return
    os.setsid()
    if not os.fork():
        then()
    os._exit(0)

def handler(event, context):
    if "detach" in event:
        def work():
            pathlib.Path(event["detach"]).write_text(str(os.getpid()))
            time.sleep(event["live"])
            os._exit(0)
        detach(work)
        while not pathlib.Path(event["detach"]).exists():
            time.sleep(0.01)
    if "interrupt" in event:
        os.kill(os.getppid(), signal.SIGINT)
    if "sleep" in event:
        time.sleep(event["sleep"])
    kinds = ("NOFILE", "MEMLOCK", "CORE")
    return {kind: resource.getrlimit(getattr(resource, f"RLIMIT_{kind}")) for kind in kinds}
"""


@pytest.fixture
def claimed(unclaimed: Any) -> Any:
    """An environment of a function."""
    assert unclaimed.specialize({"index.py": CODE}).json["status"] == "ready"
    return unclaimed


def _pid(file: Path) -> int:
    deadline = time.monotonic() + 90
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return int(file.read_text())


def _gone(pid: int) -> bool:
    """Whether the process is gone for good, its zombie too; it may take a moment."""
    deadline = time.monotonic() + 90
    while Path(f"/proc/{pid}").exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_a_daemon_does_not_outlive_a_timeout(unclaimed: Any, tmp_path: Path) -> None:
    """A session of its own, no parent: it could answer later invocations, or hold the memory of the next ones."""
    assert unclaimed.specialize({"index.py": CODE}, timeout=6).json["status"] == "ready"
    file = tmp_path / "pid"
    answer = unclaimed.invoke({"detach": str(file), "live": 600, "sleep": 60})
    assert answer.json["errorType"] == "Sandbox.Timedout"
    assert _gone(_pid(file))
    assert unclaimed.invoke({}).status == 200


def test_a_daemon_lives_on_between_invocations(claimed: Any, tmp_path: Path) -> None:
    """Only a reset ends it."""
    file = tmp_path / "pid"
    claimed.invoke({"detach": str(file), "live": 600})
    assert claimed.invoke({}).status == 200
    assert Path(f"/proc/{_pid(file)}").exists()


def test_a_daemon_does_not_outlive_the_test_of_its_function(start: Callable[..., Any], tmp_path: Path) -> None:
    """It has no parent that it could end with: the folder of a test would be written to after that."""
    file = tmp_path / "pid"
    with start() as found:
        found.specialize({"index.py": CODE})
        found.invoke({"detach": str(file), "live": 600})
        assert Path(f"/proc/{_pid(file)}").exists()
    assert _gone(_pid(file))


def test_orphans_are_reaped_while_the_runtime_lives(claimed: Any, tmp_path: Path) -> None:
    """Else they fill the pod's table of processes."""
    file = tmp_path / "pid"
    claimed.invoke({"detach": str(file), "live": 0})
    assert _gone(_pid(file))


def test_user_code_cannot_interrupt_the_agent(claimed: Any) -> None:
    """It runs under the agent's user id, and Python raises at SIGINT."""
    for _ in range(3):
        assert claimed.invoke({"interrupt": True}).status == 200
    assert claimed.process.poll() is None


def test_the_function_has_lambdas_limits(claimed: Any) -> None:
    """Those that the kernel keeps for each process (§3.4.2)."""
    found = claimed.invoke({}).json
    assert found["NOFILE"] == [1024, 1024]
    assert all(0 <= value <= 65_536 for value in found["MEMLOCK"])
    assert all(0 <= value <= 10 << 30 for value in found["CORE"])


def test_the_function_inherits_no_descriptor_of_the_agent(unclaimed: Any) -> None:
    """With the reading end of its log's pipe it would take lines from the collector."""
    code = """
import os
def handler(event, context):
    return {number: os.readlink(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")
            if os.path.exists(f"/proc/self/fd/{number}")}
"""
    unclaimed.specialize({"index.py": code})
    found = unclaimed.invoke({}).json
    pipes = {name for number, name in found.items() if name.startswith("pipe:")}
    assert pipes == {found["1"]} == {found["2"]}
    for number, name in found.items():
        if name == found["1"]:
            assert number in ("1", "2"), found


def test_the_kernel_shows_the_function_none_of_our_variables(unclaimed: Any) -> None:
    """A process that was forked shows what its parent was started with, unless that was written over."""
    code = "def handler(event, context):\n    return open('/proc/self/environ', 'rb').read().decode(errors='replace')"
    unclaimed.specialize({"index.py": code})
    assert "KUBELAMBDA" not in unclaimed.invoke({}).json


def test_a_missing_wrapper_is_an_exit_with_127(unclaimed: Any) -> None:
    """As on Lambda, whose shell cannot find it."""
    variables = {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/none"}
    assert unclaimed.specialize({"index.py": CODE}, variables=variables).json["status"] == "init-timeout"
    answer = unclaimed.invoke({})
    assert answer.json["errorType"] == "Runtime.ExitError"
    assert answer.json["errorMessage"].endswith("Runtime exited with error: exit status 127")


def test_after_a_reset_only_the_new_process_answers(provided: Any, tmp_path: Path) -> None:
    """A survivor that polls too would take the next event."""
    served = tmp_path / "served"
    bootstrap = f"""#!/bin/bash
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
serve() {{
  while true; do
    event=$(curl -sS -D "$1" "$api/next")
    id=$(grep -i '^lambda-runtime-aws-request-id:' "$1" | tr -d '[:space:]' | cut -d: -f2)
    [[ $event == *stop* ]] && sleep 600
    echo "$1" >> {served}
    curl -sS -o /dev/null -d "\\"$1\\"" "$api/$id/response"
  done
}}
setsid bash -c "$(declare -f serve); api=$api serve {tmp_path}/daemon-$$" &
sleep 600
"""
    provided.specialize({"bootstrap": bootstrap}, runtime="provided.al2023", timeout=6)
    before = provided.invoke("go").json
    assert provided.invoke("stop").json["errorType"] == "Sandbox.Timedout"
    for _ in range(3):
        after = provided.invoke("go").json
        assert json.dumps(after) != json.dumps(before)
