"""What a server's connection counts of the fields that it holds, read by read."""

from typing import cast

import pytest

from kubelambda.wire.connections import Connections
from kubelambda.wire.flow import Transport
from kubelambda.wire.request import Request
from kubelambda.wire.request_reader import Admission
from kubelambda.wire.server import Connection

CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


class Wire:
    """A transport that keeps what is written, and takes nothing after the end."""

    def __init__(self) -> None:
        self.written = b""
        self.ended = self.closed = False

    def write(self, data: bytes) -> None:
        """Called by the connection."""
        if self.ended:
            raise RuntimeError("written after the end")
        self.written += data

    def write_eof(self) -> None:
        """Called by the connection."""
        self.ended = True

    def is_closing(self) -> bool:
        """Called by the connection."""
        return self.closed

    def close(self) -> None:
        """Called by the connection."""
        self.closed = True

    abort = close

    def pause_reading(self) -> None:
        """Called by the connection."""

    resume_reading = pause_reading

    def get_write_buffer_size(self) -> int:
        """Called by the connection."""
        return 0

    def get_extra_info(self, name: str) -> None:
        """Called by the connection."""


@pytest.fixture
def connections() -> Connections:
    """Those of the listener."""
    return Connections()


@pytest.fixture
def waiting() -> list[Request]:
    """Requests without an answer."""
    return []


@pytest.fixture
def wire() -> Wire:
    """Where answers go."""
    return Wire()


@pytest.fixture
def connection(connections: Connections, waiting: list[Request], wire: Wire) -> Connection:
    """A connection whose requests wait."""
    found = Connection(waiting.append, max_body=100, connections=connections)
    found.connection_made(cast("Transport", wire))
    return found


def fields(count: int) -> bytes:
    """Lines of small fields."""
    return b"".join(b"a%d:\r\n" % number for number in range(count))


@pytest.mark.parametrize("begun", [b"", b"1\r\na\r\n"], ids=["no-body", "body"])
def test_trailers_that_come_at_once_count_until_the_answer(
    connection: Connection, connections: Connections, waiting: list[Request], begun: bytes
) -> None:
    """As much as those that come piece by piece; and nothing of them is kept then: idle connections are many."""
    connection.data_received(CHUNKED)
    connection.data_received(begun + b"0\r\n" + fields(20_000) + b"\r\n")
    assert len(waiting[0].trailers) == 20_000
    assert connections.buffered_bytes > 20_000 * 32
    waiting[0].respond(200)
    assert connections.buffered_bytes == 0
    assert (connection._headers, connection._fields, connection._trailers) == ({}, {}, None)


def test_trailers_that_come_at_once_have_a_bound(
    connection: Connection, connections: Connections, waiting: list[Request], wire: Wire
) -> None:
    """A read of the event loop's is large enough for more fields than a head may have."""
    connection.data_received(CHUNKED + b"1\r\na\r\n")
    connection.data_received(b"0\r\n" + fields(30_000) + b"\r\n")
    assert (wire.written[:13], waiting, connections.buffered_bytes) == (b"HTTP/1.1 431 ", [], 0)
    assert not connection._fields


def test_a_head_counts_also_when_the_next_one_has_begun(
    connection: Connection, connections: Connections, waiting: list[Request]
) -> None:
    """Both came in one read."""
    connection.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n" + fields(20_000) + b"\r\nGET /next HT")
    assert len(waiting) == 1
    assert connections.buffered_bytes > 20_000 * 32


@pytest.mark.parametrize("rest", [b"no chunk\r\n", b"0\r\nHost: x\r\nHost: y\r\nX-"], ids=["chunk", "field"])
def test_what_follows_an_answer_within_a_read_gets_no_other(
    connections: Connections, waiting: list[Request], wire: Wire, rest: bytes
) -> None:
    """Its request was answered at its head, and the rest is dropped, whatever it is."""

    def refuse(request: Request) -> Admission:
        request.respond(403, b"no")
        return None

    found = Connection(waiting.append, max_body=100, admit=refuse, connections=connections)
    found.connection_made(cast("Transport", wire))
    found.data_received(CHUNKED + rest)
    assert wire.written.count(b"HTTP/1.1 ") == 1
    assert (wire.written[-2:], waiting) == (b"no", [])
