"""A namespace for one test module: pods that serve HTTP, and questions about who reaches whom."""

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class Namespace:
    """A namespace and what tests do in it."""

    name: str
    image: str

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Runs kubectl in the namespace."""
        command = ["kubectl", "--namespace", self.name, *arguments]
        finished = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120, check=False)
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    def apply(self, kind: str, name: str, spec: dict[str, Any], *, api: str = "v1", **metadata: Any) -> None:
        """Applies one object."""
        manifest = {"apiVersion": api, "kind": kind, "metadata": {"name": name, **metadata}, "spec": spec}
        self.kubectl("apply", "--filename", "-", stdin=json.dumps(manifest))

    def server(self, name: str, *ports: int, **more: Any) -> None:
        """A pod that serves HTTP; its first port is named `web`. `more` is the rest of its spec."""
        container = {
            "name": "server",
            "image": self.image,
            "imagePullPolicy": "Never",
            "command": [
                "/bin/sh",
                "-c",
                " & ".join(f"python3 -m http.server --directory /usr/share {port}" for port in ports),
            ],
            "ports": [{"name": "web", "containerPort": ports[0]}],
            "readinessProbe": {"tcpSocket": {"port": ports[-1]}, "periodSeconds": 1},
        }
        spec = {"automountServiceAccountToken": False, "terminationGracePeriodSeconds": 0, "containers": [container]}
        self.apply("Pod", name, {**spec, **more}, labels={"app": name})

    def address(self, pod: str) -> str:
        """The address of a pod."""
        return self.kubectl("get", "pod", pod, "--output", "jsonpath={.status.podIP}")

    def reaches(self, pod: str, url: str) -> bool:
        """Whether a request from a pod is answered."""
        request = f"import urllib.request as r; r.urlopen('{url}', timeout=1)"
        command = ["kubectl", "--namespace", self.name, "exec", pod, "--", "python3", "-c", request]
        return subprocess.run(command, capture_output=True, timeout=120, check=False).returncode == 0


def eventually(condition: Callable[[], bool], seconds: float = 120) -> bool:
    """Whether a condition comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True
