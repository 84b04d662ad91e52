"""The transport of the Python client, against a Runtime API whose every byte the test writes."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest

from kubelambda.agent.python_client import transport

ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}"
REFUSED = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 4\r\n\r\nlate"
NEXT = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n"


def event(body: bytes) -> bytes:
    """An event of the invocation "id"."""
    head = b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: id\r\nLambda-Runtime-Deadline-Ms: 7\r\n"
    return b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)


class Api:
    """One connection after the other. The client works in a thread of its own."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self._client = ThreadPoolExecutor(1)
        self._connection: socket.socket | None = None
        self.question = NEXT + b"Host: 127.0.0.1:%d\r\n\r\n" % self.listening.getsockname()[1]

    def close(self) -> None:
        """Ends all of it, and the client's waiting with it."""
        self.listening.close()
        if self._connection is not None:
            self._connection.close()
        self._client.shutdown()

    def does(self, work: Any, *arguments: object) -> Future[Any]:
        """The client calls a function."""
        return self._client.submit(work, *arguments)

    def connected(self) -> None:
        """The client makes a connection."""
        if self._connection is not None:
            self._connection.close()
        self.listening.settimeout(60)
        self._connection, _ = self.listening.accept()
        self._connection.settimeout(60)

    def received(self, end: bytes) -> bytes:
        """What comes, up to and including `end`."""
        assert self._connection is not None
        data = b""
        while not data.endswith(end):
            more = self._connection.recv(1 << 20)
            assert more
            data += more
        return data

    def send(self, data: bytes) -> None:
        """Says something."""
        assert self._connection is not None
        self._connection.sendall(data)

    def hang_up(self) -> None:
        """Ends the connection."""
        assert self._connection is not None
        self._connection.close()


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """A Runtime API that has given the client its first event."""
    found = Api()
    monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", f"127.0.0.1:{found.listening.getsockname()[1]}")
    monkeypatch.setattr(transport, "_api", transport._RuntimeApi())
    transport._api.configure("test")
    first = found.does(transport.next)
    found.connected()
    assert found.received(b"\r\n\r\n").startswith(NEXT)
    found.send(event(b"first"))
    assert first.result(60)[0] == b"first"
    yield found
    found.close()
    transport._api._close()


def test_a_result_and_the_question_for_the_next_event_are_sent_together(api: Api) -> None:
    """Nobody waits to hear that the result was accepted."""
    api.does(transport.post_invocation_result, "id", b'"done"', "application/json").result(60)
    sent = api.received(api.question)
    assert sent.count(NEXT) == 1
    assert sent.endswith(b'\r\n\r\n"done"' + api.question)
    second = api.does(transport.next)
    api.send(ACCEPTED + event(b"second"))
    assert second.result(60)[0] == b"second"
    assert second.result(60)[1]["Lambda-Runtime-Deadline-Ms"] == 7


def test_an_event_may_come_in_pieces_and_long_after_the_result_was_accepted(api: Api) -> None:
    """Wherever it is cut."""
    body = bytes(range(256)) * 1_000
    api.does(transport.post_error, "id", "{}", "").result(60)
    api.received(api.question)
    second = api.does(transport.next)
    said = ACCEPTED + event(body)
    cuts = [0, 9, len(ACCEPTED) - 1, len(ACCEPTED), len(ACCEPTED) + 5, len(said) - len(body), len(said) - 1, len(said)]
    for start, end in pairwise(cuts):
        api.send(said[start:end])
        time.sleep(0.02)
    assert second.result(60)[0] == body


def test_a_refused_result_is_raised_where_the_next_event_is_asked_for(
    api: Api, capfd: pytest.CaptureFixture[str]
) -> None:
    """And its connection is left, so that no event reaches a process that gives up."""
    api.does(transport.post_invocation_result, "id", b"{}", "application/json").result(60)
    api.received(api.question)
    second = api.does(transport.next)
    api.send(REFUSED)
    with pytest.raises(RuntimeError, match="Failed to post invocation response"):
        second.result(60)
    assert "Http response code: 400. late" in capfd.readouterr().err
    again = api.does(transport.next)
    api.connected()
    assert api.received(b"\r\n\r\n").startswith(NEXT)
    api.send(event(b"third"))
    assert again.result(60)[0] == b"third"


def test_a_large_result_is_accepted_before_the_next_event_is_asked_for(api: Api) -> None:
    """It may be refused for its size, which whoever sends it must hear."""
    posting = api.does(transport.post_invocation_result, "id", bytes(1 << 17), "application/json")
    sent = api.received(bytes(1 << 16))
    while len(sent.partition(b"\r\n\r\n")[2]) < 1 << 17:
        sent += api.received(b"\0")
    api.send(REFUSED)
    with pytest.raises(RuntimeError, match="Failed to post invocation response"):
        posting.result(60)
    assert NEXT not in sent


def test_a_second_result_waits_for_no_event(api: Api) -> None:
    """Whoever posts twice hears what is said to the second."""
    api.does(transport.post_invocation_result, "id", b"1", "application/json").result(60)
    api.received(api.question)
    posting = api.does(transport.post_invocation_result, "id", b"2", "application/json")
    api.connected()
    assert api.received(b"\r\n\r\n2").startswith(b"POST ")
    api.send(REFUSED)
    with pytest.raises(RuntimeError, match="Failed to post invocation response"):
        posting.result(60)


def test_a_connection_that_is_lost_is_made_again(api: Api) -> None:
    """The next event is asked for once more."""
    api.does(transport.post_invocation_result, "id", b"{}", "application/json").result(60)
    api.received(api.question)
    second = api.does(transport.next)
    api.send(ACCEPTED)
    api.hang_up()
    api.connected()
    assert api.received(b"\r\n\r\n").startswith(NEXT)
    api.send(event(b"second"))
    assert second.result(60)[0] == b"second"
