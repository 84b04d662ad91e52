"""The probe for enforcement as two processes on loopback, where a closed port stands for what a policy keeps back."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from tests.eventually import eventually
from tests.ports import free_port

from kubelambda.apps.network_probe import _reaches
from kubelambda.core.network.enforcement_probe import ProbeExit

PROBE = [sys.executable, "-P", "-m", "kubelambda.apps", "network-probe"]

type Listen = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Starts listeners, which end with the test."""
    with ExitStack() as running:

        def start(*ports: int) -> "subprocess.Popen[bytes]":
            process = subprocess.Popen([*PROBE, "listen", f"--ports={','.join(map(str, ports))}"])
            running.enter_context(process)
            running.callback(process.kill)
            return process

        yield start


def attempt(allowed: int, refused: int, *, seconds: float) -> "subprocess.Popen[bytes]":
    """Starts a prober."""
    ports = ["--host=127.0.0.1", f"--allowed={allowed}", f"--refused={refused}"]
    return subprocess.Popen([*PROBE, "try", *ports, "--settle-seconds=0.3", f"--seconds={seconds}"])


async def listening(port: int) -> None:
    """Returns once something listens at a port of this machine."""

    async def open_port() -> bool:
        return _reaches("127.0.0.1", port)

    await eventually(open_port)


async def test_what_is_kept_back_is_enforced(listen: Listen) -> None:
    """The one port is reached and the other is not."""
    allowed, refused = free_port(), free_port()
    listen(allowed)
    await listening(allowed)
    assert attempt(allowed, refused, seconds=120).wait(180) == ProbeExit.ENFORCED


async def test_what_passes_until_the_end_is_open(listen: Listen) -> None:
    """Both ports of one listener, which takes more than one connection."""
    allowed, refused = free_port(), free_port()
    listen(allowed, refused)
    await listening(refused)
    assert attempt(allowed, refused, seconds=1).wait(180) == ProbeExit.OPEN


async def test_an_enforcer_may_be_late(listen: Listen) -> None:
    """What passes at first and then no more was enforced."""
    allowed, refused = free_port(), free_port()
    listen(allowed)
    late = listen(refused)
    await listening(allowed)
    await listening(refused)
    prober = attempt(allowed, refused, seconds=300)
    with pytest.raises(subprocess.TimeoutExpired):
        prober.wait(3)
    late.kill()
    assert prober.wait(180) == ProbeExit.ENFORCED


def test_nothing_is_said_where_nothing_is_reached() -> None:
    """It could be a network that is not there."""
    assert attempt(free_port(), free_port(), seconds=0.5).wait(180) == ProbeExit.UNREACHED


async def test_the_listener_ends_when_it_is_asked_to(listen: Listen) -> None:
    """At once: it is the first process of its container, which nothing ends by default."""
    port = free_port()
    process = listen(port)
    await listening(port)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
