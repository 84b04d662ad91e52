"""What the official runtime clients alone can do: as many as environments, answered by a loop that does nothing else.

Whatever stands between a caller and a function comes on top of this, on the same cores.
"""

import contextlib
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.load import BODY

_HANDLER = "def handler(event, context):\n    return {'hello': event.get('name', 'world')}\n"
_EVENT = (
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    "Lambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n"
    "Lambda-Runtime-Deadline-Ms: 4102444800000\r\n"
    "Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:123456789012:function:hello\r\n"
    f"Content-Length: {len(BODY)}\r\n\r\n{BODY}"
).encode()
_ACCEPTED = b'HTTP/1.1 202 Accepted\r\nContent-Length: 16\r\n\r\n{"status":"OK"}\n'


@contextlib.contextmanager
def _clients(count: int, port: int) -> Iterator[None]:
    """Python runtime processes that poll `port`."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "index.py").write_text(_HANDLER)
        environment = os.environ | {
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
            "AWS_LAMBDA_FUNCTION_NAME": "hello",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/hello",
            "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
            "LAMBDA_TASK_ROOT": folder,
            "PYTHONPATH": folder,
        }
        command = [sys.executable, "-m", "awslambdaric", "index.handler"]
        processes = [
            subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL) for _ in range(count)
        ]
        try:
            yield
        finally:
            for process in processes:
                process.kill()
                process.wait()


def measure(count: int, *, seconds: float) -> float:
    """Invocations a second of `count` clients, once each of them has run some."""
    with socket.create_server(("127.0.0.1", 0), backlog=count) as server, select.epoll() as ready:
        ready.register(server.fileno(), select.EPOLLIN)
        with _clients(count, server.getsockname()[1]):
            return _serve(server, ready, count, seconds)


def _serve(server: socket.socket, ready: select.epoll, count: int, seconds: float) -> float:
    connections: dict[int, socket.socket] = {}
    answered, started, before = 0, 0.0, 0
    deadline = time.monotonic() + seconds + 60
    try:
        while time.monotonic() < deadline:
            for descriptor, _ in ready.poll(1):
                if descriptor == server.fileno():
                    connection, _ = server.accept()
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    connections[connection.fileno()] = connection
                    ready.register(connection.fileno(), select.EPOLLIN)
                else:
                    answered += _answer(connections[descriptor])
            now = time.monotonic()
            if not started and len(connections) == count and answered > 50 * count:
                started, before = now, answered
            if started and now - started > seconds:
                return (answered - before) / (now - started)
    finally:
        for connection in connections.values():
            connection.close()
    raise RuntimeError(f"only {len(connections)} of {count} clients came")


def _answer(connection: socket.socket) -> int:
    """Answers one call; how many invocations it ended."""
    call = connection.recv(65_536)
    if call.startswith(b"GET"):
        connection.sendall(_EVENT)
        return 0
    while not call.endswith(b"}"):
        call += connection.recv(65_536)
    connection.sendall(_ACCEPTED)
    return 1


if __name__ == "__main__":
    print(f"{measure(32, seconds=5):.0f} invocations/s")
