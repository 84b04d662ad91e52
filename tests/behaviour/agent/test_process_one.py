"""The agent as process 1 of a container, with a process table and user ids of its own."""

import subprocess
from collections.abc import Callable
from typing import Any

import pytest

WITHIN = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc")

CODE = """
import os, resource, time

def handler(event, context):
    if "daemons" in event:
        for _ in range(event["daemons"]):
            if not os.fork():
                os.setsid()
                if not os.fork():
                    time.sleep(600)
                os._exit(0)
        for _ in range(event["daemons"]):
            os.wait()
    if "sleep" in event:
        time.sleep(event["sleep"])
    processes = sorted(int(name) for name in os.listdir("/proc") if name.isdecimal())
    return {"processes": processes, "own": os.getpid(), "limit": resource.getrlimit(resource.RLIMIT_NPROC)}
"""

pytestmark = pytest.mark.skipif(
    subprocess.run([*WITHIN, "true"], capture_output=True, check=False).returncode != 0,
    reason="this machine lets nobody make user namespaces",
)


@pytest.fixture
def claimed(start: Callable[..., Any]) -> Any:
    """An environment of a function whose agent is process 1."""
    found = start(within=WITHIN)
    assert found.specialize({"index.py": CODE}, timeout=6).json["status"] == "ready"
    return found


def test_a_reset_leaves_nothing_but_the_agent_and_a_new_runtime(claimed: Any) -> None:
    """Whatever sessions and orphans the function made."""
    crowd = claimed.invoke({"daemons": 20}).json["processes"]
    assert len(crowd) == 22
    assert claimed.invoke({"sleep": 60}).json["errorType"] == "Sandbox.Timedout"
    found = claimed.invoke({}).json
    assert found["processes"] == [1, found["own"]]


def test_processes_are_limited_where_the_kernel_counts_them_apart(claimed: Any) -> None:
    """742, as Lambda has it (§3.4.2); elsewhere one environment would take from the others of its node."""
    assert claimed.invoke({}).json["limit"] == [742, 742]
