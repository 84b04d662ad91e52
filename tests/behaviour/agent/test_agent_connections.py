"""The agent's two listeners against clients that are odd, slow or uninvited."""

import contextlib
import importlib.util
import json
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

if "agent_environment" not in sys.modules:
    _spec = importlib.util.spec_from_file_location("agent_environment", Path(__file__).parent / "environment.py")
    assert _spec is not None
    assert _spec.loader is not None
    sys.modules["agent_environment"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["agent_environment"])
environment: Any = sys.modules["agent_environment"]

CODE = "def handler(event, context):\n    return event"
UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"


@pytest.fixture
def unclaimed(tmp_path: Path) -> Iterator[Any]:
    """An environment that nobody claimed."""
    with environment.Environment(tmp_path / "environment") as found:
        yield found


def resident_kb(pid: int) -> int:
    """Resident memory of a process."""
    for line in Path("/proc", str(pid), "status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("the agent ended")


def answered(port: int, request: bytes) -> bytes:
    """All that comes until the connection ends."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as found:
        found.sendall(request)
        received = b""
        while data := found.recv(65_536):
            received += data
    return received


def test_an_upgrade_offer_is_ignored_and_the_event_arrives(unclaimed: Any) -> None:
    """By the control server and by the Runtime API, whose clients may offer HTTP/2 as well."""
    assert unclaimed.specialize({"index.py": CODE}).json["status"] == "ready"
    event = json.dumps({"name": "x" * 1000}).encode()
    head = f"POST /invoke HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {environment.TOKEN}\r\n".encode()
    head += b"X-Amzn-RequestId: request-1\r\nContent-Length: %d\r\n" % len(event) + UPGRADE
    with socket.create_connection(("127.0.0.1", unclaimed.port), timeout=60) as found:
        found.sendall(head + b"\r\n" + event)
        received = b""
        while not received.endswith(event):
            data = found.recv(65_536)
            assert data, received
            received += data
    assert received.startswith(b"HTTP/1.1 200 ")
    body = b'{"errorMessage": "no"}'
    request = b"POST /2018-06-01/runtime/invocation/other/response HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n"
    with socket.create_connection(("127.0.0.1", unclaimed.api_port), timeout=60) as found:
        found.sendall(request % len(body) + UPGRADE + b"\r\n" + body)
        assert b"403" in found.recv(65_536).split(b"\r\n")[0]
        found.sendall(b"GET /2018-06-01/ping HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"pong" in found.recv(65_536)


@pytest.mark.parametrize("path", ["/specialize", "/invoke"])
def test_bodies_of_strangers_are_never_kept(unclaimed: Any, path: str) -> None:
    """They are refused at the head, and what they go on to send takes no memory."""
    before = resident_kb(unclaimed.process.pid)
    request = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer no\r\nContent-Length: 50000000\r\n\r\n".encode()
    )
    connections = []
    for _ in range(3):
        found = socket.create_connection(("127.0.0.1", unclaimed.port), timeout=60)
        connections.append(found)
        found.sendall(request)
        assert found.recv(65_536).split(b" ")[1] in (b"401", b"409")
        with contextlib.suppress(OSError):
            for _ in range(20):
                found.sendall(bytes(1_000_000))
    grown = resident_kb(unclaimed.process.pid) - before
    for found in connections:
        found.close()
    assert grown < 8_000
    assert unclaimed.specialize({"index.py": CODE}).json["status"] == "ready"


def test_an_environment_keeps_no_timer_for_idle_connections(unclaimed: Any) -> None:
    """An environment that nobody calls sleeps: its frontend's connection lasts, and costs no look at it."""
    unclaimed.specialize({"index.py": CODE})
    head = f"GET /state HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {environment.TOKEN}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", unclaimed.port), timeout=60) as found:
        found.sendall(head)
        assert found.recv(65_536).startswith(b"HTTP/1.1 200 ")
        time.sleep(2.5)
        assert any(woke_up(unclaimed.process.pid, 3) <= 1 for _ in range(5)), "a timer wakes it in each of them"
        found.sendall(head)
        assert found.recv(65_536).startswith(b"HTTP/1.1 200 ")


def woke_up(pid: int, seconds: float) -> int:
    """How often a process woke up within some seconds."""
    before = switches(pid)
    time.sleep(seconds)
    return switches(pid) - before


def switches(pid: int) -> int:
    """How often a process went to sleep."""
    for line in Path("/proc", str(pid), "status").read_text().splitlines():
        if line.startswith("voluntary_ctxt_switches:"):
            return int(line.split()[1])
    raise AssertionError("the agent ended")
