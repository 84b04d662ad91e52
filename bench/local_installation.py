"""An installation of processes on a real etcd and kube-apiserver, for measurements that need no cluster."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.integration.control_plane import SYSTEM_NAMESPACE, ControlPlane
from tests.integration.preparation import start
from tests.integration.processes import Installation


@contextmanager
def local_installation(**settings: Any) -> Iterator[tuple[ControlPlane, Installation]]:
    """The API server, and an installation of which nothing runs yet. Leaves nothing behind."""
    with tempfile.TemporaryDirectory() as folder:
        control_plane = ControlPlane(Path(folder, "control-plane"))
        Path(folder, "installation").mkdir()
        installation = Installation(Path(folder, "installation"), control_plane, SYSTEM_NAMESPACE, **settings)
        try:
            start(control_plane)
            yield control_plane, installation
        finally:
            try:
                installation.stop()
            except (AssertionError, subprocess.TimeoutExpired) as error:
                print(error, file=sys.stderr)
            control_plane.stop()
