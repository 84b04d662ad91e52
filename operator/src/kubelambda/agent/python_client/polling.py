"""How a Python runtime process polls: in its main thread, or in one other when the function handles signals.

The official client polls `/next` in a thread, so that the main thread can run signal handlers meanwhile, and makes an
executor and a thread anew for every event, which costs more than everything else that it does. Our transport lets the
main thread run them, and needs no thread. With the native one the thread stays, and is used once there is a handler to
run; what is called, and what waits for it, is the client's own code.
"""

import _signal  # type: ignore[import-not-found]
import _thread
from collections.abc import Callable
from queue import SimpleQueue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

_SIGNALS = sorted(int(number) for number in _signal.valid_signals())


class _Result:
    """What the client asks of a future."""

    __slots__ = ("_error", "_value")

    def __init__(self, work: "Callable[[], Any]") -> None:
        self._value: object = None
        self._error: BaseException | None = None
        try:
            self._value = work()
        except BaseException as error:  # noqa: BLE001 - it is raised again where the result is asked for
            self._error = error

    def result(self) -> object:
        """The value, or the exception raised."""
        if self._error is not None:
            raise self._error
        return self._value


def _handles_signals() -> bool:
    """Whether any signal has a handler written in Python. The public module would take ten times as long to say."""
    return any(callable(_signal.getsignal(number)) for number in _SIGNALS)


class SameThread:
    """Takes the place of the `ThreadPoolExecutor` that the client makes, enters and leaves for every event."""

    def __call__(self, max_workers: int) -> "Self":  # noqa: ARG002 - the executor's signature
        """A new executor, as far as the client knows."""
        return self

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is given up."""

    def submit(self, work: "Callable[[], Any]") -> _Result:
        """Runs `work`, and returns once it is done."""
        return _Result(work)


class PollingThread(SameThread):
    """The same, for a `work` in which the interpreter cannot handle signals."""

    def __init__(self) -> None:
        self._asked: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._answered: SimpleQueue[_Result] = SimpleQueue()
        self._running = False

    def submit(self, work: "Callable[[], Any]") -> _Result:
        """Runs `work`. The wait for the thread, other than the work itself, lets the main thread handle signals."""
        if not _handles_signals():
            return _Result(work)
        if not self._running:
            self._running = True
            _thread.start_new_thread(self._poll, ())
        self._asked.put(work)
        return self._answered.get()

    def _poll(self) -> None:
        while True:
            self._answered.put(_Result(self._asked.get()))


def replace_executor(client: "Any", executor: SameThread) -> None:
    """Makes the client class use `executor`. Without the attribute that it knows, nothing changes."""
    made = client.__init__

    def initialize(self: "Any", *arguments: object, **named: object) -> None:
        made(self, *arguments, **named)
        if hasattr(self, "ThreadPoolExecutor"):
            self.ThreadPoolExecutor = executor

    client.__init__ = initialize
