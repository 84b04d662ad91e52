"""One control plane for the session, one installation for each module, a namespace for each test."""

import asyncio
import json
import os
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.integration.control_plane import ADMIN_TOKEN, BINARIES, SYSTEM_NAMESPACE, ControlPlane
from tests.integration.processes import Installation

from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import FUNCTIONS, NAMESPACES

ROOT = Path(__file__).parent.parent.parent
RUNTIME = {
    "apiVersion": "kubelambda.dev/v1alpha1",
    "kind": "Runtime",
    "metadata": {"name": "python3.13"},
    "spec": {"image": "localhost/python:1", "prestart": "python", "inlineFileName": "index.py", "pool": {"size": 2}},
}


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A running API server with our definitions, a runtime, and what the chart lets our service accounts do."""
    found = ControlPlane(tmp_path_factory.mktemp("control-plane"))
    try:
        start(found)
        yield found
    finally:
        found.stop()


def start(control_plane: ControlPlane) -> None:
    """Starts an API server and gives it what an installation needs."""
    control_plane.start()
    applied = control_plane.kubectl("apply", "--server-side", "--filename", str(ROOT / "crds"))
    assert applied.returncode == 0, applied.stderr
    for kind in ("functions", "functionversions", "aliases", "runtimes", "subnets", "securitygroups"):
        control_plane.kubectl("wait", "--for=condition=Established", f"crd/{kind}.kubelambda.dev", "--timeout=30s")
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM_NAMESPACE}}
    applied = control_plane.apply([namespace, RUNTIME, *access_manifests()])
    assert applied.returncode == 0, applied.stderr


def access_manifests() -> list[Object]:
    """The roles of our service accounts and the policy that keeps them to our objects, as the chart renders them."""
    command = [str(BINARIES / "helm"), "template", "kubelambda", str(ROOT / "charts" / "kubelambda")]
    command += ["--namespace", SYSTEM_NAMESPACE, "--kube-version", "1.36.0"]
    for template in ("rbac", "awsapi-rbac", "admission-policy"):
        command += ["--show-only", f"templates/{template}.yaml"]
    rendered = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = [manifest for manifest in yaml.safe_load_all(rendered) if manifest]
    for manifest in found:
        if manifest["kind"] in ("Role", "RoleBinding", "ServiceAccount"):
            manifest["metadata"]["namespace"] = SYSTEM_NAMESPACE
    return found


@pytest.fixture
async def client(control_plane: ControlPlane) -> AsyncIterator[KubeClient]:
    """A client that may do everything."""
    found = await KubeClient.connect(str(control_plane.kubeconfig(ADMIN_TOKEN)))
    yield found
    await found.close()


@pytest.fixture
async def namespace(client: KubeClient) -> AsyncIterator[str]:
    """A namespace that no other test knows."""
    name = f"test-{os.urandom(4).hex()}"
    await client.create(NAMESPACES, {"metadata": {"name": name}})
    yield name
    # There is no namespace controller here: what is in it must go one by one.
    async for body in client.each(FUNCTIONS):
        if body["metadata"]["namespace"] == name:
            await client.delete(FUNCTIONS, body["metadata"]["name"], name)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, control_plane: ControlPlane) -> Iterator[Installation]:
    """An installation of its own for each module; nothing of it runs yet."""
    found = Installation(tmp_path_factory.mktemp("installation"), control_plane, SYSTEM_NAMESPACE)
    yield found
    found.stop()


@pytest.fixture(scope="module")
def running(installation: Installation) -> Installation:
    """An installation whose code store and operator run."""
    installation.code_store()
    installation.operator()
    return installation


class Functions:
    """Functions of one namespace, as their users see them."""

    def __init__(self, control_plane: ControlPlane, client: KubeClient, namespace: str) -> None:
        self.control_plane = control_plane
        self.client = client
        self.namespace = namespace

    def apply(self, name: str, **spec: Any) -> None:
        """`kubectl apply` of a Function that must be accepted."""
        applied = self.control_plane.apply([self.manifest(name, **spec)])
        assert applied.returncode == 0, applied.stderr

    def apply_large(self, name: str, **spec: Any) -> None:
        """`kubectl create` of a Function too large for the annotation that `kubectl apply` keeps."""
        text = json.dumps(self.manifest(name, **spec))
        created = self.control_plane.kubectl("create", "--filename", "-", stdin=text)
        assert created.returncode == 0, created.stderr

    def manifest(self, name: str, **spec: Any) -> Object:
        """A Function that differs from a good one by `spec`; None takes a field away."""
        merged = {"runtime": "python3.13", "handler": "index.handler", "code": {"inline": "x = 1"}, **spec}
        return {
            "apiVersion": "kubelambda.dev/v1alpha1",
            "kind": "Function",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {field: value for field, value in merged.items() if value is not None},
        }

    async def get(self, name: str) -> Object:
        """The whole object."""
        return await self.client.get(FUNCTIONS, name, self.namespace)

    async def status(self, name: str) -> Object:
        """Its status."""
        status: Object = (await self.get(name)).get("status", {})
        return status

    async def ready(self, name: str, seconds: float = 15) -> Object:
        """Its status once Ready is True for the current generation."""
        return await self.until(name, lambda status: condition(status, "Ready").get("status") == "True", seconds)

    async def until(self, name: str, holds: Callable[[Object], bool], seconds: float = 15) -> Object:
        """Its status once that speaks of the current generation and `holds`."""
        deadline = time.monotonic() + seconds
        while True:
            found = await self.get(name)
            status: Object = found.get("status", {})
            if status.get("observedGeneration") == found["metadata"]["generation"] and holds(status):
                return status
            assert time.monotonic() < deadline, json.dumps(status, indent=1)
            await asyncio.sleep(0.05)


@pytest.fixture
def functions(control_plane: ControlPlane, client: KubeClient, namespace: str) -> Functions:
    """Functions of the test's namespace."""
    return Functions(control_plane, client, namespace)


def condition(status: Object, kind: str) -> Object:
    """A condition of a status; empty when there is none of that type."""
    return next((each for each in status.get("conditions", []) if each["type"] == kind), {})


async def eventually(holds: Callable[[], Any], seconds: float = 15) -> Any:
    """What `holds` returns once that is true; it may be a coroutine function."""
    deadline = time.monotonic() + seconds
    while True:
        found = holds()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.05)
