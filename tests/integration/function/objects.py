"""Versions and aliases of one namespace, as their users see them, and provisioned pods as a cluster would have them."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

from tests.integration.functions import Functions, listed

from kubelambda.api import labels
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import ALIASES, DEPLOYMENTS, FUNCTION_VERSIONS, PODS, Resource


class Objects:
    """What belongs to the functions of a namespace."""

    def __init__(self, functions: Functions) -> None:
        self.functions = functions
        self.client = functions.client
        self.namespace = functions.namespace

    def apply(self, resource: Resource, name: str, spec: Object) -> None:
        """`kubectl apply` of an object that must be accepted."""
        applied = self.functions.control_plane.apply([self._manifest(resource, name, spec)])
        assert applied.returncode == 0, applied.stderr

    def create(self, resource: Resource, name: str, spec: Object) -> None:
        """The same with `kubectl create`."""
        text = json.dumps(self._manifest(resource, name, spec))
        created = self.functions.control_plane.kubectl("create", "--filename", "-", stdin=text)
        assert created.returncode == 0, created.stderr

    def _manifest(self, resource: Resource, name: str, spec: Object) -> Object:
        metadata = {"name": name, "namespace": self.namespace}
        return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, "spec": spec}

    def publish(self, name: str, **spec: Any) -> None:
        """A FunctionVersion that asks for publishing."""
        self.apply(FUNCTION_VERSIONS, name, spec)

    def alias(self, function: str, name: str, version: str | None = None, **spec: Any) -> None:
        """The Alias `function-name`."""
        named = {"functionVersion": version} if version is not None else {}
        self.apply(ALIASES, f"{function}-{name}", {"functionName": function, "name": name, **named, **spec})

    async def until(
        self, resource: Resource, name: str, holds: Callable[[Object], bool], seconds: float = 90
    ) -> Object:
        """The status of an object once it speaks of the current generation and `holds`."""
        deadline = time.monotonic() + seconds
        while True:
            found = await self.client.find(resource, name, self.namespace) or {}
            status: Object = found.get("status") or {}
            if found and status.get("observedGeneration") == found["metadata"]["generation"] and holds(status):
                return status
            assert time.monotonic() < deadline, json.dumps(found, indent=1)
            await asyncio.sleep(0.05)

    async def version(self, name: str) -> Object:
        """The status of a FunctionVersion that has its number."""
        return await self.until(FUNCTION_VERSIONS, name, lambda status: "version" in status)

    async def routed(self, name: str, version: str) -> Object:
        """The status of an Alias whose callers get `version`."""
        return await self.until(ALIASES, name, lambda status: status.get("routedVersion") == version)

    async def names(self, resource: Resource) -> set[str]:
        """Names of the objects of a kind."""
        return {item["metadata"]["name"] for item in await listed(self.client, resource, self.namespace)}

    async def deployments(self) -> dict[tuple[str, str], Object]:
        """The Deployments of provisioned environments, by qualifier and version."""
        found = await listed(self.client, DEPLOYMENTS, self.namespace, label_selector=labels.PROVISIONED)
        return {
            (
                item["metadata"]["annotations"][labels.PROVISIONED],
                item["metadata"]["labels"][labels.FUNCTION_VERSION],
            ): item
            for item in found
        }

    async def sizes(self) -> dict[tuple[str, str], int]:
        """Their replicas."""
        return {name: item["spec"]["replicas"] for name, item in (await self.deployments()).items()}

    async def start_pods(self, qualifier: str, version: str, *, ready: bool = True, error: str = "") -> None:
        """What a cluster and frontends make of a Deployment: its pods, ready after INIT or marked with an error."""
        deployment = (await self.deployments())[qualifier, version]
        template = deployment["spec"]["template"]
        for index in range(deployment["spec"]["replicas"]):
            name = f"{deployment['metadata']['name']}-{index}"
            failed = {labels.INIT_FAILURE: "FUNCTION_ERROR_INIT_FAILURE", labels.INIT_FAILURE_MESSAGE: error}
            annotations = template["metadata"]["annotations"] | (failed if error else {})
            metadata = {"name": name, "labels": template["metadata"]["labels"], "annotations": annotations}
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
            await self.client.create(PODS, pod, self.namespace)
            condition = {"type": "Ready", "status": "True" if ready and not error else "False"}
            status = {"status": {"conditions": [condition]}}
            await self.client.patch(PODS, name, status, self.namespace, subresource="status")

    async def stop_pods(self) -> None:
        """As a node that is lost."""
        for name in await self.names(PODS):
            await self.client.delete(PODS, name, self.namespace, grace_seconds=0)
