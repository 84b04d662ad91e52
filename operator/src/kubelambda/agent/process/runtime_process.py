"""The runtime process of an environment: the pre-started one or a new one, watched until it ends, and started again."""

import os
import signal
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from kubelambda.agent.process import configuration, family, process
from kubelambda.agent.process.configuration import Paths
from kubelambda.agent.process.process import Ended, Process
from kubelambda.api.environment_protocol import Specialization
from kubelambda.wire.event_loop import EventLoop


class FunctionProcess(Protocol):
    """What runs the function, in our container or in the one beside it: at most one process at a time."""

    on_end: Callable[[Ended], None]
    """Called with a process that ended without being replaced."""

    @property
    def running(self) -> bool:
        """Whether there is a process."""

    on_extension_end: Callable[[str, Ended], None]
    """Called with an external extension that ended."""

    @property
    def extensions(self) -> list[str]:
        """Names of the external extensions that are started before the function (§4.1.5)."""

    @property
    def launched(self) -> Collection[str]:
        """Names of those that run."""

    extension_source: int | None
    """Where what they print comes out, once the first one was started."""

    def launch(self, name: str, variables: dict[str, str]) -> None:
        """Starts an external extension with `variables`. Raises `Unusable`."""

    def terminate(self, *, force: bool = False) -> None:
        """Asks the process to end, or ends it with all that it started; extensions go on."""

    def start(self, wanted: Specialization, variables: dict[str, str]) -> None:
        """Starts the process with `variables`. Raises `Unusable`."""

    def kill(self) -> None:
        """Kills the process and everything that it started. `on_end` hears of it."""

    def reap(self) -> None:
        """Takes leave of what ended."""


class RuntimeProcess:
    """A process in our own container."""

    def __init__(
        self,
        *,
        paths: Paths,
        bootstrap: list[str],
        prestart: str,
        prestarted: Process | None,
        output: int,
        loop: EventLoop,
    ) -> None:
        self._paths = paths
        self._bootstrap = bootstrap
        self._prestart = prestart
        self._process = prestarted
        self._output = output
        self.on_end: Callable[[Ended], None] = lambda _: None
        """Called with a process that ended without being replaced."""
        self._extensions: dict[int, str] = {}
        self.on_extension_end: Callable[[str, Ended], None] = lambda *_: None
        """Called with an external extension that ended."""
        self.extension_source: int | None = None
        self._extension_output = output
        loop.on_signal(signal.SIGCHLD, self.reap)

    @property
    def pid(self) -> int | None:
        """The process's id, None when there is none."""
        return self._process.pid if self._process is not None else None

    @property
    def running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    @property
    def extensions(self) -> list[str]:
        """Names of the programs in `/opt/extensions`."""
        found = self._paths.opt / "extensions"
        if not found.is_dir():
            return []
        return sorted(each.name for each in found.iterdir() if each.is_file() and os.access(each, os.X_OK))

    @property
    def launched(self) -> Collection[str]:
        """Names of those that run."""
        return self._extensions.values()

    def launch(self, name: str, variables: dict[str, str]) -> None:
        """Starts an external extension with `variables`. Raises `Unusable`."""
        if self.extension_source is None:
            self.extension_source, self._extension_output = os.pipe()
        command = [str(self._paths.opt / "extensions" / name)]
        started = process.spawn(command, variables, self._paths, self._extension_output, Path("/"))
        self._extensions[started.pid] = name

    def terminate(self, *, force: bool = False) -> None:
        """Asks the process to end, or ends it with all that it started; extensions go on."""
        if self._process is not None:
            found = [self._process.pid, *family.below(self._process.pid)] if force else [self._process.pid]
            for pid in found:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL if force else signal.SIGTERM)

    def start(self, wanted: Specialization, variables: dict[str, str]) -> None:
        """Starts the process, or hands the variables to the pre-started one where it can serve. Raises `Unusable`."""
        waiting = self._process if self._process is not None and self._process.channel is not None else None
        if waiting is not None and not configuration.acts_on_interpreter_start(wanted.variables):
            waiting.hand_over(variables, self._paths.task)
            return
        if self._process is not None:
            if self._extensions:
                self.terminate(force=True)
            else:
                family.kill_all()
            self._process = None
        folders = [self._paths.task, self._paths.opt, self._paths.runtime]
        command = process.command_of(self._bootstrap, self._prestart, wanted.handler, variables, folders)
        self._process = process.spawn(command, variables, self._paths, self._output)

    def kill(self) -> None:
        """Kills the process and everything that it started. `on_end` hears of it.

        It has a moment to be gone: what it is just printing would come after the report.
        """
        family.kill_all()
        if self._process is not None:
            process.await_end(self._process.pid, process.END_S)

    def reap(self) -> None:
        """Takes leave of every child that ended, adopted orphans included."""
        for ended in process.reap():
            if self._process is not None and ended.pid == self._process.pid:
                if not self._extensions:  # else the reset that follows ends what cannot be told from theirs
                    family.kill_all()  # whatever it left behind
                self._process = None
                self.on_end(ended)
            elif ended.pid in self._extensions:
                self.on_extension_end(self._extensions.pop(ended.pid), ended)
