"""Aliases and versions that the caches have not seen: who publishes and calls at once must not notice.

Their objects are not found by the names that callers use, so a look lists a namespace. It serves everybody who asked
before it began, and there are few of them: whoever makes names up gets no more looks than anybody else.
"""

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable

from kubelambda.frontend.cluster import views
from kubelambda.frontend.cluster.published import Published
from kubelambda.kube.errors import KubeError
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.reflector import Name
from kubelambda.kube.resources import ALIASES, FUNCTION_VERSIONS, Resource
from kubelambda.wire.background_tasks import BackgroundTasks

ABSENT_S = 1.0
"""A qualifier that Kubernetes does not know is not looked up again for so long."""
FOUND_S = 10.0
"""The caches are certain to have seen by then what was found."""
_PAUSE_S = 0.25
"""Between two looks at a namespace."""
_REMEMBERED = 4096
_WAITING_MAX = 256
_AT_ONCE = 4

log = logging.getLogger(__name__)

type Qualified = tuple[Name, str]
"""A Function object by its namespace and name, and a qualifier."""


class UnseenQualifiers:
    """Looks at the namespaces whose functions are called by qualifiers that `published` does not know."""

    def __init__(self, client: KubeClient, published: Published) -> None:
        self._client = client
        self._published = published
        self._absent: OrderedDict[Qualified, float] = OrderedDict()
        self._waiting: defaultdict[str, list[tuple[Qualified, Callable[[bool], None]]]] = defaultdict(list)
        self._at_work: set[str] = set()
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._tasks = BackgroundTasks()

    def absent(self, qualified: Qualified) -> bool:
        """Whether there was no such alias or version a moment ago."""
        looked = self._absent.get(qualified)
        return looked is not None and time.monotonic() - looked < ABSENT_S

    def look(self, qualified: Qualified, then: Callable[[bool], None]) -> bool:
        """Calls `then` after a look, with whether Kubernetes said anything. False when too many wait for one."""
        namespace = qualified[0][0]
        if len(self._waiting[namespace]) >= _WAITING_MAX:
            return False
        self._waiting[namespace].append((qualified, then))
        if namespace not in self._at_work:
            self._at_work.add(namespace)
            self._tasks.start(self._run(namespace))
        return True

    async def _run(self, namespace: str) -> None:
        try:
            while self._waiting[namespace]:
                async with self._slots:
                    asked = self._waiting.pop(namespace)
                    answered = await self._look(namespace)
                self._remember([qualified for qualified, _ in asked] if answered else [])
                for _, then in asked:
                    then(answered)
                await asyncio.sleep(_PAUSE_S)
        finally:
            self._at_work.discard(namespace)
            if not self._waiting[namespace]:
                del self._waiting[namespace]

    async def _look(self, namespace: str) -> bool:
        try:
            aliases, versions = await asyncio.gather(
                self._views(ALIASES, namespace, views.alias_view),
                self._views(FUNCTION_VERSIONS, namespace, views.version_view),
            )
        except KubeError as error:
            log.info("aliases and versions of %s: %s", namespace, error)
            return False
        except Exception:  # whoever asked waits for an answer, and would for ever
            log.exception("aliases and versions of %s", namespace)
            return False
        ahead = self._published.unseen(namespace, aliases, versions)
        asyncio.get_running_loop().call_later(FOUND_S, self._published.forget, namespace, ahead)
        return True

    async def _views[V](self, resource: Resource, namespace: str, view: Callable[[Object], V | None]) -> dict[str, V]:
        """As Kubernetes has them now, by name. What cannot be read is what the caches have skipped too."""
        found: dict[str, V] = {}
        async for page in self._client.pages(resource, namespace):
            for body in page["items"]:
                with contextlib.suppress(Exception):
                    seen = view(body)
                    if seen is not None:
                        found[body["metadata"]["name"]] = seen
        return found

    def _remember(self, asked: Iterable[Qualified]) -> None:
        for qualified in asked:
            if not self._published.resolvable(*qualified):
                self._absent[qualified] = time.monotonic()
                self._absent.move_to_end(qualified)
        while len(self._absent) > _REMEMBERED:
            self._absent.popitem(last=False)
