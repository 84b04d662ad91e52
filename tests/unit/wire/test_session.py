"""Requests over kept connections, against real sockets that answer well, late, or not at all."""

import asyncio
import gc
import io
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from tests.eventually import eventually

from kubelambda.wire.session import Session

type Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
type Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

DONE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone"


class Server:
    """Serves each connection with the next of `scripts`."""

    def __init__(self) -> None:
        self.scripts: list[Serve] = []
        self.heads: list[bytes] = []
        self.asked = asyncio.Event()
        self.connections = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        await self.scripts.pop(0)(reader, writer)
        writer.close()

    def answers(self, *answers: bytes) -> None:
        """The next connection answers so many requests, and ends."""

        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for answer in answers:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                self.asked.set()
                writer.write(answer)

        self.scripts.append(script)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """The other side."""
    found = Server()
    listening = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/behind/"
    yield found
    listening.close()
    listening.close_clients()


@pytest.fixture
async def session(server: Server) -> AsyncIterator[Session]:
    """A client of it."""
    found = Session(server.url)
    yield found
    await found.close()


async def test_requests_share_a_connection(server: Server, session: Session) -> None:
    """The path of the server's address stands before theirs."""
    server.answers(DONE, DONE)
    for method in ("GET", "POST"):
        status, headers, body = await session.call(method, "/it?now", {"X-Name": "value"}, seconds=60)
        assert (status, headers[b"content-length"], body) == (200, b"4", b"done")
    assert server.connections == 1
    assert server.heads[0].startswith(b"GET /behind/it?now HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nX-Name: value\r\n" in server.heads[0]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_what_may_be_repeated_is_sent_again_where_a_kept_connection_ended(
    server: Server, session: Session, method: str
) -> None:
    """The server may end it at the very moment in which it is used."""
    server.answers(DONE, b"")
    server.answers(DONE)
    await session.call("GET", "/", {}, seconds=60)
    assert await session.call(method, "/", {}, b"body", seconds=60) == (200, {b"content-length": b"4"}, b"done")


async def test_what_may_have_been_done_is_not_sent_again(server: Server, session: Session) -> None:
    """Nobody can say whether the server did it."""
    server.answers(DONE, b"")
    await session.call("GET", "/", {}, seconds=60)
    with pytest.raises(ConnectionError):
        await session.call("POST", "/", {}, b"body", seconds=60)
    assert server.connections == 1


async def test_a_call_takes_no_longer_than_it_may(server: Server, session: Session) -> None:
    """And its connection is not used again, on which an answer may still come."""
    server.answers(b"", DONE)
    server.answers(DONE)
    with pytest.raises(TimeoutError):
        await session.call("GET", "/", {}, seconds=0.1)
    assert (await session.call("GET", "/", {}, seconds=60))[0] == 200
    assert server.connections == 2


async def test_an_answer_is_read_as_it_comes(server: Server, session: Session) -> None:
    """Piece by piece, and the connection serves the next request."""
    read = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        await read.wait()
        writer.write(b"3\r\ntwo\r\n0\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(DONE)

    server.scripts.append(script)
    async with session.read("/", {}, seconds=60) as answer:
        pieces = answer.pieces(60)
        assert (answer.status, await anext(pieces)) == (200, b"one")
        read.set()
        assert [piece async for piece in pieces] == [b"two"]
    assert (await session.call("POST", "/", {}, seconds=60))[2] == b"done"
    assert server.connections == 1


async def test_a_server_waits_for_who_reads_slowly(server: Server, session: Session) -> None:
    """However much there is to read, little of it is kept here."""
    size = 64 << 20
    sent = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(bytes(1 << 20))
            await writer.drain()
            sent += 1 << 20

    server.scripts.append(script)
    async with session.read("/", {}, seconds=60) as answer:
        pieces = answer.pieces(60)
        read = len(await anext(pieces))
        await asyncio.sleep(0.3)
        assert sent < size // 2
        async for piece in pieces:
            read += len(piece)
        assert read == size


async def test_silence_within_an_answer_is_noticed(server: Server, session: Session) -> None:
    """By whoever reads, who says how long it may last."""
    server.answers(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", DONE)
    async with session.read("/", {}, seconds=60) as answer:
        pieces = answer.pieces(0.1)
        assert await anext(pieces) == b"half"
        with pytest.raises(TimeoutError):
            await anext(pieces)


async def test_an_answer_that_breaks_off_is_an_error(server: Server, session: Session) -> None:
    """Once all that came is read."""
    server.answers(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    async with session.read("/", {}, seconds=60) as answer:
        pieces = answer.pieces(60)
        assert await anext(pieces) == b"half"
        with pytest.raises(ConnectionError):
            await anext(pieces)


async def test_the_connection_of_an_answer_that_was_left_is_not_used_again(server: Server, session: Session) -> None:
    """What is left of it would be taken for the next one."""
    server.answers(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", b"")
    server.answers(DONE)
    async with session.read("/", {}, seconds=60) as answer:
        assert answer.status == 200
    assert (await session.call("POST", "/", {}, seconds=60))[2] == b"done"


async def test_a_file_is_sent_from_where_it_stands(server: Server, session: Session) -> None:
    """A piece at a time."""
    data = bytes(range(256)) * 8192
    received = b""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        server.heads.append(await reader.readuntil(b"\r\n\r\n"))
        received = await reader.readexactly(len(data) - 16)
        writer.write(DONE)

    server.scripts.append(script)
    file = io.BytesIO(data)
    file.seek(16)
    assert (await session.upload("PUT", "/", {}, file, seconds=60))[0] == 200
    assert b"\r\nContent-Length: %d\r\n" % (len(data) - 16) in server.heads[0]
    assert received == data[16:]


async def test_a_file_that_is_refused_at_its_head_is_not_sent_to_its_end(server: Server, session: Session) -> None:
    """The refusal is what the caller gets."""
    server.answers(b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nmuch")
    file = io.BytesIO(bytes(256 << 20))
    status, _, body = await session.upload("PUT", "/", {}, file, seconds=60)
    assert (status, body) == (413, b"much")
    assert file.tell() < 200 << 20


async def test_nobody_there_is_an_error_of_the_system(server: Server) -> None:
    """Which callers know from everything else that can be wrong with a connection."""
    session = Session("http://127.0.0.1:9")
    with pytest.raises(OSError, match=r"refused|failed"):
        await session.call("GET", "/", {}, seconds=60)
    with pytest.raises(OSError, match=r"refused|failed"):
        async with session.read("/", {}, seconds=60):
            pass
    await session.close()


async def test_closing_ends_what_is_under_way(server: Server, session: Session) -> None:
    """Nobody waits for an answer that cannot come any more, and nothing is asked after that."""
    server.answers(b"", b"")
    server.answers(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", b"")
    called = asyncio.create_task(session.call("POST", "/", {}, seconds=60))
    await server.asked.wait()
    async with session.read("/", {}, seconds=60) as answer:
        pieces = answer.pieces(60)
        await anext(pieces)
        await session.close()
        with pytest.raises(ConnectionError):
            await anext(pieces)
    with pytest.raises(ConnectionError):
        await called
    with pytest.raises(RuntimeError, match="closed"):
        await session.call("GET", "/", {}, seconds=60)


async def test_the_connection_of_a_whole_answer_that_somebody_cannot_use_is_kept(
    server: Server, session: Session
) -> None:
    """It would stay open, and nobody would know of it."""
    server.answers(DONE, DONE)
    with pytest.raises(ValueError, match="done"):
        async with session.read("/", {}, seconds=60) as answer:
            raise ValueError(await answer.whole(60))
    assert (await session.call("POST", "/", {}, seconds=60))[2] == b"done"
    assert server.connections == 1


async def test_a_file_that_nobody_takes_leaves_nothing_behind(server: Server, session: Session) -> None:
    """Neither an open connection nor an error that nobody asks for."""
    ended, reported = asyncio.Event(), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    async def script(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        server.heads.append(await reader.readuntil(b"\r\n\r\n"))
        await ended.wait()

    server.scripts.append(script)
    uploading = asyncio.create_task(session.upload("PUT", "/", {}, io.BytesIO(bytes(64 << 20)), seconds=60))
    await eventually(lambda: server.heads)
    (connection,) = session._busy
    await eventually(lambda: connection._transport is not None and connection._transport.get_write_buffer_size() > 0)
    uploading.cancel()
    await asyncio.wait([uploading])
    await asyncio.sleep(0)
    assert connection._transport is None
    ended.set()
    del uploading
    gc.collect()
    assert reported == []


async def test_closing_ends_what_would_be_asked_once_more(server: Server, session: Session) -> None:
    """On a kept connection, whose end may be the server's, and with one that is still to come."""
    server.answers(DONE, b"", b"")
    await session.call("GET", "/", {}, seconds=60)
    server.asked.clear()
    called = asyncio.create_task(session.call("GET", "/", {}, seconds=60))
    await server.asked.wait()
    connecting = asyncio.create_task(session.call("GET", "/", {}, seconds=60))
    await asyncio.sleep(0)
    server.answers(DONE)
    await session.close()
    for task in (called, connecting):
        with pytest.raises(ConnectionError):
            await task
