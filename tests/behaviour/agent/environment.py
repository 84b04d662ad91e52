"""A real agent as a process on loopback, spoken to as a frontend does."""

import hashlib
import http.client
import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from tests.answer import Answer
from tests.ports import free_port

import kubelambda.agent
from kubelambda.agent.process.family import below
from kubelambda.api.environment_protocol import ArchiveReference, Specialization

AGENT = Path(kubelambda.agent.__file__).with_name("__main__.py")
POOL_TOKEN = "pool-token"
TOKEN = "environment-token"


def zipped(files: dict[str, str]) -> bytes:
    """A zip archive of text files; a bootstrap can be executed."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as folder:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o755 if name.endswith("bootstrap") else 0o644) << 16
            folder.writestr(entry, text)
    return archive.getvalue()


class Environment:
    """One agent process with folders of its own. `output` takes its log; without one a file does.

    `within` is a command that runs it, `unshare` with its options.
    """

    def __init__(
        self,
        root: Path,
        prestart: str = "python",
        output: int | None = None,
        within: tuple[str, ...] = (),
        tmp_mb: int = 0,
        **variables: str,
    ) -> None:
        for folder in ("var/task", "opt", "var/runtime", "tmp"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        self.root = root
        self.port, self.api_port = free_port(), free_port()
        self.log_file = root / "agent.log"
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
            "KUBELAMBDA_POOL_TOKEN_SHA256": hashlib.sha256(POOL_TOKEN.encode()).hexdigest(),
            "KUBELAMBDA_PRESTART": prestart,
            "KUBELAMBDA_BOOTSTRAP": "[]",
            "KUBELAMBDA_ROOT": str(root),
            "KUBELAMBDA_CONTROL_HOST": "127.0.0.1",
            "KUBELAMBDA_CONTROL_PORT": str(self.port),
            "KUBELAMBDA_RUNTIME_API_PORT": str(self.api_port),
            "KUBELAMBDA_TMP_MB": str(tmp_mb),
            **variables,
        }
        with self.log_file.open("wb") as log:
            command = [*within, sys.executable, str(AGENT)]
            self.process = subprocess.Popen(command, env=environment, stdout=output or log, stderr=log)
        self._requests = 0

    def __enter__(self) -> Self:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            try:
                if self.call("GET", "/healthz").status == 200:
                    return self
            except OSError:
                time.sleep(0.02)
        raise AssertionError(f"the agent did not start:\n{self.log_file.read_text()}")

    def __exit__(self, *_: object) -> None:
        """With all that runs in it, as with its pod."""
        started = below(self.process.pid) if self.process.poll() is None else []
        self.process.kill()
        self.process.wait()
        for pid in started:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def call(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Answer(response.status, response.read(), dict(response.getheaders()))
        finally:
            connection.close()

    def specialize(
        self,
        files: dict[str, str] | bytes,
        *,
        token: str = POOL_TOKEN,
        sha256: str | None = None,
        path: str = "/specialize",
        **function: Any,
    ) -> Answer:
        """Turns the environment into one of a function. Layers are archives that come along, or have addresses."""
        archive = files if isinstance(files, bytes) else zipped(files)
        given: list[bytes | ArchiveReference] = function.pop("layers", [])
        layers = [layer for layer in given if isinstance(layer, bytes)]
        variables = function.pop("variables", {})
        found = {
            "name": "hello",
            "uid": "uid-of-hello",
            "arn": "arn:aws:lambda:us-east-1:123456789012:function:hello",
            "account_id": "123456789012",
            "version": "$LATEST",
            "revision": "0123456789abcdef",
            "runtime": "python3.13",
            "handler": "index.handler",
            "memory_size": 128,
            "timeout": 30,
            "log_group": "/aws/lambda/hello",
            "region": "us-east-1",
            "code": ArchiveReference(sha256 or hashlib.sha256(archive).hexdigest(), len(archive)),
            "layers": tuple(
                ArchiveReference(hashlib.sha256(layer).hexdigest(), len(layer)) if isinstance(layer, bytes) else layer
                for layer in given
            ),
            **function,
        }
        message = Specialization(token=TOKEN, variables=variables, **found)
        config = message.encode()
        along = b"".join([archive] if message.code in message.inline else []) + b"".join(layers)
        headers = {"Authorization": f"Bearer {token}", "X-Kubelambda-Config-Length": str(len(config))}
        return self.call("POST", path, config + along, headers)

    def begin(self, *, token: str = TOKEN) -> Answer:
        """Lets a function begin that was handed over to `/prepare`."""
        return self.call("POST", "/begin", headers={"Authorization": f"Bearer {token}"})

    def state(self) -> Any:
        """What the environment says of itself."""
        return self.call("GET", "/state", headers={"Authorization": f"Bearer {TOKEN}"}).json

    def invoke(
        self, event: Any = None, *, tail: bool = False, token: str = TOKEN, headers: dict[str, str] | None = None
    ) -> Answer:
        """One invocation."""
        self._requests += 1
        headers = {
            "Authorization": f"Bearer {token}",
            "X-Amzn-RequestId": f"request-{self._requests}",
            **(headers or {}),
        }
        if tail:
            headers["X-Amz-Log-Type"] = "Tail"
        return self.call("POST", "/invoke", json.dumps(event).encode(), headers)

    def settle(self) -> Any:
        """Waits until it is free, as a frontend does; what it says of itself then."""
        state = self.call("GET", "/state", headers={"Authorization": f"Bearer {TOKEN}", "Prefer": "wait=50"}).json
        assert not state["busy"], state
        return state

    def logged(self, text: str) -> bool:
        """Whether the log has the text, or gets it soon: the agent's own lines wait a moment for others."""
        deadline = time.monotonic() + 90
        while text not in self.log_file.read_text():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    @property
    def last_request_id(self) -> str:
        """The id of the latest invocation."""
        return f"request-{self._requests}"


def eventually(holds: Callable[[], bool], seconds: float = 90) -> bool:
    """Whether a condition holds in the end."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
