"""Our own components as processes, started as the chart starts them, against the test's API server."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.integration.control_plane import (
    CODE_FETCHER_TOKEN,
    CONTROL_API_TOKEN,
    FRONTEND_TOKEN,
    OPERATOR_TOKEN,
    POLLERS_TOKEN,
    ControlPlane,
)
from tests.ports import free_port

from kubelambda.core.environment import tokens

KEY = b"a key that every component of this test shares"
_STAND_IN = Path(__file__).with_name("poller_stand_in.py")
_FAILING_WATCH = Path(__file__).with_name("failing_watch.py")


class Component:
    """One process of ours."""

    def __init__(self, name: str, folder: Path, arguments: list[str]) -> None:
        """`arguments` begin with what runs: a component, or the path of a program of the tests' own."""
        self.name = name
        self.log = folder / f"{name}.log"
        environment = {k: v for k, v in os.environ.items() if k != "KUBECONFIG"}
        environment |= {"KUBELAMBDA_POD_NAME": name, "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
        with self.log.open("ab") as log:
            module = [] if arguments[0].endswith(".py") else ["-m", "kubelambda.apps"]
            command = [sys.executable, "-P", *module, *arguments]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    @property
    def resident_mb(self) -> float:
        """Resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found.group(1)) / 1024

    @property
    def peak_mb(self) -> float:
        """The most memory that was ever resident."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found is not None
        return int(found.group(1)) / 1024

    def kill(self) -> None:
        """Ends it as a crash does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """Ends it as Kubernetes does; returns its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


class Installation:
    """Settings, key and addresses that the components of one installation share."""

    def __init__(self, folder: Path, control_plane: ControlPlane, namespace: str, **settings: Any) -> None:
        self.folder = folder
        self.blobs = folder / "blobs"
        self._control_plane = control_plane
        self.components: list[Component] = []
        self._store_port = free_port()
        self._fetcher_port = free_port()
        self.frontend_port = free_port()
        self.namespace = namespace
        (folder / "key").write_bytes(KEY)
        (folder / "code-key").write_bytes(tokens.code_key(KEY))
        content = {
            "systemNamespace": namespace,
            "frontendUrl": f"http://127.0.0.1:{self.frontend_port}",
            "codeStoreUrl": f"http://127.0.0.1:{self._store_port}",
            "codeFetcherUrl": f"http://127.0.0.1:{self._fetcher_port}",
            "codeUrlRefusedNetworks": ["127.0.0.66/32"],  # the sites of these tests are on loopback
            "accountRoles": {
                f"kubelambda-{component}": f"{namespace}-kubelambda-{component}-account"
                for component in ("operator", "frontend", "pollers", "code-fetcher")
            },
            **settings,
        }
        (folder / "settings.json").write_text(json.dumps(content))

    @property
    def store_url(self) -> str:
        """Where the code store is."""
        return f"http://127.0.0.1:{self._store_port}"

    @property
    def whole(self) -> bool:
        """Whether every component that was started still runs."""
        return all(component.process.poll() is None for component in self.components)

    def code_store(self) -> Component:
        """Starts the code store and returns once it answers."""
        port = str(self._store_port)
        found = self._start("code-store", ["code-store", "--folder", str(self.blobs), "--port", port])
        wait_for_http(f"http://127.0.0.1:{port}/healthz")
        return found

    def code_fetcher(self) -> Component:
        """Starts the code fetcher and returns once it answers."""
        kubeconfig = self._control_plane.kubeconfig(CODE_FETCHER_TOKEN)
        arguments = ["code-fetcher", f"--kubeconfig={kubeconfig}", f"--port={self._fetcher_port}"]
        found = self._start("code-fetcher", arguments, key="code-key")
        wait_for_http(f"http://127.0.0.1:{self._fetcher_port}/healthz")
        return found

    def operator(
        self, name: str = "operator-1", *, kubeconfig: Path | None = None, watch_fails: bool = False
    ) -> tuple[Component, int]:
        """Starts an operator; returns it and its health port once that answers.

        `watch_fails`: one of its watches fails for good when its connections are cut.
        """
        port = free_port()
        kubeconfig = kubeconfig or self._control_plane.kubeconfig(OPERATOR_TOKEN)
        program = str(_FAILING_WATCH) if watch_fails else "operator"
        found = self._start(name, [program, f"--kubeconfig={kubeconfig}", f"--health-port={port}"])
        wait_for_http(f"http://127.0.0.1:{port}/healthz")
        return found, port

    def frontend(self, port: int | None = None) -> Component:
        """Starts a frontend; returns it once it has read what there is."""
        port = port or free_port()
        ports = [f"--port={port}", f"--metrics-port={free_port()}"]
        kubeconfig = self._control_plane.kubeconfig(FRONTEND_TOKEN)
        found = self._start(f"frontend-{port}", ["frontend", f"--kubeconfig={kubeconfig}", *ports])
        wait_for_http(f"http://127.0.0.1:{port}/healthz")
        while http(f"http://127.0.0.1:{port}/readyz")[0] != 200:
            time.sleep(0.1)
        return found

    def control_api(self) -> tuple[Component, str]:
        """Starts a control API; returns it and its address once it is ready."""
        port = free_port()
        kubeconfig = self._control_plane.kubeconfig(CONTROL_API_TOKEN)
        arguments = ["awsapi", f"--kubeconfig={kubeconfig}", f"--port={port}", "--linger=0"]
        found = self._start(f"awsapi-{port}", arguments, key="code-key")
        address = f"http://127.0.0.1:{port}"
        wait_for_http(f"{address}/healthz")
        while http(f"{address}/readyz")[0] != 200:
            time.sleep(0.1)
        return found, address

    @contextlib.contextmanager
    def poller(self) -> Iterator[Component]:
        """A poller while that lasts: it says of every mapping what it does, and has no sources."""
        kubeconfig = self._control_plane.kubeconfig(POLLERS_TOKEN)
        found = Component("poller", self.folder, [str(_STAND_IN), f"--kubeconfig={kubeconfig}"])
        self.components.append(found)
        try:
            yield found
        finally:
            self.components.remove(found)
            found.kill()

    def stop(self) -> None:
        """Ends whatever still runs."""
        hung = []
        for component in self.components:
            if component.process.poll() is None:
                try:
                    component.stop()
                except subprocess.TimeoutExpired:
                    hung.append(component.name)
        assert not hung, f"{hung} did not end when asked to"

    def _start(self, name: str, arguments: list[str], *, key: str = "key") -> Component:
        shared = [f"--settings={self.folder / 'settings.json'}", f"--key-file={self.folder / key}"]
        found = Component(name, self.folder, [*arguments, *shared])
        self.components.append(found)
        return found


def http(url: str) -> tuple[int, str]:
    """Status and body of a GET."""
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def wait_for_http(url: str, seconds: float = 90) -> None:
    """Returns once `url` answers anything."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            http(url)
            return
        time.sleep(0.05)
    raise TimeoutError(url)
