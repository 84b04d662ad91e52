"""`kubelambda events` at a stand-in of the queue, with event 4 alone, behind a stand-in of kubectl's forwarding."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import CliRunner

from kubelambda.cli import events_command
from kubelambda.cli.main import app


class Queue(BaseHTTPRequestHandler):
    """Answers `GET /events` and `GET /functions`."""

    def do_GET(self) -> None:
        """What waits."""
        asked = urlsplit(self.path)
        numbers = parse_qs(asked.query).get("number", [])
        found = [{"number": 4}] if asked.path == "/events" and "4" in numbers else []
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(found).encode())

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture(autouse=True)
def queue(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Where the command finds the queue."""
    server = HTTPServer(("127.0.0.1", 0), Queue)
    thread = Thread(target=server.serve_forever)
    thread.start()

    @contextmanager
    def forwarded(*_: Any, **__: Any) -> Iterator[str]:
        yield f"http://127.0.0.1:{server.server_port}"

    monkeypatch.setattr(events_command, "forwarded", forwarded)
    yield
    server.shutdown()
    thread.join()
    server.server_close()


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, output and messages."""
    found = CliRunner().invoke(app, ["events", *arguments])
    return found.exit_code, found.stdout, found.stderr


def test_an_event_that_has_ended_is_said_to_be_gone() -> None:
    """Beside those that wait: an empty list could be a mistake in the command."""
    code, output, messages = run("show", "9", "4")
    assert (code, json.loads(output)) == (1, [{"number": 4}])
    assert messages == "not there, so ended or never made: 9\n"
    assert run("show", "4")[::2] == (0, "")


def test_that_nothing_waits_is_said() -> None:
    """And nothing is written for a program that reads the output."""
    assert run("functions") == (0, "", "no events wait\n")
