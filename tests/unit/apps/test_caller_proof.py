"""A component that has no key gets what proves its role from an init container that has."""

import os
import stat
import subprocess
import sys
from pathlib import Path

from kubelambda.core.environment.component_callers import CallerRole, ComponentCallers

KEY = b"k" * 32


def test_the_file_proves_the_role_and_is_its_owners_alone(tmp_path: Path) -> None:
    """Written by the component as the image starts it, over what an earlier run left."""
    (tmp_path / "key").write_bytes(KEY + b"\n")
    found = tmp_path / "caller"
    command = [sys.executable, "-m", "kubelambda.apps", "caller-proof", "pollers"]
    command += [f"--key-file={tmp_path / 'key'}", f"--file={found}"]
    for _ in range(2):
        subprocess.run(command, check=True, env=os.environ)
        assert ComponentCallers(KEY).role(found.read_bytes()) is CallerRole.POLLERS
        assert stat.S_IMODE(found.stat().st_mode) == 0o600


def test_a_role_that_nobody_has_is_refused(tmp_path: Path) -> None:
    """With the names of those that there are."""
    command = [sys.executable, "-m", "kubelambda.apps", "caller-proof", "operator", f"--file={tmp_path / 'caller'}"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 2
    assert "pollers" in finished.stderr
