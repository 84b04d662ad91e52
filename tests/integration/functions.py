"""Functions as their users see them, and the patience that tests have with them."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

from tests.eventually import eventually as polled
from tests.integration.control_plane import ControlPlane

from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import EVENTS, FUNCTIONS, Resource


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

    async def ready(self, name: str, seconds: float = 90) -> Object:
        """Its status once Ready is True for the current generation."""
        return await self.until(name, lambda status: condition(status, "Ready").get("status") == "True", seconds)

    async def until(self, name: str, holds: Callable[[Object], bool], seconds: float = 90) -> Object:
        """Its status once that speaks of the current generation and `holds`."""
        deadline = time.monotonic() + seconds
        while True:
            found = await self.get(name)
            status: Object = found.get("status", {})
            if status.get("observedGeneration") == found["metadata"]["generation"] and holds(status):
                return status
            assert time.monotonic() < deadline, json.dumps(status, indent=1)
            await asyncio.sleep(0.05)


async def told(client: KubeClient, kind: str, name: str, namespace: str, reason: str) -> None:
    """Returns once an Event on an object has that reason: an operator tells of what it wrote, and knows it by then."""

    async def there() -> bool:
        found = [body async for body in client.each(EVENTS, namespace)]
        wanted = (kind, name, reason)
        return any((each["regarding"]["kind"], each["regarding"]["name"], each["reason"]) == wanted for each in found)

    await eventually(there)


def condition(status: Object, kind: str) -> Object:
    """A condition of a status; empty when there is none of that type."""
    return next((each for each in status.get("conditions", []) if each["type"] == kind), {})


async def listed(
    client: KubeClient, resource: Resource, namespace: str | None = None, *, label_selector: str = ""
) -> list[Object]:
    """All objects as they are now. What `KubeClient.list` shows, a watch cache's, may be older than the last write."""
    return [body async for body in client.each(resource, namespace, label_selector=label_selector)]


async def eventually(holds: Callable[[], Any], seconds: float = 90) -> Any:
    """As everywhere, with time for an operator that has much to do."""
    return await polled(holds, seconds)
