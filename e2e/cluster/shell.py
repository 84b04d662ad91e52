"""Running other programs, with errors that carry what the program said."""

import subprocess
from pathlib import Path

from progress import ClusterError
from settings import BINARIES, KUBECONFIG


def run(
    *command: str | Path, stdin: str | None = None, env: dict[str, str] | None = None, cwd: Path | None = None
) -> str:
    """Runs a program to its end and returns what it printed."""
    words = [str(word) for word in command]
    try:
        finished = subprocess.run(words, input=stdin, env=env, cwd=cwd, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise ClusterError(f"{words[0]} is not installed") from error
    if finished.returncode:
        said = (finished.stderr.strip() or finished.stdout.strip())[-3000:]
        raise ClusterError(f"`{' '.join(words)}` ended with status {finished.returncode}:\n{said}")
    return finished.stdout


def succeeds(*command: str | Path) -> bool:
    """Whether a program is there and ends with status 0."""
    words = [str(word) for word in command]
    try:
        return subprocess.run(words, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def kubectl(*arguments: str, stdin: str | None = None) -> str:
    """Runs kubectl as the cluster's administrator."""
    return run(BINARIES / "kubectl", "--kubeconfig", KUBECONFIG, *arguments, stdin=stdin)
