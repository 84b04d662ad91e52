"""Bodies that pass through as they come, on both kinds of event loop, over real sockets."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
import uvloop
from tests.ports import free_port

from kubelambda.wire.client import connect
from kubelambda.wire.connections import Bounds, Connections
from kubelambda.wire.event_loop import EventLoop
from kubelambda.wire.flow import Headers
from kubelambda.wire.protocol import ServerProtocol
from kubelambda.wire.relay import AnswerRelay, Relay, relayed_head
from kubelambda.wire.request_reader import Admission
from kubelambda.wire.server import Connection, Request
from kubelambda.wire.unread import bound_unsent, unread

MEGABYTE = 1 << 20
LARGE = 70 * MEGABYTE
PIECE = bytes(65_536)
_QUICK = Bounds(head_s=1.0, body_s=1.0, write_s=1.0, idle_s=1.0, connections=4, buffered_bytes=8 * MEGABYTE)


class Sink:
    """Counts what comes, and answers with the count."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.size = 0
        self.trailers: Headers = {}
        self.aborted = ""

    def data(self, data: bytes) -> None:
        """Called by the connection."""
        self.size += len(data)

    def end(self, trailers: Headers) -> None:
        """Called by the connection."""
        self.trailers = trailers
        self.request.respond(200, str(self.size).encode())

    def abort(self, why: str) -> None:
        """Called by the connection."""
        self.aborted = why


class Producer:
    """Sends as much as it is asked for, and no more than the caller takes."""

    def __init__(self, request: Request, size: int, *, length: int | None) -> None:
        self.request = request
        self.left = size
        self.paused = self.gone = False
        self.pauses = self.kept = 0
        request.begin(200, b"Content-Type: text/plain\r\n", length=length, flow=self)
        self._go()

    def _go(self) -> None:
        while self.left and not self.paused and not self.gone:
            self.left -= len(PIECE)
            self.request.write(PIECE)
            transport = cast("Connection", self.request.connection)._transport
            self.kept = max(self.kept, transport.get_write_buffer_size() if transport is not None else 0)
        if not self.left:
            self.request.end(b"X-Sum: 1\r\n")

    def pause(self) -> None:
        """Called by the connection."""
        self.paused = True
        self.pauses += 1

    def resume(self) -> None:
        """Called by the connection."""
        self.paused = False
        self._go()

    def cancel(self) -> None:
        """Called by the connection."""
        self.gone = True


class Site:
    """A server that streams both ways."""

    def __init__(self) -> None:
        self.sinks: list[Sink] = []
        self.producers: list[Producer] = []
        self.answered: list[Request] = []
        self.waiting = 0
        self.port = 0
        self.connections = Connections()
        self.run: Callable[[Callable[[], None]], None] = lambda _: None

    def admit(self, request: Request) -> Admission:
        """Streams what is sent to /sink, refuses what is sent to /no, and keeps a thousand bytes of all else."""
        if request.target.startswith(b"/sink"):
            self.sinks.append(Sink(request))
            if request.target == b"/sink/full":
                request.pause()
            return self.sinks[-1]
        if request.target == b"/no":
            request.respond(401, b"no")
            return None
        return 1000

    def serve(self, request: Request) -> None:
        """Answers in pieces."""
        if request.target in (b"/large", b"/relayed"):
            request.connection.relaying = request.target == b"/relayed"
            self.producers.append(Producer(request, LARGE, length=None))
        elif request.target == b"/length":
            self.producers.append(Producer(request, MEGABYTE, length=MEGABYTE))
        elif request.target == b"/much":
            request.begin(200)
            for _ in range(32):
                request.write(PIECE)
        elif request.target == b"/page":
            request.respond(200, bytes(100_000))
        elif request.target == b"/abort":
            request.begin(200)
            request.write(b"some")
            request.abort()
        elif request.target == b"/short":
            request.begin(200, length=10)
            request.write(b"some")
            request.end()
        elif request.target == b"/never":
            self.waiting += 1
        else:
            request.respond(200, request.body)
        self.answered.append(request)

    def connect(self, receive_bytes: int = 0) -> socket.socket:
        """A client."""
        found = socket.socket()
        if receive_bytes:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        found.settimeout(20)
        found.connect(("127.0.0.1", self.port))
        return found


