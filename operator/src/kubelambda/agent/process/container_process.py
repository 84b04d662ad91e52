"""The program of a function's own image, in the container beside ours: its process 1 starts and ends it for us."""

import os
import select
import shutil
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from kubelambda.agent.process import configuration, process
from kubelambda.agent.process.cgroup_peak import CgroupPeak
from kubelambda.agent.process.configuration import Unusable
from kubelambda.agent.process.process import Ended
from kubelambda.api.environment_protocol import Specialization
from kubelambda.wire.event_loop import EventLoop

SOCKET = "agent.sock"
FIFO = "output"
EXTENSION_FIFO = "output-of-extensions"
LAUNCHER = "launcher"
_READ_BYTES = 4096
_DESCRIPTORS = 3
_ENDED = b"ended"


def prepare(shared: Path, launcher: Path) -> tuple[int, int]:
    """Puts into the folder that both containers see what the other one needs; the ends of the pipe for its output."""
    target = shared / LAUNCHER
    shutil.copyfile(launcher, target.with_suffix(".new"))
    target.with_suffix(".new").chmod(0o555)
    target.with_suffix(".new").replace(target)
    return _fifo(shared / FIFO)


def _fifo(path: Path) -> tuple[int, int]:
    path.unlink(missing_ok=True)
    os.mkfifo(path, 0o600)
    source = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    return source, os.open(path, os.O_WRONLY | os.O_CLOEXEC)  # with a writer of our own it never ends


class ContainerProcess:
    """At most one program at a time. The same as a `RuntimeProcess` for the environment, and further away."""

    def __init__(self, shared: Path, loop: EventLoop) -> None:
        self._loop = loop
        self._shared = shared
        self._launcher: socket.socket | None = None
        self._received = b""
        self._introduced = False
        self.extensions: list[str] = []
        self.launched: set[str] = set()
        self.extension_source: int | None = None
        self.running = False
        self.on_end: Callable[[Ended], None] = lambda _: None
        """Called with a program that ended."""
        self.on_extension_end: Callable[[str, Ended], None] = lambda *_: None
        """Called with an external extension that ended."""
        self.on_term: Callable[[], None] = lambda: None
        """Called when the container is asked to end, which Kubernetes does before it asks us."""
        self.on_memory: Callable[[CgroupPeak], None] = lambda _: None
        """Called with the mark of the container's memory, where its node shows one."""
        self.on_process_count: Callable[[int], None] = lambda _: None
        """Called with the open file of how many processes the container has, likewise."""
        address = shared / SOCKET
        address.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(address))
        self._listener.listen(1)
        self._listener.setblocking(False)
        loop.add_reader(self._listener.fileno(), self._accept)

    @property
    def absence(self) -> str:
        """Why nothing can be started; empty once it can."""
        return "" if self._introduced else "the container of the function's image has not started"

    def start(self, wanted: Specialization, variables: dict[str, str]) -> None:
        """Starts the program. Raises `Unusable`."""
        if self._launcher is None:
            raise Unusable("the container of the function's image has ended, or not started")
        if not wanted.command:
            raise Unusable("the image has no entry point and no command, and neither has imageConfig")
        self.running = True
        command = [wanted.working_directory, str(len(wanted.command)), *wanted.command]
        self._send_strings(b"start", [*command, *_pairs(variables)])

    def launch(self, name: str, variables: dict[str, str]) -> None:
        """Starts an external extension, with the image's own variables too. Raises `Unusable`."""
        if self._launcher is None:
            raise Unusable("the container of the function's image has ended, or not started")
        if self.extension_source is None:
            self.extension_source, _ = _fifo(self._shared / EXTENSION_FIFO)
        self.launched.add(name)
        self._send_strings(b"extension", [name, *_pairs(variables), *sorted(configuration.RUNTIME_ONLY)])

    def terminate(self, *, force: bool = False) -> None:
        """Asks the program to end, or ends it; extensions go on."""
        self._send(b"end\n" if force else b"terminate\n")

    def kill(self) -> None:
        """Ends the program and all that it started. `on_end` hears of it.

        It has a moment to be gone: what it is just printing would come after the report.
        """
        if self._launcher is not None:
            self._send(b"kill\n")
            self._await_end(process.END_S)

    def reap(self) -> None:
        """The launcher tells."""

    def _send_strings(self, word: bytes, strings: list[str]) -> None:
        payload = b"".join(os.fsencode(each) + b"\0" for each in strings)
        self._send(b"%b %d\n" % (word, len(payload)) + payload)

    def _send(self, data: bytes) -> None:
        launcher = self._launcher
        if launcher is not None:
            try:
                launcher.sendall(data)
            except OSError:
                self._lost()

    def _await_end(self, seconds: float) -> None:
        """Returns once the launcher says that the program has ended, which is left to `_read`, or the time is over."""
        deadline = time.monotonic() + seconds
        with suppress(OSError):  # of which `_read` hears too
            while self.running and self._launcher is not None and (left := deadline - time.monotonic()) > 0:
                if select.select([self._launcher], [], [], left)[0]:
                    told = self._launcher.recv(_READ_BYTES, socket.MSG_PEEK)
                    if not told or _ENDED in told:
                        break
                    time.sleep(process.LOOK_S)

    def _accept(self) -> None:
        accepted, _ = self._listener.accept()
        if self._launcher is not None:  # the first one came before anything of the function ran
            accepted.close()
            return
        self._launcher = accepted
        self._loop.add_reader(accepted.fileno(), self._read)

    def _read(self) -> None:
        launcher = self._launcher
        if launcher is None:
            return
        try:
            data, descriptors, _, _ = socket.recv_fds(launcher, _READ_BYTES, _DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
        except OSError:
            data, descriptors = b"", []
        if not data:
            self._lost()
            return
        if len(descriptors) >= 2:
            self.on_memory(CgroupPeak(*descriptors[:2]))
        for counter in descriptors[2:]:
            self.on_process_count(counter)
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            self._hear(line)

    def _hear(self, line: bytes) -> None:
        word, _, rest = line.partition(b" ")
        if word == b"extension":
            self.extensions.append(os.fsdecode(rest))
        elif word == b"memory":
            self._introduced = True
        elif word == b"term":
            self.on_term()
        elif word == _ENDED:
            self._ended(*map(int, rest.split()))
        elif word == b"exited":
            status, _, name = rest.partition(b" ")
            self.launched.discard(os.fsdecode(name))
            self.on_extension_end(os.fsdecode(name), Ended(0, int(status), 0))

    def _ended(self, status: int, peak_kb: int) -> None:
        if self.running:
            self.running = False
            self.on_end(Ended(0, status, peak_kb))

    def _lost(self) -> None:
        """The container ended, and all that was in it: memory ran out, as a rule. It is never used again."""
        launcher, self._launcher, self._introduced = self._launcher, None, False
        if launcher is not None:
            self._loop.remove_reader(launcher.fileno())
            launcher.close()
        launched, self.launched = self.launched, set()
        self._ended(9, 0)
        for name in launched:
            self.on_extension_end(name, Ended(0, 9, 0))
        self.on_term()


def _pairs(variables: dict[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in variables.items()]
