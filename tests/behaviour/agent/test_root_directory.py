"""The root directory of an access point, made by a real agent process before an environment runs (§10.2)."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from tests.behaviour.agent.environment import AGENT

from kubelambda.api import environment_protocol


def make(folder: Path, mode: str = "0750") -> subprocess.CompletedProcess[str]:
    """Runs the agent as a pod's first container does."""
    arguments = [environment_protocol.ROOT_DIRECTORY_ARGUMENT, mode, str(folder), str(os.getgid())]
    command = [sys.executable, str(AGENT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, umask=0o077)


def test_it_has_the_mode_that_was_asked_for(tmp_path: Path) -> None:
    """Whatever the umask and the folder above say; one that is there stays as it is."""
    folder = tmp_path / "app"
    assert make(folder, "0775").returncode == 0
    assert stat.S_IMODE(folder.stat().st_mode) == 0o775
    assert make(folder, "0700").returncode == 0
    assert stat.S_IMODE(folder.stat().st_mode) == 0o775


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to a group that it is not in")
def test_its_group_is_the_one_that_was_asked_for(tmp_path: Path) -> None:
    """Though the folder above gives its own to whatever is made in it."""
    os.chown(tmp_path, -1, 4000)
    tmp_path.chmod(0o2777)
    assert make(tmp_path / "app").returncode == 0
    found = (tmp_path / "app").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (os.getuid(), os.getgid(), 0o750)


def test_what_it_lacks_is_said(tmp_path: Path) -> None:
    """In one line, which becomes the error of the invocation."""
    finished = make(tmp_path / "missing" / "app")
    assert finished.returncode == 1
    (line,) = finished.stderr.splitlines()
    assert "cannot make it: No such file or directory" in line
    (tmp_path / "file").write_text("")
    assert "File exists" in make(tmp_path / "file").stderr