def on_event_loop(site: Site, bounds: Bounds) -> Callable[[], None]:
    """Serves on the agent's event loop, in a thread; returns what ends it."""
    loop = EventLoop()
    site.connections = connections = Connections(bounds, loop.call_later)
    site.port = free_port()
    loop.listen(
        "127.0.0.1",
        site.port,
        lambda: Connection(site.serve, max_body=1000, admit=site.admit, connections=connections),
    )
    thread = threading.Thread(target=loop.run, daemon=True)
    thread.start()
    site.run = lambda work: loop.in_thread(lambda: None, lambda _: work())

    def end() -> None:
        site.run(loop.stop)
        thread.join(30)
        assert not thread.is_alive()
        for connection in connections:
            connection.cut()
        loop.call_later(0.05, loop.stop)
        loop._running = True
        loop.run()
        loop.close()

    return end


def on_uvloop(site: Site, bounds: Bounds) -> Callable[[], None]:
    """Serves on uvloop, in a thread; returns what ends it."""
    started = threading.Event()
    stop: list[Any] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        site.connections = connections = Connections(bounds, loop.call_later)
        server = await loop.create_server(
            lambda: ServerProtocol(site.serve, max_body=1000, admit=site.admit, connections=connections),
            "127.0.0.1",
            0,
        )
        bound_unsent(server.sockets[0])
        site.port = server.sockets[0].getsockname()[1]

        def run(work: Callable[[], None]) -> None:
            loop.call_soon_threadsafe(work)

        site.run = run
        ended = asyncio.Event()
        stop.append(lambda: loop.call_soon_threadsafe(ended.set))
        started.set()
        await ended.wait()
        server.close()
        for connection in connections:
            connection.cut()
        await asyncio.sleep(0.05)

    def serve() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert started.wait(30)

    def end() -> None:
        stop[0]()
        thread.join(30)
        assert not thread.is_alive()

    return end


LOOPS = pytest.mark.parametrize("serving", [on_event_loop, on_uvloop], ids=["event-loop", "uvloop"])


@contextlib.contextmanager
def served(serving: Callable[[Site, Bounds], Callable[[], None]], bounds: Bounds | None = None) -> Iterator[Site]:
    """A site on one of the loops."""
    site = Site()
    end = serving(site, bounds or Bounds())
    try:
        yield site
    finally:
        end()


def received(found: socket.socket) -> bytes:
    """All that comes."""
    data = bytearray()
    while piece := found.recv(MEGABYTE):
        data += piece
    return bytes(data)


def eventually(condition: Callable[[], object]) -> bool:
    """Whether it becomes true."""
    deadline = time.monotonic() + 90
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


GET = b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@LOOPS
def test_an_answer_is_sent_as_fast_as_it_is_read(serving: Any) -> None:
    """Seventy megabytes in chunks, a few hundred kilobytes of them in memory, and the trailers at the end."""
    with served(serving) as site, site.connect(65_536) as found:
        found.sendall(b"GET /large" + GET)
        assert eventually(lambda: site.producers and site.producers[0].paused)
        assert site.producers[0].left > LARGE // 2
        answer = received(found)
        assert answer.endswith(b"0\r\nX-Sum: 1\r\n\r\n")
        assert answer.count(b"10000\r\n") >= LARGE // len(PIECE)
        assert site.producers[0].kept < 4 * len(PIECE)


@LOOPS
def test_an_answer_of_known_length_is_not_in_chunks(serving: Any) -> None:
    """And the connection goes on after it."""
    with served(serving) as site, site.connect() as found:
        found.sendall(b"GET /length HTTP/1.1\r\nHost: x\r\n\r\nPOST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n")
        found.sendall(b"Connection: close\r\n\r\nhi")
        head, _, rest = received(found).partition(b"\r\n\r\n")
        assert b"Content-Length: %d" % MEGABYTE in head
        assert rest[:MEGABYTE] == bytes(MEGABYTE)
        assert rest[MEGABYTE:].startswith(b"HTTP/1.1 200 OK")
        assert rest.endswith(b"hi")


