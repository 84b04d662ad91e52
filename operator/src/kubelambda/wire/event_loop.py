"""The agent's event loop: timers, readable descriptors and TCP connections on one epoll, and nothing else.

Every idle environment pays for what its agent imports; asyncio and uvloop are megabytes that an agent with a handful of
connections has no use for. Connections are asyncio-like: `connection_made`, `data_received`, `connection_lost`.
"""

import heapq
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from time import monotonic
from typing import Any, Protocol

from kubelambda.wire.flow import HIGH_WATER_BYTES, LOW_WATER_BYTES
from kubelambda.wire.unread import bound_unsent

_RECEIVE_BYTES = 65_536
_CANCELLED_MAX = 100
_GONE = select.EPOLLHUP | select.EPOLLERR
_READABLE = select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR


class Timer:
    """A call in the future."""

    __slots__ = ("_loop", "callback", "early")

    def __init__(self, loop: "EventLoop", callback: Callable[[], None], early: float) -> None:
        self._loop = loop
        self.callback: Callable[[], None] | None = callback
        self.early = early

    def cancel(self) -> None:
        """It is not made."""
        if self.callback is not None:
            self.callback = None
            self._loop.forget_cancelled()


class Served(Protocol):
    """The server side of a connection, as asyncio has it."""

    def connection_made(self, transport: Any) -> None:
        """The connection is open."""

    def data_received(self, data: bytes) -> None:
        """Bytes came."""

    def pause_writing(self) -> None:
        """The other side does not read: much is waiting."""

    def resume_writing(self) -> None:
        """It has read nearly all."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""


class EventLoop:
    """Runs callbacks of one thread, one at a time. A callback that fails is reported and ends nothing else."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watched: dict[int, Callable[[int], None]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = count()
        self._cancelled = 0
        self._running = True
        self._results: list[Callable[[], None]] = []
        self._signals: dict[int, Callable[[], None]] = {}
        self._servers: list[socket.socket] = []
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self.add_reader(self._woken.fileno(), self._wake)

    def run(self) -> None:
        """Runs until `stop`."""
        while self._running:
            events = self._epoll.poll(self._pause())
            for descriptor, mask in events:
                callback = self._watched.get(descriptor)
                if callback is not None:
                    self._call(callback, mask)
            now, awake = monotonic(), bool(events)
            while self._timers and self._timers[0][0] <= (now + self._timers[0][2].early if awake else now):
                _, _, timer = heapq.heappop(self._timers)
                due, timer.callback = timer.callback, None
                if due is None:
                    self._cancelled -= 1
                else:
                    awake = True
                    self._call(due)

    def stop(self) -> None:
        """Makes `run` return."""
        self._running = False

    def close(self) -> None:
        """Lets go of what it listens on and waits with. Connections are their protocols' to close."""
        for server in [*self._servers, self._woken, self._waker]:
            server.close()
        self._epoll.close()

    def call_later(self, seconds: float, callback: Callable[[], None], early: float = 0.0) -> Timer:
        """Calls back once, in `seconds`; or up to `early` seconds before, where the loop is awake anyway."""
        timer = Timer(self, callback, early)
        heapq.heappush(self._timers, (monotonic() + seconds, next(self._order), timer))
        return timer

    def forget_cancelled(self) -> None:
        """Called by a timer: nearly every timer is cancelled long before its time, and must not stay until then."""
        self._cancelled += 1
        if self._cancelled > _CANCELLED_MAX and self._cancelled * 2 > len(self._timers):
            self._timers = [entry for entry in self._timers if entry[2].callback is not None]
            heapq.heapify(self._timers)
            self._cancelled = 0

    def add_reader(self, descriptor: int, callback: Callable[[], None]) -> None:
        """Calls back whenever the descriptor is readable."""
        self.watch(descriptor, lambda _: callback(), select.EPOLLIN)

    def remove_reader(self, descriptor: int) -> None:
        """Ends that."""
        if self._watched.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def watch(self, descriptor: int, callback: Callable[[int], None], mask: int) -> None:
        """Calls back with the events of a descriptor out of `mask`."""
        if descriptor in self._watched:
            self._epoll.modify(descriptor, mask)
        else:
            self._epoll.register(descriptor, mask)
        self._watched[descriptor] = callback

    def listen(self, host: str, port: int, serve: Callable[[], Served]) -> None:
        """Serves TCP connections. Raises `OSError`."""
        server = socket.create_server((host, port), backlog=128)
        server.setblocking(False)
        bound_unsent(server)
        self._servers.append(server)

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                LoopTransport(self, connection, serve())

        self.add_reader(server.fileno(), accept)

    def connect(self, host: str, port: int, protocol: Served) -> "LoopTransport":
        """Opens a TCP connection, and waits for nothing: what fails later is told by `connection_lost`.

        What is written meanwhile goes out once it is open. Raises `OSError` when it fails at once.
        """
        connection = socket.socket()
        try:
            connection.setblocking(False)
            with suppress(BlockingIOError):
                connection.connect((host, port))
            return LoopTransport(self, connection, protocol)
        except OSError:
            connection.close()
            raise

    def in_thread(self, work: Callable[[], None], done: Callable[[Exception | None], None]) -> None:
        """Does what would block in a thread; `done` gets what it raised."""

        def run() -> None:
            error: Exception | None = None
            try:
                work()
            except Exception as raised:  # noqa: BLE001 - whoever asked for it gets it
                error = raised
            self._results.append(lambda: done(error))
            self._waker.send(b"\0")

        threading.Thread(target=run, daemon=True).start()

    def on_signal(self, number: int, callback: Callable[[], None]) -> None:
        """Calls back between two other callbacks, and never within one."""
        self._signals[number] = callback
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        signal.signal(number, lambda *_: None)

    def _wake(self) -> None:
        for number in self._woken.recv(4096):
            if number in self._signals:
                self._call(self._signals[number])
        while self._results:
            self._call(self._results.pop(0))

    def _pause(self) -> float:
        """Until the next timer. Nobody wakes for one that was cancelled."""
        timers = self._timers
        while timers and timers[0][2].callback is None:
            heapq.heappop(timers)
            self._cancelled -= 1
        return max(0.0, timers[0][0] - monotonic()) if timers else -1

    def _call(self, callback: Callable[..., None], *arguments: Any) -> None:
        try:
            callback(*arguments)
        except Exception:  # noqa: BLE001 - one connection's fault must not end the environment
            sys.excepthook(*sys.exc_info())


