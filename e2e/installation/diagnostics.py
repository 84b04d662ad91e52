"""What the cluster looked like when a test failed: logs, events and pods, in one folder."""

import os
import re
import subprocess
from pathlib import Path

from installation.release import SYSTEM_NAMESPACE

FOLDER = Path(os.environ.get("DIAGNOSTICS", Path(__file__).parent.parent.parent / ".diagnostics"))
_LINES = 2000
_COMMANDS = {
    "pods.txt": ["get", "pods", "--all-namespaces", "--output", "wide", "--show-labels"],
    "pods.yaml": ["get", "pods", "--all-namespaces", "--output", "yaml"],
    "events.txt": ["get", "events", "--all-namespaces", "--sort-by", ".lastTimestamp"],
    "objects.yaml": ["get", "kubelambda", "--all-namespaces", "--output", "yaml"],
    "nodes.txt": ["describe", "nodes"],
}
"""kubectl's arguments by the file that its output goes to; `kubelambda` is the category of all our kinds."""


def collect(test: str) -> Path:
    """Writes everything that may explain why `test` failed; returns the folder. Never raises."""
    folder = FOLDER / re.sub(r"[^\w.-]+", "_", test)[-120:]
    folder.mkdir(parents=True, exist_ok=True)
    for name, arguments in _COMMANDS.items():
        (folder / name).write_text(_output(*arguments))
    pods = _output("--namespace", SYSTEM_NAMESPACE, "get", "pods", "--output", "name").split()
    for pod in [pod for pod in pods if pod.startswith("pod/")]:
        where = ("--namespace", SYSTEM_NAMESPACE, "logs", pod, "--all-containers", f"--tail={_LINES}")
        name = pod.removeprefix("pod/")
        (folder / f"{name}.log").write_text(_output(*where))
        previous = _output(*where, "--previous")
        if "previous terminated container" not in previous:
            (folder / f"{name}.previous.log").write_text(previous)
    return folder


def _output(*arguments: str) -> str:
    try:
        finished = subprocess.run(
            ["kubectl", *arguments], capture_output=True, text=True, timeout=60, check=False, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"kubectl {' '.join(arguments)}: {error}\n"
    return finished.stdout + finished.stderr
