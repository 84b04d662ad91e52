"""A server that tests start, kill without notice and start again with what it keeps."""

import os
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.ports import free_port

_START_S = 120.0


class ServerProcess(ABC):
    """A server in `folder`. It keeps its port and what it was given over its starts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _command(self) -> tuple[list[str], Mapping[str, str]]:
        """What starts it, and in which environment."""

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        command, environment = self._command()
        with (self.folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, env={**os.environ, **environment}, start_new_session=True
            )
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{type(self).__name__} does not start:\n{(self.folder / 'output').read_text()[-4000:]}")
            time.sleep(0.1)

    def kill(self) -> None:
        """Without notice, all its processes."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        return listens(self.port)


def listens(port: int) -> bool:
    """Whether somebody takes connections at a port of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