class LoopTransport:
    """One connection: what is written goes out in order, at once where the other side reads."""

    def __init__(self, loop: EventLoop, connection: socket.socket, protocol: Served) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._loop = loop
        self._socket = connection
        self._descriptor = connection.fileno()
        self._protocol = protocol
        self._pending = bytearray()
        self._closing = False
        self._reading = True
        self._choked = False
        self._eof = False
        loop.watch(self._descriptor, self._ready, select.EPOLLIN)
        protocol.connection_made(self)

    def write(self, data: bytes) -> None:
        """Sends, or keeps for when it can be sent."""
        if self._closing or self._eof:
            return
        sent = 0
        if not self._pending:
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                pass
            except OSError as error:
                self._end_soon(error)
                return
            if sent == len(data):
                return
        self._pending += memoryview(data)[sent:]
        self._watch()
        if not self._choked and len(self._pending) > HIGH_WATER_BYTES:
            self._choked = True
            self._protocol.pause_writing()

    def write_eof(self) -> None:
        """Closes this direction once everything is sent."""
        self._eof = True
        if not self._pending:
            self._shut_down()

    def close(self) -> None:
        """Closes once everything is sent."""
        if not self._closing:
            self._closing = True
            if not self._pending:
                self._end_soon(None)

    def abort(self) -> None:
        """Closes at once."""
        self._pending.clear()
        self._end_soon(None)

    def is_closing(self) -> bool:
        """Whether nothing more can be written."""
        return self._closing

    def pause_reading(self) -> None:
        """Receives nothing more."""
        if self._reading:
            self._reading = False
            self._watch()

    def resume_reading(self) -> None:
        """Receives again."""
        if not self._reading:
            self._reading = True
            self._watch()

    def get_write_buffer_size(self) -> int:
        """Bytes that could not be sent yet."""
        return len(self._pending)

    def get_extra_info(self, name: str) -> socket.socket | None:
        """The socket. Its address is nobody's business here."""
        return self._socket if name == "socket" else None

    def _watch(self) -> None:
        if self._descriptor >= 0:
            mask = (select.EPOLLIN if self._reading else 0) | (select.EPOLLOUT if self._pending else 0)
            self._loop.watch(self._descriptor, self._ready, mask)

    def _ready(self, mask: int) -> None:
        if mask & select.EPOLLOUT:
            self._flush()
        if mask & _GONE and not self._reading:
            self._end(None)  # which is told whatever is asked for, again and again
        elif mask & _READABLE and self._reading and self._descriptor >= 0:
            try:
                data = self._socket.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                self._end(error)
                return
            if not data:
                self._end(None)
            elif not self._closing:
                self._protocol.data_received(data)

    def _flush(self) -> None:
        try:
            sent = self._socket.send(self._pending)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(error)
            return
        del self._pending[:sent]
        if not self._pending:
            self._watch()
            if self._closing:
                self._end(None)
            elif self._eof:
                self._shut_down()
        if self._choked and len(self._pending) <= LOW_WATER_BYTES:
            self._choked = False
            if not self._closing:
                self._protocol.resume_writing()

    def _shut_down(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def _end_soon(self, error: Exception | None) -> None:
        """As asyncio does: a protocol that writes or closes hears of the end only after that."""
        self._closing = True
        self._loop.call_later(0, lambda: self._end(error))

    def _end(self, error: Exception | None) -> None:
        if self._descriptor < 0:
            return
        self._closing = True
        self._loop.remove_reader(self._descriptor)
        self._descriptor = -1
        self._socket.close()
        self._protocol.connection_lost(error)
