"""What a process finds out at its start of what it needs only later: in a child, with which the memory for it goes."""

import asyncio
import os
import signal
import sys
from importlib import import_module
from typing import Self

_NICENESS = 10
"""Of the child: it takes nothing from those who do something now."""


class CheckFailed(Exception):
    """The child has said why, to standard error."""


class StartCheck:
    """A child process that has read the settings, and imports a module. `namespace` is the system namespace."""

    def __init__(self, namespace: str, child: int) -> None:
        self.namespace = namespace
        self.done = False
        """Whether nothing is left to be found out."""
        self._child = child
        self._ended = False

    @classmethod
    def begin(cls, settings: bytes, module: str) -> Self:
        """Begins the check. Wrong settings end this process, before it has done anything. Before there are threads."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            _check(settings, module, writing)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            namespace = pipe.read()
        if not namespace:
            os.waitpid(child, 0)
            sys.exit(1)
        return cls(namespace.decode(), child)

    async def passed(self) -> None:
        """Returns once the module was imported, or that does not matter any more. Raises `CheckFailed`."""
        ended, descriptor = asyncio.Event(), os.pidfd_open(self._child)
        asyncio.get_running_loop().add_reader(descriptor, ended.set)
        try:
            await ended.wait()
        finally:
            asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)
        _, status = os.waitpid(self._child, 0)  # noqa: ASYNC222 - it has ended
        self._ended = True
        if status and not self.done:
            raise CheckFailed(f"what is needed later cannot be imported: status {os.waitstatus_to_exitcode(status)}")
        self.done = True

    def end(self) -> None:
        """Whoever imports the module now finds out as well."""
        self.done = True
        if not self._ended:
            os.kill(self._child, signal.SIGKILL)


def _check(settings: bytes, module: str, writing: int) -> None:
    """Never returns: whatever goes wrong, nothing of our caller's goes on in the child."""
    try:
        found = import_module("kubelambda.api.settings").parse(settings)
        os.write(writing, found.system_namespace.encode())
        os.close(writing)
        os.nice(_NICENESS)
        import_module(module)
    except BaseException:  # noqa: BLE001 - see above
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)
