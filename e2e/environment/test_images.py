"""Functions that are container images, as people push them: their images are untouched (§1.3)."""

import base64
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from installation.account import Account
from installation.kubectl import eventually, kubectl
from installation.registry import Registry, serving

HERE = Path(__file__).parent
ADDRESS = "10.89.0.1:5005"
ARCHIVES = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kubelambda" / "images"
APP = b"""
import os, time

def handler(event, context):
    if event.get("exit"):
        os._exit(3)
    time.sleep(event.get("sleep", 0))
    bytearray(event.get("megabytes", 0) << 20)
    files = os.listdir("/tmp")
    open("/tmp/kept", "w").close()
    return {"event": event, "files": files, "cwd": os.getcwd(), "pid": os.getpid(), "handler": os.environ["_HANDLER"]}
"""


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    """A registry on the node, which the cluster's containerd speaks to without TLS."""
    try:
        with serving(Registry(ADDRESS)) as found:
            yield found
    except OSError:
        pytest.skip("needs the cluster's node on this machine")


@pytest.fixture(scope="module")
def python_image(registry: Registry) -> str:
    """A look-alike of AWS's base image with an app as users add one: the official client behind its entry point."""
    (archive,) = ARCHIVES.glob("runtime-python3.13-*.tar")
    settings: dict[str, Any] = {
        "Entrypoint": ["/lambda-entrypoint.sh"],
        "Cmd": ["app.handler"],
        "WorkingDir": "/var/task",
    }
    return registry.push("team/app", {"var/task/app.py": APP}, base=archive, **settings)


@pytest.fixture(scope="module")
def go_image(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> str:
    """One static program and nothing else: no shell, no library."""
    go = shutil.which("go") or ("/usr/local/go/bin/go" if Path("/usr/local/go/bin/go").exists() else None)
    if go is None:
        pytest.skip("needs Go")
    program = tmp_path_factory.mktemp("go") / "function"
    command = [go, "build", "-trimpath", "-ldflags=-s -w", "-o", str(program), "."]
    subprocess.run(command, cwd=HERE / "go_function", env={**os.environ, "CGO_ENABLED": "0"}, check=True, timeout=300)
    return registry.push("team/go", {"function": program.read_bytes()}, Entrypoint=["/function"], Env=["FROM_IMAGE=1"])


def image(account: Account, name: str, uri: str, *, ready: bool = True, **spec: Any) -> None:
    """A function that is an image."""
    spec = {"packageType": "Image", "code": {"imageUri": uri}, "memorySize": 256, "timeout": 30, **spec}
    account.apply({"kind": "Function", "metadata": {"name": name}, "spec": spec})
    if ready:
        account.wait_ready(name)


def test_a_static_program_runs(account: Account, go_image: str) -> None:
    """With the function's variables beside the image's; its digest is pinned, and shown."""
    image(account, "static", go_image, environment={"variables": {"MINE": "1"}})
    answer = account.invoke("static", {"a": 1})
    assert answer["Payload"] == {"event": {"a": 1}, "name": "static", "fromImage": "1", "mine": "1"}, answer
    deployed = account.get("function", "static")["status"]["deployed"]
    pod = account.environment("static")
    assert pod["spec"]["containers"][0]["image"] == deployed["image"]["reference"]
    assert deployed["code"]["sha256"] in deployed["image"]["reference"]
    shown = kubectl("--namespace", account.namespace, "get", "function", "static", "--output", "wide")
    assert go_image in shown


def test_the_official_client_runs_behind_its_entry_point(account: Account, python_image: str) -> None:
    """In the image's folder; after an exit and a timeout it starts anew, and /tmp is kept."""
    image(account, "client", python_image, timeout=10)
    first = account.invoke("client", {})["Payload"]
    assert (first["cwd"], first["handler"], first["files"]) == ("/var/task", "app.handler", [])
    for event, kind in (({"exit": 1}, "Runtime.ExitError"), ({"sleep": 60}, "Sandbox.Timedout")):
        account.in_one_environment("client", partial(starts_anew, account, event, kind))
    assert 10 < used_mb(account, "client", {}) < 100
    assert 100 < used_mb(account, "client", {"megabytes": 100}) < 256


def starts_anew(account: Account, event: Any, kind: str) -> None:
    """What ends the process of an environment leaves its files there."""
    account.invoke("client", {})
    answer = account.invoke("client", event)
    assert answer["Payload"]["errorType"] == kind, answer
    assert account.invoke("client", {})["Payload"]["files"] == ["kept"]


def used_mb(account: Account, name: str, event: Any) -> int:
    """What the REPORT of an invocation says of its memory."""
    log = base64.b64decode(account.invoke(name, event, LogType="Tail")["LogResult"]).decode()
    found = re.search(r"REPORT RequestId.*Max Memory Used: (\d+) MB", log)
    assert found is not None, log
    return int(found[1])


def test_what_is_no_lambda_image_is_said(account: Account, python_image: str) -> None:
    """It never asks for an event."""
    image(account, "other", python_image, imageConfig={"entryPoint": ["/bin/true"]})
    answer = account.invoke("other", {})
    assert answer["Payload"]["errorType"] == "Runtime.ExitError"
    assert "Runtime exited without providing a reason" in answer["Payload"]["errorMessage"]


def test_images_that_cannot_be_had_are_named(account: Account, registry: Registry, python_image: str) -> None:
    """With Lambda's reasons; one that is pushed later is deployed."""
    expected = {
        "missing": (f"{ADDRESS}/team/missing:latest", "ImageDeleted"),
        "denied": (registry.deny("team/denied"), "ImageAccessDenied"),
        "unnamed": ("no-registry/app", "InvalidImage"),
    }
    for name, (uri, _) in expected.items():
        image(account, name, uri, ready=False)

    def failed(name: str, code: str) -> bool:
        status = account.get("function", name)["status"]
        return (status["state"], status.get("stateReasonCode")) == ("Failed", code)

    for name, (_, code) in expected.items():
        eventually(lambda name=name, code=code: failed(name, code))  # type: ignore[misc]
    registry.push("team/missing", {"function": b"#!/bin/true"}, Entrypoint=["/function"])
    account.wait_ready("missing")


def test_layers_on_an_image_are_refused(account: Account) -> None:
    """When it is applied."""
    with pytest.raises(AssertionError, match="Layers are not supported"):
        image(account, "layered", f"{ADDRESS}/team/app:latest", ready=False, layers=["numpy:1"])
