"""The end of a replica of the control API: callers on open connections are told to go elsewhere, and lose nothing."""

import http.client
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.eventually import eventually
from tests.ports import free_port

SERVER = """
import asyncio, sys, uvicorn
from kubelambda.awsapi.draining_server import DrainingServer

async def application(scope, receive, send):
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})

async def main():
    port = int(sys.argv[1])
    options = {"http": "httptools", "ws": "none", "lifespan": "off", "access_log": False, "timeout_keep_alive": 600}
    config = uvicorn.Config(application, port=port, **options)
    await DrainingServer(config, float(sys.argv[2])).serve()
    print("the last word")

asyncio.run(main())
"""


@contextmanager
def server(port: int, linger_s: float, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """One that is there."""
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-c", SERVER, str(port), str(linger_s)], stdout=output)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def asked(connection: http.client.HTTPConnection) -> str | None:
    """What an answer says of its connection; None where there is nobody."""
    try:
        connection.request("POST", "/", b"{}")
    except ConnectionRefusedError:
        connection.close()
        return None
    response = connection.getresponse()
    assert response.read() == b"ok"
    return response.headers.get("connection", "")


async def test_open_connections_end_with_an_answer_and_new_ones_are_served(tmp_path: Path) -> None:
    """Requests that are on their way when it is asked to end are answered, as are those of who has not heard of it."""
    port = free_port()
    with server(port, 600, tmp_path / "log") as process:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as kept:
            await eventually(lambda: asked(kept) == "")
            process.terminate()
            await eventually(lambda: asked(kept) == "close")
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as new:
            assert asked(new) == "close"
        assert process.poll() is None


async def test_it_ends_by_itself_after_a_while_and_not_by_the_signal(tmp_path: Path) -> None:
    """What comes after the last request is still done: lines of the audit log, say."""
    port = free_port()
    with server(port, 0.1, tmp_path / "log") as process:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            await eventually(lambda: asked(connection) is not None)
        process.terminate()
        await eventually(lambda: process.poll() is not None)
        assert process.returncode == 0
        assert (tmp_path / "log").read_text() == "the last word\n"
