"""A cache of one resource type: list, then watch; every re-list replaces it, so that no ghost can stay."""

import asyncio
import logging
from collections.abc import Callable

from kubelambda.kube.errors import Gone, KubeError
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import Resource

_WATCH_SECONDS = 300
_BACKOFF_MAX_S = 1.0
"""A frontend that does not see new functions answers 404 for them: it must catch up quickly once the server is back."""

log = logging.getLogger(__name__)

type Name = tuple[str, str]
"""Namespace (empty for cluster-scoped objects) and name."""


class Reflector[V]:
    """Narrow views of all objects of a type. `on_change` gets the name, the view before, and the view after."""

    def __init__(
        self,
        client: KubeClient,
        resource: Resource,
        project: Callable[[Object], V | None],
        *,
        on_change: Callable[[Name, V | None, V | None], None],
        namespace: str | None = None,
        label_selector: str = "",
    ) -> None:
        self._client = client
        self._resource = resource
        self._project = project
        self._on_change = on_change
        self._namespace = namespace
        self._label_selector = label_selector
        self.items: dict[Name, V] = {}
        self.synced = asyncio.Event()

    async def run(self) -> None:
        """Keeps the cache current until cancelled, whatever happens to the API server."""
        backoff = 0.1
        version: str | None = None
        while True:
            try:
                if version is None:
                    version = await self._list()
                async for event in self._client.watch(
                    self._resource,
                    self._namespace,
                    resource_version=version,
                    label_selector=self._label_selector,
                    seconds=_WATCH_SECONDS,
                ):
                    version = event["object"]["metadata"]["resourceVersion"]
                    backoff = 0.1
                    if event["type"] != "BOOKMARK":
                        self._observe(event["object"], deleted=event["type"] == "DELETED")
            except Gone:
                version = None
            except KubeError as error:
                log.info("%s: %s; again in %.1f s", self._resource.plural, error, backoff)
                await asyncio.sleep(backoff)
                backoff = min(_BACKOFF_MAX_S, backoff * 2)

    async def _list(self) -> str:
        found = await self._client.list(self._resource, self._namespace, label_selector=self._label_selector)
        names = set()
        for item in found["items"]:
            names.add(self._observe(item, deleted=False))
        for name in [name for name in self.items if name not in names]:
            self._replace(name, None)
        self.synced.set()
        version: str = found["metadata"]["resourceVersion"]
        return version

    def _observe(self, body: Object, *, deleted: bool) -> Name:
        metadata = body["metadata"]
        name = (metadata.get("namespace", ""), metadata["name"])
        self._replace(name, None if deleted else self._project(body))
        return name

    def _replace(self, name: Name, view: V | None) -> None:
        before = self.items.get(name)
        if before == view:
            return
        if view is None:
            del self.items[name]
        else:
            self.items[name] = view
        try:
            self._on_change(name, before, view)
        except Exception:  # a fault in one object's handling must not end the watch of all
            log.exception("handling of %s %s failed", self._resource.kind, name)
