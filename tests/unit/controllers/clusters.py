"""What controllers work with where there is no cluster: objects as the API server has them, and a context."""

from collections.abc import AsyncIterator
from typing import Any, cast

from kubelambda.api.kinds.function import FunctionSpec
from kubelambda.api.settings import Settings
from kubelambda.controllers.code.code_state import CodeState
from kubelambda.controllers.machinery.asked import Asker
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.queues import Queues
from kubelambda.controllers.machinery.work_queue import Key
from kubelambda.controllers.registry import controllers
from kubelambda.kube.resources import Resource

NOBODY = cast("Any", None)
"""In the place of what nobody calls."""

type Named = tuple[Resource, dict[str, Any]]
"""An object and what it is one of."""


def context_of(client: object = NOBODY, code: CodeState | None = None) -> Context:
    """A context of all controllers."""
    found = controllers(code or CodeState(NOBODY, NOBODY))
    return Context(cast("Any", client), Settings(), b"", found, Queues(found))


def body_of(name: str, spec: dict[str, Any], version: int = 1, **more: Any) -> dict[str, Any]:
    """An object of namespace `a`; `metadata` is added to what it has."""
    metadata = {
        "name": name,
        "namespace": "a",
        "uid": f"uid-of-{name}",
        "resourceVersion": str(version),
        "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    return {"metadata": metadata | more.pop("metadata", {}), "spec": spec, **more}


def spec_of(**more: Any) -> FunctionSpec:
    """A function's."""
    return FunctionSpec.model_validate(
        {"runtime": "python3.13", "handler": "index.handler", "code": {"inline": "x = 1"}, **more}
    )


def asker(namespace: str = "a") -> Asker:
    """A function that names something."""
    return Asker(Key("Function", namespace, "f"), "uid-of-f", 1)


class Written:
    """In the place of a client: what the API server has. No watch tells of it."""

    def __init__(self, *found: Named) -> None:
        self._found = {self._place(resource, body["metadata"]): body for resource, body in found}
        self.statuses: list[dict[str, Any]] = []
        """As they were written."""
        self.reads: list[Resource] = []
        """What was asked for."""

    @staticmethod
    def _place(resource: Resource, metadata: dict[str, Any]) -> tuple[Resource, str, str]:
        return resource, metadata["namespace"] if resource.namespaced else "", metadata["name"]

    def remove(self, resource: Resource, body: dict[str, Any]) -> None:
        """Somebody deletes an object."""
        del self._found[self._place(resource, body["metadata"])]

    async def find(self, resource: Resource, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        """An object."""
        self.reads.append(resource)
        return self._found.get((resource, namespace or "", name))

    async def each(self, resource: Resource, namespace: str) -> AsyncIterator[dict[str, Any]]:
        """All of a kind."""
        self.reads.append(resource)
        for (kind, where, _), body in self._found.items():
            if (kind, where) == (resource, namespace):
                yield body

    async def apply(self, resource: Resource, manifest: dict[str, Any], **how: str) -> dict[str, Any]:
        """The object as it is after that; what is not there yet is made as it was applied."""
        body = self._found.get(self._place(resource, manifest["metadata"]))
        if body is None:
            return manifest
        if how.get("subresource") == "status":
            self.statuses.append(manifest["status"])
            body["status"] = manifest["status"]
        return body

    async def patch(self, resource: Resource, name: str, patch: dict[str, Any], namespace: str) -> dict[str, Any]:
        """The object with other metadata."""
        body = self._found[resource, namespace, name]
        body["metadata"].update(patch["metadata"])
        return body

    async def create(self, *_: object) -> None:
        """An Event."""
