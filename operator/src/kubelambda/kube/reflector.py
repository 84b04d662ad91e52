"""A cache of one resource type: list, then watch; every re-list replaces it, so that no ghost can stay."""

import asyncio
import logging
import random
from collections.abc import Callable
from time import monotonic

from kubelambda.kube.errors import Gone, KubeError
from kubelambda.kube.kube_client import QUIET_S, KubeClient, Object
from kubelambda.kube.resources import Resource

_WATCH_SECONDS = 300
_PAUSE_FIRST_S = 0.1
_PAUSE_MAX_S = 1.0
"""A frontend that does not see new functions answers 404 for them: it must catch up quickly once the server is back."""
_SHORT_WATCH_S = 0.5
_PAUSE_FAULT_MAX_S = 10.0
"""After a fault that is nobody's outage: what was sent is not what we understand, and listing again costs."""

log = logging.getLogger(__name__)

type Name = tuple[str, str]
"""Namespace (empty for cluster-scoped objects) and name."""


class Reflector[V]:
    """Narrow views of all objects of a type. `on_change` gets the name, the view before, and the view after.

    `on_list` is called when a list is complete. Who cannot use a part of the objects waits for it while `listing`.

    `project` makes the view, and may raise: that object is skipped, what was known of it stays, and `unreadable` says
    why. Nothing else of an object is kept, least of all its code. `watch_seconds` and `quiet_seconds` are how long one
    watch lasts, and how long one without a word.
    """

    def __init__(
        self,
        client: KubeClient,
        resource: Resource,
        project: Callable[[Object], V | None],
        *,
        on_change: Callable[[Name, V | None, V | None], None],
        on_list: Callable[[], None] = lambda: None,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        watch_seconds: int = _WATCH_SECONDS,
        quiet_seconds: float = QUIET_S,
    ) -> None:
        self._client = client
        self.resource = resource
        self._project = project
        self._on_change = on_change
        self._on_list = on_list
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._watch_seconds = watch_seconds
        self._quiet_seconds = quiet_seconds
        self._pause = _PAUSE_FIRST_S
        self._version: str | None = None
        """Of what was seen last, where the next watch goes on; None when everything is to be listed."""
        self.items: dict[Name, V] = {}
        self.unreadable: dict[Name, str] = {}
        """Why objects are skipped that this release cannot read."""
        self.watches = 0
        """Watches that were begun."""
        self.lists = 0
        """Lists that were begun."""
        self.listing = False
        """Whether `items` are partly those of before: a list is being read, or was broken off."""
        self.synced = asyncio.Event()

    async def run(self) -> None:
        """Keeps the cache current until cancelled, whatever the API server does or sends."""
        while True:
            try:
                if self._version is None:
                    self._version = await self._list()
                begun = monotonic()
                await self._watch(self._version)
                if monotonic() - begun < _SHORT_WATCH_S:  # something on the way to the server ends them all
                    await self._wait(_PAUSE_MAX_S)
            except Gone:
                self._version = None
                await self._wait(_PAUSE_MAX_S)
            except KubeError as error:
                log.info("%s: %s; again soon", self.resource.plural, error)
                await self._wait(_PAUSE_MAX_S)
            except Exception:  # one object must never end the cache of all others
                log.exception("%s: listing again", self.resource.plural)
                self._version = None
                await self._wait(_PAUSE_FAULT_MAX_S)

    async def _wait(self, most: float) -> None:
        await asyncio.sleep(self._pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
        self._pause = min(most, self._pause * 2)

    async def _watch(self, version: str) -> None:
        """Follows one watch to its end, however that comes: the next one tells nothing a second time.

        What it told would be shown once more as it was minutes ago, and only then as it is.
        """
        self.watches += 1
        async for event in self._client.watch(
            self.resource,
            self._namespace,
            resource_version=version,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            seconds=self._watch_seconds,
            quiet_seconds=self._quiet_seconds,
        ):
            if event["type"] != "BOOKMARK":
                self._observe(event["object"], deleted=event["type"] == "DELETED")
            self._version = event["object"]["metadata"]["resourceVersion"]
            self._pause = _PAUSE_FIRST_S

    async def _list(self) -> str:
        self.lists += 1
        self.listing = True
        names: set[Name] = set()
        version = ""
        async for page in self._client.pages(
            self.resource,
            self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
        ):
            names.update(self._observe(item, deleted=False) for item in page["items"])
            version = page["metadata"]["resourceVersion"]
        for name in [name for name in self.items if name not in names]:
            self._replace(name, None)
        self.unreadable = {name: why for name, why in self.unreadable.items() if name in names}
        self.listing = False
        self.synced.set()
        try:
            self._on_list()
        except Exception:  # it would be listed again, to the same end
            log.exception("handling of all %s failed", self.resource.plural)
        return version

    def _observe(self, body: Object, *, deleted: bool) -> Name:
        metadata = body["metadata"]
        name = (metadata.get("namespace", ""), metadata["name"])
        if deleted:
            self.unreadable.pop(name, None)
            self._replace(name, None)
            return name
        try:
            view = self._project(body)
        except Exception as error:  # noqa: BLE001 - another release may have written what this one does not know
            why = f"{type(error).__name__}: {error}"
            if self.unreadable.get(name) != why:
                log.warning("%s %s/%s cannot be read and is skipped: %s", self.resource.kind, *name, why)
            self.unreadable[name] = why
        else:
            self.unreadable.pop(name, None)
            self._replace(name, view)
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
            log.exception("handling of %s %s failed", self.resource.kind, name)
