"""A port of a pod on this machine, by way of kubectl: whoever may forward ports there may call what listens."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class ForwardFailed(Exception):
    """kubectl is not there, or may not, or finds no such pod; the message says which."""


@contextmanager
def forwarded(target: str, port: int, *, namespace: str, kubectl_options: Sequence[str] = ()) -> Iterator[str]:
    """The base URL that leads to `port` of `target`, as kubectl names it. Raises `ForwardFailed`."""
    program = shutil.which("kubectl")
    if program is None:
        raise ForwardFailed("kubectl is not on the PATH: it forwards the port to the event queue")
    command = [program, *kubectl_options, "--namespace", namespace, "port-forward", target, f":{port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            said = process.stdout.readline()
            if not said.startswith("Forwarding from "):
                process.wait(10)
                raise ForwardFailed(process.stderr.read().strip() or "kubectl port-forward ended without a word")
            yield f"http://{said.split()[2]}"
        finally:
            process.terminate()