@LOOPS
def test_the_end_of_the_connection_is_the_end_for_http_1_0(serving: Any) -> None:
    """Which knows no chunks."""
    with served(serving) as site, site.connect() as found:
        found.sendall(b"GET /large HTTP/1.0\r\n\r\n")
        head, _, body = received(found).partition(b"\r\n\r\n")
        assert b"chunked" not in head
        assert len(body) == LARGE


@LOOPS
@pytest.mark.parametrize("target", [b"/abort", b"/short"])
def test_an_answer_that_breaks_off_is_seen_to(serving: Any, target: bytes) -> None:
    """There is no last chunk, and no less than was announced passes for all."""
    with served(serving) as site, site.connect() as found:
        found.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = received(found)
        assert answer.endswith((b"some\r\n", b"some"))


@LOOPS
def test_a_producer_hears_that_its_caller_is_gone(serving: Any) -> None:
    """It would wait for ever to go on."""
    with served(serving) as site:
        with site.connect(4096) as found:
            found.sendall(b"GET /large" + GET)
            assert eventually(lambda: site.producers and site.producers[0].paused)
        assert eventually(lambda: site.producers[0].gone)


@LOOPS
def test_a_body_is_streamed_and_its_sender_waits_for_the_sink(serving: Any) -> None:
    """Of seventy megabytes, only what the kernel keeps is sent until the sink takes them."""
    with served(serving) as site, site.connect() as found:
        found.sendall(b"POST /sink/full HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % LARGE)
        sent = [0]

        def send() -> None:
            while sent[0] < LARGE:
                sent[0] += found.send(PIECE)

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        assert eventually(lambda: site.sinks and sent[0] > 0)
        time.sleep(0.3)
        assert site.sinks[0].size < MEGABYTE
        assert sent[0] < LARGE // 2
        site.run(site.sinks[0].request.resume)
        sender.join(60)
        answer = found.recv(MEGABYTE)
        assert answer.endswith(b"%d" % LARGE)


@LOOPS
def test_a_body_that_breaks_off_is_told_to_its_sink(serving: Any) -> None:
    """It is not complete."""
    with served(serving) as site:
        with site.connect() as found:
            found.sendall(b"POST /sink HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
            assert eventually(lambda: site.sinks and site.sinks[0].size == 3)
        assert eventually(lambda: site.sinks[0].aborted)
        with site.connect() as found:
            found.sendall(b"POST /sink HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
            found.sendall(b"0\r\nX-Sum: 1\r\n\r\n")
            assert found.recv(MEGABYTE).endswith(b"3")
        assert site.sinks[1].trailers == {b"x-sum": b"1"}


@LOOPS
def test_what_is_refused_at_its_head_is_not_kept(serving: Any) -> None:
    """Its sender gets the answer, though it sends on; a small request costs no connection."""
    with served(serving) as site, site.connect() as found:
        found.sendall(b"GET /no HTTP/1.1\r\nHost: x\r\n\r\n")
        assert found.recv(MEGABYTE).endswith(b"no")
        found.sendall(b"POST /no HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % LARGE)
        with contextlib.suppress(OSError):
            for _ in range(40):
                found.sendall(PIECE)
        assert received(found).startswith(b"HTTP/1.1 401 ")


@LOOPS
@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"GET /x HTTP/1.1\r\nHost", b"HTTP/1.1 408 "),
        (b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab", b"HTTP/1.1 408 "),
        (b"POST /sink HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab", b"HTTP/1.1 408 "),
        (b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 200 "),
        (b"", b""),
    ],
    ids=["head", "body", "streamed-body", "idle", "nothing"],
)
def test_everything_has_its_time(serving: Any, sent: bytes, answer: bytes) -> None:
    """A head, a body, the pause after an answer and the one before the first request."""
    with served(serving, _QUICK) as site, site.connect() as found:
        found.sendall(sent)
        assert received(found).startswith(answer)


@LOOPS
def test_who_does_not_read_is_left(serving: Any) -> None:
    """In time."""
    bounds = Bounds(write_s=1.0)
    with served(serving, bounds) as site, site.connect(4096) as found:
        found.sendall(b"GET /large" + GET)
        assert eventually(lambda: site.producers and site.producers[0].paused)
        assert eventually(lambda: site.producers[0].gone)


def connection_of(site: Site) -> Connection:
    """That of the first request that was answered with much."""
    return cast("Connection", site.answered[0].connection)


def looked_at(site: Site) -> bool:
    """Whether its connection is still there when the time to read has passed."""
    connection, done = connection_of(site), threading.Event()

    def look() -> None:
        connection.expire(time.monotonic())
        done.set()

    site.run(look)
    assert done.wait(30)
    return connection._transport is not None and not connection._transport.is_closing()


def unread_of(site: Site) -> int:
    """Bytes of its answer that are not taken."""
    transport = connection_of(site)._transport
    assert transport is not None
    return unread(transport)


@LOOPS
def test_who_reads_slowly_gets_all_of_it(serving: Any) -> None:
    """Whatever is taken in the time for it is enough, though whoever sends is still told to wait."""
    with served(serving) as site, site.connect(65_536) as found:
        found.sendall(b"GET /much" + GET)
        assert eventually(lambda: site.answered)
        before, read = unread_of(site), 0
        while unread_of(site) >= before:  # its system tells of it when some of its room is free
            read += len(found.recv(MEGABYTE))
        assert read < MEGABYTE
        assert looked_at(site)
        assert eventually(lambda: not looked_at(site))


@LOOPS
def test_the_system_keeps_little_of_what_is_not_read(serving: Any) -> None:
    """Else nobody up the way could tell for minutes whether a client reads."""
    with served(serving) as site, site.connect(4096) as found:
        found.sendall(b"GET /large" + GET)
        assert eventually(lambda: site.producers and site.producers[0].paused)
        assert unread_of(site) < MEGABYTE


@LOOPS
def test_a_drain_waits_for_what_is_not_read_no_longer_than_for_any_answer(serving: Any) -> None:
    """Even for what only the system has of it, which would go with the process."""
    with served(serving, Bounds(write_s=3.0)) as site, site.connect(4096) as found:
        found.sendall(b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n")
        assert eventually(lambda: site.answered)
        waits: list[bool] = []

        def drained() -> bool:
            site.run(lambda: waits.append(connection_of(site).finish()))
            return False in waits

        assert eventually(drained)
        assert waits[0]
        assert connection_of(site)._transport is None


@LOOPS
def test_one_of_us_reads_as_its_caller_does(serving: Any) -> None:
    """Seldom, where that one is slow; he is watched where he is."""
    with served(serving) as site, site.connect(4096) as found:
        found.sendall(b"GET /relayed" + GET)
        assert eventually(lambda: site.producers and site.producers[0].paused)
        assert connection_of(site).deadline > time.monotonic() + 300


@LOOPS
def test_a_request_that_waits_for_its_answer_has_all_the_time(serving: Any) -> None:
    """Functions may run for a quarter of an hour."""
    with served(serving, _QUICK) as site, site.connect() as found:
        found.sendall(b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n")
        found.settimeout(3.5)
        with pytest.raises(TimeoutError):
            found.recv(1)


@LOOPS
def test_a_new_connection_takes_the_place_of_an_idle_one(serving: Any) -> None:
    """Only where all are in use is there no room."""
    bounds = Bounds(connections=3)
    with served(serving, bounds) as site:
        busy = [site.connect() for _ in range(2)]
        for found in busy:
            found.sendall(b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n")
        idle = site.connect()
        idle.sendall(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(MEGABYTE).startswith(b"HTTP/1.1 200 ")
        assert eventually(lambda: site.waiting == 2)
        third = site.connect()
        third.sendall(b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(MEGABYTE) == b""
        assert eventually(lambda: site.waiting == 3)
        with site.connect() as fourth, contextlib.suppress(ConnectionError):
            assert fourth.recv(MEGABYTE) == b""
        for found in [*busy, third]:
            found.setblocking(False)
            with pytest.raises(BlockingIOError):
                found.recv(1)
            found.close()
        idle.close()


@LOOPS
def test_half_heads_keep_nobody_out(serving: Any) -> None:
    """Nor those who have their answer, and send on what nobody reads."""
    with served(serving, Bounds(connections=3)) as site, contextlib.ExitStack() as stack:
        busy = stack.enter_context(site.connect())
        busy.sendall(b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n")
        assert eventually(lambda: site.waiting == 1)
        for begun in (b"GET /x HTTP/1.1\r\nHo", b"POST /no HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"):
            stack.enter_context(site.connect()).sendall(begun)
        assert eventually(lambda: [each.idle for each in site.connections] == [False] * 3)
        for _ in range(5):
            with site.connect() as found:
                found.sendall(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
                assert found.recv(MEGABYTE).startswith(b"HTTP/1.1 200 ")
                stack.enter_context(site.connect()).sendall(b"G")
        busy.setblocking(False)
        with pytest.raises(BlockingIOError):
            busy.recv(1)


async def test_a_request_and_its_answer_pass_through_with_nothing_kept() -> None:
    """Seventy megabytes each way, between a slow sender, a relay, and a slow reader."""
    loop = asyncio.get_running_loop()
    returned: list[Any] = []

    def failed(why: str) -> None:
        raise AssertionError(why)

    def admit(request: Request) -> Admission:
        head = relayed_head(request, b"X-Relayed: yes\r\n", length=int(request.headers.get(b"content-length", 0)))
        relay = Relay(request, head, AnswerRelay(request, done=returned.append, failed=failed))
        loop.call_later(0.2, lambda: relay.through(pool.pop()))  # some of the body is here before the connection
        return relay

    def serve(request: Request) -> None:
        raise AssertionError("nothing is collected")

    async with contextlib.AsyncExitStack() as stack:
        far = stack.enter_context(served(on_event_loop))
        stack.push_async_callback(asyncio.sleep, 0.05)  # connections that were closed are lost a moment later
        pool = [await connect("127.0.0.1", far.port, lambda _: None) for _ in range(2)]
        for connection in pool:
            stack.callback(connection.abort)
        server = await loop.create_server(lambda: ServerProtocol(serve, max_body=0, admit=admit), "127.0.0.1", 0)
        stack.callback(server.close)
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=65_536)
        stack.callback(writer.close)
        await stack.enter_async_context(asyncio.timeout(90))
        writer.write(b"POST /sink HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % LARGE)
        for _ in range(LARGE // len(PIECE)):
            writer.write(PIECE)
            await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert await reader.readexactly(len(str(LARGE))) == str(LARGE).encode()
        assert far.sinks[0].request.headers[b"x-relayed"] == b"yes"
        writer.write(b"GET /large" + GET)
        assert await asyncio.to_thread(eventually, lambda: far.producers and far.producers[0].paused)
        await asyncio.sleep(0.3)  # in which it would go on, were anything kept on the way
        assert far.producers[0].left > LARGE // 2
        answer = bytearray()
        while piece := await reader.read(MEGABYTE):
            answer += piece
        assert answer.endswith(b"0\r\nx-sum: 1\r\n\r\n")
        assert len(answer) > LARGE
        assert len(returned) == 2


async def test_what_a_sender_had_on_its_way_when_it_was_told_to_wait_is_counted() -> None:
    """All that connections hold together is bounded, and this is most of it."""

    class Deaf:
        """Sends on, whatever it is told."""

        def pause(self) -> None:
            """Called by the connection."""

        resume = cancel = pause

    connections, asked = Connections(Bounds(buffered_bytes=LARGE)), asyncio.Event()
    requests: list[Request] = []

    def serve(request: Request) -> None:
        requests.append(request)
        request.begin(200, flow=Deaf())
        for _ in range(LARGE // 2 // len(PIECE)):
            request.write(PIECE)
        asked.set()

    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: ServerProtocol(serve, max_body=0, connections=connections), "127.0.0.1", 0
    )
    _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await asked.wait()
    transport = cast("Connection", requests[0].connection)._transport
    assert transport is not None
    assert connections.buffered_bytes == transport.get_write_buffer_size() > 10 * MEGABYTE
    for _ in range(LARGE // len(PIECE)):
        requests[0].write(PIECE)
    assert transport.is_closing()
    writer.close()
    server.close()
    await asyncio.sleep(0.02)
