"""What an environment says of itself, and what it makes of what it is told (`docs/environment-protocol.md`)."""

import base64
import json
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SLOW_INIT = """
import pathlib, time
while not pathlib.Path({gate!r}).exists():
    time.sleep(0.02)
def handler(event, context):
    return "ready"
"""
OWN = {"Authorization": "Bearer environment-token"}


def test_an_environment_tells_the_truth_while_it_initializes(unclaimed: Any, tmp_path: Path) -> None:
    """A new owner adopts it by this: busy, and whose it is; whoever waits hears when INIT is over."""
    gate = tmp_path / "gate"
    code = {"index.py": SLOW_INIT.format(gate=str(gate))}
    answers: list[Any] = []
    specializing = threading.Thread(target=lambda: answers.append(unclaimed.specialize(code, init_timeout=60.0)))
    specializing.start()
    deadline = time.monotonic() + 90
    while unclaimed.call("GET", "/state", headers=OWN).status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    found = unclaimed.state()
    assert (found["busy"], found["initializing"], found["requestId"]) == (True, True, None)
    assert (found["functionUid"], found["function"], found["version"]) == ("uid-of-hello", "hello", "$LATEST")
    assert found["revision"] == "0123456789abcdef"
    assert unclaimed.invoke({}).status == 409
    waiting: list[Any] = []
    follower = threading.Thread(
        target=lambda: waiting.append(unclaimed.call("GET", "/state", headers={**OWN, "Prefer": "wait=60"}))
    )
    follower.start()
    time.sleep(0.2)
    gate.touch()
    for thread in (specializing, follower):
        thread.join()
    assert answers[0].json["status"] == "ready"
    assert (waiting[0].json["busy"], waiting[0].json["initializing"]) == (False, False)
    assert unclaimed.invoke({}).json == "ready"


def test_an_environment_whose_init_failed_is_finished(unclaimed: Any) -> None:
    """Nobody needs to try it."""
    unclaimed.specialize({"index.py": "raise RuntimeError('broken')"})
    found = unclaimed.state()
    assert (found["finished"], found["busy"]) == (True, False)


def test_init_has_the_limit_that_it_was_given(unclaimed: Any) -> None:
    """Provisioned concurrency has a longer one (§3.3.2)."""
    code = {"index.py": "import time\ntime.sleep(600)"}
    answer = unclaimed.specialize(code, init_timeout=1.0, timeout=60)
    assert answer.json["status"] == "init-timeout"
    assert 1000 <= answer.json["initDurationMs"] < 10_000


def test_the_function_knows_why_it_was_started(unclaimed: Any) -> None:
    """AWS_LAMBDA_INITIALIZATION_TYPE, and the version."""
    code = "import os\ndef handler(event, context):\n    return dict(os.environ)"
    unclaimed.specialize({"index.py": code}, initialization_type="provisioned-concurrency", version="7")
    found = unclaimed.invoke({}).json
    assert found["AWS_LAMBDA_INITIALIZATION_TYPE"] == "provisioned-concurrency"
    assert found["AWS_LAMBDA_FUNCTION_VERSION"] == "7"
    assert unclaimed.state()["initializationType"] == "provisioned-concurrency"


@pytest.mark.parametrize(("variables", "hours"), [({}, 0), ({"TZ": "UTC-3"}, 3), ({"TZ": "IST-5:30"}, 5.5)])
def test_local_time_follows_the_functions_variable(unclaimed: Any, variables: dict[str, str], hours: float) -> None:
    """In a process that was started before anybody knew it."""
    code = "import time\ndef handler(event, context):\n    return time.localtime().tm_gmtoff"
    unclaimed.specialize({"index.py": code}, variables=variables)
    assert unclaimed.invoke({}).json == hours * 3600


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"custom": {"a": 1}}', {"custom": {"a": 1}}),
        ('{\n  "custom": {\r\n\r\n    "a": "b"\n  }\n}', {"custom": {"a": "b"}}),
        ('{"custom": {"name": "Zoë 東京"}}', {"custom": {"name": "Zoë 東京"}}),
        ('{"custom": {"line": "one\\r\\n\\r\\ntwo"}}', {"custom": {"line": "one\r\n\r\ntwo"}}),
    ],
)
def test_a_client_context_arrives_however_it_is_written(unclaimed: Any, text: str, found: Any) -> None:
    """It travels in a header's line to the runtime, which a line end would split."""
    code = "def handler(event, context):\n    return {'custom': context.client_context.custom}"
    unclaimed.specialize({"index.py": code})
    headers = {"X-Amz-Client-Context": base64.b64encode(text.encode()).decode()}
    assert unclaimed.invoke("event", headers=headers).json == found


