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


def test_the_event_queue_starts_there_too_and_without_botocore() -> None:
    """It sends to services of AWS; until the first record goes there, it does not pay for that."""
    program = (
        "import sys; from kubelambda.apps import events; from kubelambda.outbound import record_sender; "
        "assert 'botocore' not in sys.modules; sys.argv = ['events', '--help']; events.main()"
    )
    finished = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert "asynchronous invocations" in finished.stdout
