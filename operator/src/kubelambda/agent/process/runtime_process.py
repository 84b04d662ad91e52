"""The runtime process of an environment: the pre-started one or a new one, watched until it ends, and started again."""

import os
from collections.abc import Callable

from kubelambda.agent.process import configuration, process
from kubelambda.agent.process.configuration import Paths
from kubelambda.agent.process.process import Process
from kubelambda.wire.event_loop import EventLoop


class RuntimeProcess:
    """At most one process at a time."""

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
        self._loop = loop
        self.on_end: Callable[[int], None] = lambda _: None
        """Called with the wait status of a process that ended without being replaced."""
        if prestarted is not None:
            self._watch(prestarted.pid)

    @property
    def pid(self) -> int | None:
        """The process's id, None when there is none."""
        return self._process.pid if self._process is not None else None

    @property
    def running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    def start(self, handler: str, variables: dict[str, str], own_variables: dict[str, str]) -> None:
        """Starts the process with `variables`, or hands them to the pre-started one where it can serve.

        `own_variables` are those of them that the function brought. Raises `Unusable`.
        """
        waiting = self._process if self._process is not None and self._process.channel is not None else None
        if waiting is not None and not configuration.acts_on_interpreter_start(own_variables):
            waiting.hand_over(handler, variables, self._paths.task)
            return
        if self._process is not None:
            stale, self._process = self._process, None
            stale.kill()
        folders = [self._paths.task, self._paths.opt, self._paths.runtime]
        command = process.command_of(self._bootstrap, self._prestart, handler, variables, folders)
        self._process = process.spawn(command, variables, self._paths.task, self._output)
        self._watch(self._process.pid)

    def kill(self) -> None:
        """Kills the process and its group. `on_end` hears of it."""
        if self._process is not None:
            self._process.kill()

    def _watch(self, pid: int) -> None:
        """Hears of the end of a child through its pidfd, without a handler for SIGCHLD."""
        descriptor = os.pidfd_open(pid)

        def readable() -> None:
            self._loop.remove_reader(descriptor)
            os.close(descriptor)
            self._reap()

        self._loop.add_reader(descriptor, readable)

    def _reap(self) -> None:
        """Takes leave of every child that ended, adopted orphans included."""
        for pid, status in process.reap():
            found = self._process
            if found is None or pid != found.pid:
                continue
            found.kill()  # whatever it left behind in its group
            self._process = None
            self.on_end(status)