def test_a_client_context_that_is_none_is_left_out(unclaimed: Any) -> None:
    """The frontend refuses it; here it must not end the runtime."""
    code = "def handler(event, context):\n    return context.client_context is None"
    unclaimed.specialize({"index.py": code})
    for value in ("%%%", base64.b64encode(b"{").decode(), base64.b64encode(b"[" * 5000).decode()):
        assert unclaimed.invoke({}, headers={"X-Amz-Client-Context": value}).json is True


@pytest.mark.parametrize(("increment", "fits"), [(100, r"\d*00"), (1, r"\d+")])
def test_durations_are_billed_in_increments(unclaimed: Any, increment: int, fits: str) -> None:
    """The REPORT line and the header say the same (§9.4)."""
    code = "import time\ndef handler(event, context):\n    time.sleep(0.11)"
    unclaimed.specialize({"index.py": code}, billing_increment_ms=increment)
    answer = unclaimed.invoke({}, tail=True)
    billed = re.search(r"Billed Duration: (\d+) ms", answer.log)[1]  # type: ignore[index]
    assert re.fullmatch(fits, billed)
    assert int(billed) >= 110
    assert answer.headers["X-Kubelambda-Billed-Ms"] == billed


def test_a_cold_start_is_announced_once(unclaimed: Any) -> None:
    """`INIT_START` before the first START (§9.1)."""
    unclaimed.specialize({"index.py": "def handler(event, context):\n    pass"})
    for _ in range(2):
        unclaimed.invoke({})
    assert unclaimed.logged(f"REPORT RequestId: {unclaimed.last_request_id}")
    text = unclaimed.log_file.read_text()
    assert text.count("INIT_START") == 1
    line = (
        r"INIT_START Runtime Version: python:3.13\tRuntime Version ARN: arn:aws:lambda:us-east-1::runtime:[0-9a-f]{64}"
    )
    assert re.match(line + "\nSTART RequestId", text)


def test_the_report_has_the_kernels_mark_where_there_is_one(start: Callable[..., Any], tmp_path: Path) -> None:
    """Less what the platform had used before the function began, and never more than its memory."""
    groups = tmp_path / "environment/sys/fs/cgroup"
    groups.mkdir(parents=True)
    peak = groups / "memory.peak"
    peak.write_text(f"{60 << 20}\n")
    (groups / "memory.current").write_text(f"{60 << 20}\n")
    found = start()
    found.specialize({"index.py": "def handler(event, context):\n    pass"}, memory_size=1024)

    def used() -> int:
        return int(re.search(r"Max Memory Used: (\d+) MB", found.invoke({}, tail=True).log)[1])  # type: ignore[index]

    alone = used()
    assert 1 <= alone < 60
    peak.write_text(f"{560 << 20}\n")
    assert alone + 490 <= used() <= alone + 510
    peak.write_text(f"{5060 << 20}\n")
    assert used() == 1024


def test_the_report_never_says_that_nothing_was_used(provided: Any) -> None:
    """Not even of a process that ended before anybody looked."""
    provided.specialize({"bootstrap": "#!/bin/sh\nexit 1\n"}, runtime="provided.al2023")
    provided.invoke({})
    assert provided.logged("Max Memory Used: ")
    assert "Max Memory Used: 0 MB" not in provided.log_file.read_text()


def test_an_error_over_the_limit_is_refused_to_both_sides(unclaimed: Any) -> None:
    """As a response is: half an error is no JSON (§3.1.3)."""
    code = "def handler(event, context):\n    if event: raise ValueError('x' * event)\n    return 'fine'"
    unclaimed.specialize({"index.py": code})
    answer = unclaimed.invoke(7 << 20)
    assert answer.headers["X-Amz-Function-Error"] == "Unhandled"
    assert json.loads(answer.body)["errorType"] == "Function.ResponseSizeTooLarge"
    assert unclaimed.invoke(0).json == "fine"
