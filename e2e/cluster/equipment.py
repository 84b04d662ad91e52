"""Our own small programs beside the cluster: what kind brings with its node image, a bare node does not have."""

import os
import sys

import processes
from settings import HERE, RUN

PROGRAMS = {
    "networkpolicy-enforcer": "network_policy_enforcer.py",
    "storage-provisioner": "storage_provisioner.py",
}


def process(name: str) -> processes.Process:
    """The process; it is restarted when a source file changes."""
    command = (sys.executable, "-u", str(HERE / PROGRAMS[name]))
    return processes.Process(name, command, tuple(sorted(HERE.glob("*.py"))), ready=lambda: _announced(name))


def announce_ready(name: str) -> None:
    """Called by a program when it has caught up with the cluster for the first time."""
    marker = RUN / f"{name}.ready"
    if not marker.exists() or marker.read_text() != str(os.getpid()):
        marker.write_text(str(os.getpid()))


def _announced(name: str) -> bool:
    marker = RUN / f"{name}.ready"
    return marker.exists() and marker.read_text() == str(processes.pid_of(name))
