"""What an installation left behind that was killed: Helm refuses every other one until somebody has seen to it."""

import json
from pathlib import Path
from typing import Any

from progress import ClusterError, say
from shell import run

_STANDS = ("deployed", "superseded", "failed")
"""Revisions that one can go back to, those first that are known to have worked."""


def remedy(history: list[dict[str, Any]]) -> list[str] | None:
    """What to tell Helm, as its arguments; None where the last installation came to an end. Nobody may be at it."""
    if not history or not history[-1]["status"].startswith("pending-"):
        return None
    for status in _STANDS:
        for release in reversed(history):
            if release["status"] == status:
                return ["rollback", str(release["revision"])]
    return ["uninstall"]


def settle(helm: Path, release: str, namespace: str) -> None:
    """Undoes what was not finished. Whoever calls it has made sure that no other installation is running."""
    where = ("--namespace", namespace)
    try:
        history = json.loads(run(helm, "history", release, *where, "--output", "json"))
    except ClusterError as error:
        if "not found" in str(error):
            return
        raise
    found = remedy(history)
    if found is None:
        return
    command, *revision = found
    last = history[-1]
    say(f"release {release}: revision {last['revision']} is {last['status']}: it was killed. helm {' '.join(found)}")
    run(helm, command, release, *revision, *where)
