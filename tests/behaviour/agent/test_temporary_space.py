"""/tmp has a size, and a function that fills it ends with its environment (§1.3)."""

import time
from collections.abc import Callable
from typing import Any

FILL = """
import os, time
FOLDER = {folder!r}
def write(megabytes, name):
    with open(os.path.join(FOLDER, name), "wb") as file:
        for _ in range(megabytes):
            file.write(b"x" * (1 << 20))
            file.flush()
if {at_init}:
    write({at_init}, "early")
    time.sleep(50)
def handler(event, context):
    write(event["megabytes"], event["name"])
    time.sleep(event.get("sleep", 0))
    return sorted(os.listdir(FOLDER))
"""


def test_files_are_kept_within_the_size(start: Callable[..., Any]) -> None:
    """From one invocation to the next, and after many of them."""
    found = start(tmp_mb=32)
    found.specialize({"index.py": FILL.format(folder=str(found.root / "tmp"), at_init=0)}, timeout=30)
    for name in ("a", "b", "c"):
        answer = found.invoke({"megabytes": 8, "name": name, "sleep": 0.3})
        assert "X-Amz-Function-Error" not in answer.headers, answer.body
    assert answer.json == ["a", "b", "c"]


def test_a_function_that_fills_it_ends_and_is_told_why(start: Callable[..., Any]) -> None:
    """Within moments, long before its timeout; the environment takes nothing more."""
    found = start(tmp_mb=16)
    found.specialize({"index.py": FILL.format(folder=str(found.root / "tmp"), at_init=0)}, timeout=60)
    began = time.monotonic()
    answer = found.invoke({"megabytes": 24, "name": "large", "sleep": 50})
    assert time.monotonic() - began < 40
    assert answer.json == {
        "errorType": "Runtime.ExitError",
        "errorMessage": f"RequestId: {found.last_request_id} Error: /tmp holds more than its 16 MB (ephemeralStorage): "
        "the environment ends",
    }
    assert answer.headers["X-Kubelambda-Retire"] == "1"
    assert found.process.wait(90) == 0


def test_a_function_that_fills_it_in_init_cannot_be_used(start: Callable[..., Any]) -> None:
    """And says so when it is started."""
    found = start(tmp_mb=16)
    answer = found.specialize(
        {"index.py": FILL.format(folder=str(found.root / "tmp"), at_init=24)}, timeout=60, init_timeout=60.0
    )
    assert answer.json["status"] == "init-error"
    assert "/tmp holds more than its 16 MB" in answer.json["error"]["errorMessage"]
