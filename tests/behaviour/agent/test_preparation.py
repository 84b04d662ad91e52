"""A function that is handed over and may not begin yet: everything is there, and none of its code runs."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kubelambda.api import environment_protocol

MARKS = """
import pathlib
pathlib.Path({mark!r}).touch()
def handler(event, context):
    return event
"""


def code(mark: Path) -> dict[str, str]:
    """A function that leaves a mark with its first line, and one more by a file that the interpreter runs itself."""
    return {
        "index.py": MARKS.format(mark=str(mark)),
        "early.pth": f"import pathlib; pathlib.Path({str(mark)!r}).touch()\n",
    }


def comes_true(holds: Callable[[], bool]) -> None:
    """Returns once it holds."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def unpacked(agent: Any) -> bool:
    """Whether the code is there, and nobody can write to it any more."""
    found = agent.root / "var/task/index.py"
    return found.exists() and not found.stat().st_mode & 0o222


def test_nothing_of_a_function_runs_before_it_may_begin(unclaimed: Any, tmp_path: Path) -> None:
    """Neither its module nor what the interpreter runs of its folder; then INIT answers as ever, and so do calls."""
    mark = tmp_path / "mark"
    answer = unclaimed.specialize(code(mark), path=environment_protocol.PREPARE)
    assert (answer.status, answer.json) == (200, {"status": "preparing"})
    comes_true(lambda: unpacked(unclaimed))
    time.sleep(0.2)
    assert not mark.exists()
    state = unclaimed.state()
    assert (state["specialized"], state["initializing"], state["awaitsBegin"]) == (True, True, True)
    assert unclaimed.invoke(1).status == 409
    assert not mark.exists()
    assert unclaimed.begin().json["status"] == "ready"
    assert mark.exists()
    assert not unclaimed.state()["awaitsBegin"]
    assert unclaimed.invoke(1).json == 1


def test_what_is_prepared_is_one_functions_and_begins_once(unclaimed: Any, tmp_path: Path) -> None:
    """Others are refused; nobody begins without the environment's token, twice, or what was never handed over."""
    assert unclaimed.begin().status == 401
    files = code(tmp_path / "mark")
    assert unclaimed.specialize(files, token="wrong", path=environment_protocol.PREPARE).status == 401
    assert unclaimed.specialize(files, path=environment_protocol.PREPARE).status == 200
    for path in (environment_protocol.PREPARE, environment_protocol.SPECIALIZE):
        assert unclaimed.specialize(files, path=path).status == 409
    assert unclaimed.begin(token="pool-token").status == 401
    assert unclaimed.begin().status == 200
    assert unclaimed.begin().status == 409


def test_what_cannot_be_unpacked_is_told_when_it_may_begin(unclaimed: Any) -> None:
    """As the answer of `/specialize` would tell it; the environment is finished."""
    assert unclaimed.specialize(b"no zip", path=environment_protocol.PREPARE).status == 200
    assert unclaimed.begin().status == 400
    assert unclaimed.state()["finished"]


def test_an_environment_that_ends_begins_nothing(unclaimed: Any, tmp_path: Path) -> None:
    """The function is handed to another one."""
    mark = tmp_path / "mark"
    unclaimed.specialize(code(mark), path=environment_protocol.PREPARE)
    unclaimed.process.send_signal(signal.SIGTERM)
    with contextlib.suppress(ConnectionError):  # it refuses for a second, and is gone
        comes_true(lambda: unclaimed.call("GET", "/healthz").status == 503)
        assert unclaimed.begin().status == 409
    assert unclaimed.process.wait(90) == 0
    assert not mark.exists()


def test_a_waiting_process_that_ends_is_made_up_for(unclaimed: Any, tmp_path: Path) -> None:
    """It was killed for memory, say, before its function could begin: INIT has a process all the same."""
    mark = tmp_path / "mark"
    unclaimed.specialize(code(mark), path=environment_protocol.PREPARE)
    (child,) = subprocess.run(
        ["pgrep", "-P", str(unclaimed.process.pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    os.kill(int(child), signal.SIGKILL)
    comes_true(lambda: not Path(f"/proc/{child}").exists())
    assert not mark.exists()
    assert unclaimed.begin().json["status"] == "ready"
    assert unclaimed.invoke(2).json == 2


def test_a_failed_init_is_told_as_ever(unclaimed: Any) -> None:
    """By the answer to the word that it may begin."""
    unclaimed.specialize({"index.py": "raise RuntimeError('broken')"}, path=environment_protocol.PREPARE)
    answer = unclaimed.begin().json
    assert (answer["status"], answer["error"]["errorMessage"]) == ("init-error", "broken")
