"""The component as its image has it: without the platform's packages."""

import subprocess
import sys
from importlib.util import find_spec


def test_the_component_starts_without_the_platforms_packages() -> None:
    """What it imports when it is loaded needs neither the kubernetes package nor kopf."""
    assert find_spec("kubernetes") is None
    command = [sys.executable, "-P", "-m", "kubelambda.apps", "pollers", "--help"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert "event source mappings" in finished.stdout
