"""Kubernetes' own scheduler beside the API server of the tests, and nodes in zones for it: nobody runs their pods."""

import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from tests.integration.control_plane import ADMIN_TOKEN, BINARIES, ControlPlane

from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import NODES
from kubelambda.resources.topology import NODE, ZONE

_ROOM = {"cpu": "64", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "500"}


@contextmanager
def scheduler(control_plane: ControlPlane, folder: Path) -> Iterator[None]:
    """Binds every pod that has no node, while it runs."""
    command = [
        str(BINARIES / "kube-scheduler"),
        f"--kubeconfig={control_plane.kubeconfig(ADMIN_TOKEN)}",
        "--leader-elect=false",
        "--secure-port=0",
    ]
    with (folder / "kube-scheduler.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as found:
        try:
            yield
        finally:
            found.kill()


@asynccontextmanager
async def nodes_in_zones(client: KubeClient, zones: Mapping[str, str]) -> AsyncIterator[None]:
    """Nodes, by name, in zones; those that a test leaves go again."""
    for name, zone in zones.items():
        await client.create(NODES, {"metadata": {"name": name, "labels": {ZONE: zone, NODE: name}}})
        # The API server taints new nodes, until a controller that does not run here finds them ready.
        await client.patch(NODES, name, {"spec": {"taints": None}})
        conditions = [{"type": "Ready", "status": "True"}]
        status = {"capacity": _ROOM, "allocatable": _ROOM, "conditions": conditions}
        await client.patch(NODES, name, {"status": status}, subresource="status")
    yield
    for name in zones:
        if await client.find(NODES, name) is not None:
            await client.delete(NODES, name)
