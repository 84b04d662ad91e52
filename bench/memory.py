"""Proportional set size of an idle environment, read on the node itself; None where this machine is not the node."""

from pathlib import Path
from typing import Any


def _pss_kb(process: Path) -> int:
    for line in (process / "smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def process_pss_mb(pid: int) -> float:
    """PSS in MB of one process."""
    return _pss_kb(Path("/proc", str(pid))) / 1024


def _processes(pod_uid: str) -> list[Path]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            cgroup = (process / "cgroup").read_text()
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if (pod_uid in cgroup or pod_uid.replace("-", "_") in cgroup) and b"pause" not in command:
            found.append(process)
    return sorted(found, key=lambda process: int(process.name))


def environment_pss_mb(pod: Any) -> tuple[float, float] | None:
    """PSS in MB of the agent (everything beyond the runtime process) and of the runtime process.

    The agent is the first process of the pod's container, and the runtime process the largest of the others.
    """
    sizes = _pss_mb(pod)
    if len(sizes) < 2:
        return None
    runtime = max(sizes[1:])
    return sum(sizes) - runtime, runtime


def pod_pss_mb(pod: Any) -> float | None:
    """PSS in MB of all processes of a pod."""
    return sum(_pss_mb(pod)) or None


def _pss_mb(pod: Any) -> list[float]:
    try:
        return [_pss_kb(process) / 1024 for process in _processes(pod["metadata"]["uid"])]
    except OSError:
        return []
