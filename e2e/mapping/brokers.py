"""Brokers of MQ in a namespace, each in a pod, reached by pollers by name; tests put messages in from outside."""

import base64
import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from installation.account import Account
from installation.kubectl import eventually, kubectl
from installation.release import forwarded
from mapping.server_pod import server_manifests

USER = PASSWORD = "tests"


def start_broker(account: Account, name: str, port: int, entrance: int) -> None:
    """The broker `name`, whose pollers' port is `port`; it is ready once its port `entrance` takes connections."""
    start_server(account, name, server_manifests(name, {port, entrance}, entrance=entrance))


def start_server(account: Account, image: str, manifests: Sequence[dict[str, Any]]) -> None:
    """The server of some manifests, which is the test image `image`; it is ready then."""
    program = str(Path(__file__).parent.parent / "cluster")
    subprocess.run([sys.executable, program, "images", "--for-tests", image], check=True, timeout=900)
    for manifest in manifests:
        kubectl("--namespace", account.namespace, "apply", "--filename", "-", stdin=json.dumps(manifest))
    pod = f"pod/{manifests[0]['metadata']['name']}"
    kubectl("--namespace", account.namespace, "wait", "--for=condition=Ready", pod, "--timeout=180s", timeout=210)


@contextmanager
def broker(account: Account, name: str, port: int, entrance: int) -> Iterator[str]:
    """Starts a broker; host and port that lead to its port `entrance` from here."""
    start_broker(account, name, port, entrance)
    with forwarded(name, entrance, account.namespace) as url:
        yield url.removeprefix("http://")


class RabbitPages:
    """RabbitMQ's queues by HTTP."""

    def __init__(self, address: str) -> None:
        self._url = f"http://{address}/api"
        self._who = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    def make(self, queue: str) -> None:
        """A queue that outlives the broker."""
        self._call("PUT", f"queues/%2F/{queue}", {"durable": True})

    def send(self, queue: str, body: str) -> None:
        """A message for a queue that is there."""
        about = {"delivery_mode": 2, "content_type": "application/json"}
        message = {"routing_key": queue, "payload": body, "payload_encoding": "string", "properties": about}
        assert self._call("POST", "exchanges/%2F/amq.default/publish", message) == {"routed": True}

    def left(self, queue: str) -> list[str]:
        """What is in a queue and was sent to nobody; it stays there."""
        wanted = {"count": 1000, "ackmode": "ack_requeue_true", "encoding": "auto"}
        return [each["payload"] for each in self._call("POST", f"queues/%2F/{queue}/get", wanted)]

    def _call(self, method: str, path: str, body: dict[str, Any]) -> Any:
        headers = {"Authorization": f"Basic {self._who}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self._url}/{path}", json.dumps(body).encode(), headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.loads(response.read() or b"null")


def send_by_stomp(address: str, queue: str, *bodies: str) -> None:
    """Puts messages into a queue of ActiveMQ; they are kept when it returns."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection, connection.makefile("rwb") as stream:
        _frame(stream, "CONNECT", {"accept-version": "1.2", "host": "tests", "login": USER, "passcode": PASSWORD})
        assert _answer(stream).startswith(b"CONNECTED")
        for number, body in enumerate(bodies):
            about = {"destination": f"/queue/{queue}", "persistent": "true", "receipt": str(number)}
            _frame(stream, "SEND", about, body)
            assert _answer(stream).startswith(b"RECEIPT")


def _frame(stream: Any, command: str, headers: dict[str, str], body: str = "") -> None:
    lines = [command, *(f"{name}:{value}" for name, value in headers.items()), "", body]
    stream.write("\n".join(lines).encode() + b"\0")
    stream.flush()


def _answer(stream: Any) -> bytes:
    found = b""
    while not found.endswith(b"\0"):
        byte: bytes = stream.read(1)
        assert byte, found
        found += byte
    return found.strip()


def until_polled(account: Account, mapping: str) -> None:
    """Returns once pollers say that the source of a mapping answers."""

    def polled() -> bool:
        conditions = account.get("eventsourcemapping", mapping).get("status", {}).get("conditions", [])
        found = {each["type"]: each for each in conditions}
        if found.get("Polling", {}).get("status") != "True":
            raise AssertionError(f"{mapping} is not polled: {json.dumps(conditions)}")
        return True

    eventually(polled, timeout=120)
