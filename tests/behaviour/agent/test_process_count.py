"""A function has 742 processes and threads at most, also where the kernel keeps no count of its own for it (§3.4.2)."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

CODE = """
import subprocess, threading, time

FORKS = "until [ -e %s ]; do sleep 0.1; done; for each in $(seq %d); do sleep 600.{mark} & printf . >> %s; done; wait"

def handler(event, context):
    for _ in range(event.get("threads", 0)):
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    if "forks" in event:
        script = FORKS % (event.get("gate", "/"), event["forks"], event["progress"])
        subprocess.Popen(["sh", "-c", script], start_new_session=True)
    time.sleep(event.get("sleep", 0))
    return "fine"
"""
TOLD = "more than 742 processes and threads: the environment ends"


def sleepers(mark: str) -> int:
    """How many processes of a test still run."""
    found = 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            found += f"600.{mark}".encode() in (process / "cmdline").read_bytes()
    return found


def until(holds: Callable[[], bool]) -> None:
    """Returns once that is so."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


def specialized(start: Callable[..., Any], mark: str) -> Any:
    """An environment of a function whose processes bear a mark."""
    found = start()
    assert found.specialize({"index.py": CODE.replace("{mark}", mark)}, timeout=100).json["status"] == "ready"
    return found


def test_as_many_as_lambda_allows_may_be(start: Callable[..., Any]) -> None:
    """Those that were there before count."""
    found = specialized(start, "1")
    assert found.invoke({"threads": 300, "sleep": 0.5}).json == "fine"
    assert found.invoke({"threads": 300, "sleep": 0.5}).json == "fine"


def test_threads_count_as_processes_do(start: Callable[..., Any]) -> None:
    """The caller is told, and the environment takes nothing more."""
    found = specialized(start, "2")
    answer = found.invoke({"threads": 800, "sleep": 90})
    assert answer.json["errorType"] == "Runtime.ExitError"
    assert answer.json["errorMessage"].endswith(TOLD)
    assert answer.headers["X-Kubelambda-Retire"] == "1"
    assert found.process.wait(60) == 0


def test_a_function_that_forks_without_end_leaves_nothing(start: Callable[..., Any], tmp_path: Path) -> None:
    """Neither processes that are no children of the runtime's any more, nor the environment."""
    mark = str(os.getpid())
    found = specialized(start, mark)
    answer = found.invoke({"forks": 1000, "progress": str(tmp_path / "progress"), "sleep": 90})
    assert answer.json["errorMessage"].endswith(TOLD)
    assert found.process.wait(60) == 0
    until(lambda: sleepers(mark) == 0)


def test_it_is_found_out_while_nothing_is_invoked(start: Callable[..., Any], tmp_path: Path) -> None:
    """What a function leaves behind runs on between invocations; the next one has new processes."""
    mark = f"{os.getpid()}1"
    found = specialized(start, mark)
    gate, progress = tmp_path / "gate", tmp_path / "progress"
    assert found.invoke({"forks": 1000, "progress": str(progress), "gate": str(gate)}).json == "fine"
    gate.touch()
    until(lambda: progress.exists() and progress.stat().st_size > 600 and sleepers(mark) == 0)
    assert found.invoke({}).json == "fine"
