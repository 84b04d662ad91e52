"""kubectl as Python calls it, and waiting for what it shows."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from typing import Any

from installation.turns import need_to_be_alone

SYSTEM_NAMESPACE = os.environ.get("SYSTEM_NAMESPACE", "kubelambda-system")
_CHANGES = {"annotate", "apply", "delete", "label", "patch", "replace", "scale", "set"}
"""What changes the release, of which there is one for all tests, when it is done in its namespace."""


class KubectlError(AssertionError):
    """kubectl refused; the message is what it said."""


def kubectl(*arguments: str, stdin: str | None = None, timeout: float = 120) -> str:
    """Runs kubectl and returns what it printed. Only exclusive tests may change what is in the release's namespace."""
    scope, (verb, detail) = arguments[:2], (*arguments[2:4], "", "")[:2]
    if scope == ("--namespace", SYSTEM_NAMESPACE) and (verb in _CHANGES or (verb, detail) == ("rollout", "restart")):
        need_to_be_alone(f"kubectl {' '.join(arguments)}")
    command = ["kubectl", *arguments]
    # It ends soon: collecting garbage would be a fifth of what it costs.
    environment = {**os.environ, "GOGC": "off"}
    finished = subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=timeout, check=False, env=environment
    )
    if finished.returncode:
        raise KubectlError(finished.stderr.strip())
    return finished.stdout


def kubectl_json(*arguments: str) -> Any:
    """What `kubectl … --output json` printed."""
    return json.loads(kubectl(*arguments, "--output", "json"))


def eventually[T](attempt: Callable[[], T], *, timeout: float = 120, interval: float = 0.25) -> T:
    """The first true result of `attempt`; its last assertion error, or False result, after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            result = attempt()
            if result:
                return result
            failure: Exception = AssertionError(f"{attempt} stayed {result!r} for {timeout} s")
        except (AssertionError, LookupError, ValueError) as error:  # of what is not there yet, or not alone
            failure = error
        if time.monotonic() > deadline:
            raise failure
        time.sleep(interval)


def staying(pods: list[Any]) -> list[Any]:
    """Those that are not on their way out."""
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
