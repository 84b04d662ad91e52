"""A runtime of a test's own: it writes every byte of its answers itself."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

API = "/2018-06-01/runtime"


class Runtime:
    """A runtime of the test's own, which writes every byte itself."""

    def __init__(self, environment: Any) -> None:
        self._environment = environment
        self._socket = socket.create_connection(("127.0.0.1", environment.api_port), timeout=90)
        self._waiting: threading.Thread | None = None
        self.answer: Any = None

    def send(self, data: bytes) -> None:
        """Any bytes."""
        self._socket.sendall(data)

    def receive(self) -> bytes:
        """One answer, body and all."""
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._socket.recv(65_536)
        head, _, body = received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(body) < length:
            body += self._socket.recv(65_536)
        return head + b"\r\n\r\n" + body

    def ask(self) -> None:
        """`/next`."""
        self.send(f"GET {API}/invocation/next HTTP/1.1\r\nHost: api\r\n\r\n".encode())

    def invoked(self) -> bytes:
        """Begins an invocation, whose event comes here; gives its id."""

        def invoke() -> None:
            self.answer = self._environment.invoke({})

        self._waiting = threading.Thread(target=invoke)
        self._waiting.start()
        return self.delivered()

    def delivered(self) -> bytes:
        """Waits for an event; gives the id of its invocation."""
        head = self.receive()
        return head.partition(b"Lambda-Runtime-Aws-Request-Id: ")[2].partition(b"\r\n")[0]

    def answered(self) -> Any:
        """What the caller got."""
        assert self._waiting is not None
        self._waiting.join()
        return self.answer

    def close(self) -> None:
        """In the middle of whatever it is."""
        self._socket.close()


@contextmanager
def initialized(provided: Any, **function: Any) -> Iterator[Runtime]:
    """A runtime whose environment has finished INIT."""
    with closing(Runtime(provided)) as found:
        answers: list[Any] = []
        started = provided.root / "started"
        bootstrap = {"bootstrap": f"#!/bin/sh\ntouch {started}\nexec sleep 1000\n"}
        named = {"runtime": "provided.al2023", "timeout": 50} | function
        specializing = threading.Thread(target=lambda: answers.append(provided.specialize(bootstrap, **named)))
        specializing.start()
        deadline = time.monotonic() + 90
        while not started.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        found.ask()
        specializing.join()
        assert answers[0].json["status"] == "ready"
        yield found


def response_head(request_id: bytes, *headers: bytes) -> bytes:
    """The head of `/response`."""
    lines = [b"POST %b/invocation/%b/response HTTP/1.1" % (API.encode(), request_id), b"Host: api", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"
