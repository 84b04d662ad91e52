"""Real NATS servers with JetStream as processes of a test: one, or a cluster."""

import socket
import subprocess
import time
from pathlib import Path

from tests.integration.control_plane import BINARIES
from tests.ports import free_port


class NatsServers:
    """Servers that keep their streams in folders of their own."""

    def __init__(self, folder: Path, count: int = 1, *, authorization: str = "") -> None:
        """`authorization` is the block of that name in their configuration."""
        self._authorization = authorization
        self._folder = folder
        self._ports = [free_port() for _ in range(count)]
        self._routes = [free_port() for _ in range(count)]
        self._processes: list[subprocess.Popen[bytes] | None] = [None] * count

    @property
    def urls(self) -> list[str]:
        """Addresses for clients."""
        return [f"nats://127.0.0.1:{port}" for port in self._ports]

    def start(self, index: int | None = None) -> None:
        """Starts one, or all of them."""
        for each in range(len(self._ports)) if index is None else (index,):
            self._start(each)
        for each in range(len(self._ports)) if index is None else (index,):
            self._wait(each)

    def kill(self, index: int = 0) -> None:
        """Kills one without notice."""
        process = self._processes[index]
        if process is not None:
            process.kill()
            process.wait()

    def stop(self) -> None:
        """Ends all of them."""
        for index in range(len(self._ports)):
            self.kill(index)

    def _start(self, index: int) -> None:
        lines = [
            f'server_name: "n{index}"',
            f"listen: 127.0.0.1:{self._ports[index]}",
            "max_payload: 8MB",
            *([f"authorization {{ {self._authorization} }}"] if self._authorization else []),
            f'jetstream {{ store_dir: "{self._folder / str(index)}", max_file_store: 1GB, sync_interval: always }}',
        ]
        if len(self._ports) > 1:
            routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in self._routes)
            lines.append(f"cluster {{ name: c, listen: 127.0.0.1:{self._routes[index]}, routes: [{routes}] }}")
        file = self._folder / f"{index}.conf"
        file.write_text("\n".join(lines))
        command = [str(BINARIES / "nats-server"), "--config", str(file), "--log", str(self._folder / f"{index}.log")]
        self._processes[index] = subprocess.Popen(command)

    def _wait(self, index: int) -> None:
        deadline = time.monotonic() + 90
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._ports[index]), 1).close()
                return
            except OSError:
                assert time.monotonic() < deadline, (self._folder / f"{index}.log").read_text()
                time.sleep(0.05)
