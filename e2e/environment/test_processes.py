"""What a function's processes may use, what is said of it, and what is left of them after a reset, in real pods."""

import base64
import re
from typing import Any

import pytest

from installation.account import Account

CODE = """
import os, resource, subprocess, sys, threading, time

hold = "b = bytearray(%d << 20)\\nfor i in range(0, len(b), 4096): b[i] = 1"

def handler(event, context):
    if "daemons" in event:
        for _ in range(event["daemons"]):
            if not os.fork():
                os.setsid()
                if not os.fork():
                    time.sleep(600)
                os._exit(0)
            os.wait()
    for _ in range(event.get("threads", 0)):
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    if "spawn" in event:
        subprocess.run([sys.executable, "-S", "-c", hold % event["spawn"]], check=True)
    time.sleep(event.get("sleep", 0))
    try:
        open("/var/task/index.py", "a")
        writable = True
    except OSError:
        writable = False
    return {
        "processes": sorted(int(name) for name in os.listdir("/proc") if name.isdecimal()),
        "own": os.getpid(),
        "files": resource.getrlimit(resource.RLIMIT_NOFILE),
        "cgroup": os.path.exists("/sys/fs/cgroup/memory.peak")
        or os.path.exists("/sys/fs/cgroup/memory/memory.max_usage_in_bytes"),
        "writable": writable,
    }
"""


@pytest.fixture(scope="module")
def crowd(account: Account) -> str:
    """A function that starts processes."""
    account.function("crowd", CODE, memorySize=512, timeout=60)
    return "crowd"


def _used_mb(answer: Any) -> int:
    found = re.search(r"Max Memory Used: (\d+) MB", base64.b64decode(answer["LogResult"]).decode())
    assert found is not None
    return int(found[1])


def test_the_report_counts_a_process_that_was_gone_at_once(account: Account, crowd: str) -> None:
    """The kernel's own mark of the container misses nothing (§9.1), and the platform's share is not the function's."""
    before = account.invoke(crowd, {}, LogType="Tail")
    assert before["Payload"]["cgroup"], "no mark of the kernel's: its file has another name here"
    assert 1 <= _used_mb(before) < 150
    assert _used_mb(account.invoke(crowd, {"spawn": 250}, LogType="Tail")) >= 250


def test_a_reset_leaves_no_process(account: Account) -> None:
    """Whatever sessions and orphans the function made (§3.2.2)."""
    account.function("reset", CODE, memorySize=512, timeout=8)
    assert len(account.invoke("reset", {"daemons": 10})["Payload"]["processes"]) >= 12
    assert account.invoke("reset", {"sleep": 60})["Payload"]["errorType"] == "Sandbox.Timedout"
    found = account.invoke("reset", {})["Payload"]
    assert found["processes"] == [1, found["own"]]


def test_more_processes_and_threads_than_lambda_allows_end_with_their_environment(account: Account, crowd: str) -> None:
    """742 are as many as there may be (§3.4.2), and the kernel counts them for each container; the next has its own."""
    found = account.invoke(crowd, {"threads": 800, "sleep": 50})["Payload"]
    assert found["errorType"] == "Runtime.ExitError", found
    assert found["errorMessage"].endswith("more than 742 processes and threads: the environment ends")
    assert account.invoke(crowd, {})["Payload"]["own"]


def test_limits_are_lambdas_and_the_code_is_not_to_be_written_to(account: Account, crowd: str) -> None:
    """§3.4.2."""
    found = account.invoke(crowd, {})["Payload"]
    assert found["files"] == [1024, 1024]
    assert not found["writable"]
