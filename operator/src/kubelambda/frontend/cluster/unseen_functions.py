"""Functions that the cache has not seen: it may be behind, and who deploys and calls at once must not notice."""

import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Callable

from kubelambda.core.function.object_name import function_name_of, object_names
from kubelambda.frontend.cluster import views
from kubelambda.frontend.cluster.views import FunctionView
from kubelambda.kube.errors import KubeError, NotFound
from kubelambda.kube.fair_slots import FairSlots
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.reflector import Name
from kubelambda.kube.resources import FUNCTIONS
from kubelambda.wire.background_tasks import BackgroundTasks

ABSENT_S = 1.0
"""A name that Kubernetes does not know is not looked up again for so long."""
FOUND_S = 60.0
"""The cache is certain to have seen by then what was found."""
_REMEMBERED = 4096
_WAITING_MAX = 256
"""Names of one namespace: whoever makes more up waits in nobody else's place. Who makes up namespaces has one place."""
_AT_ONCE = 16
_PER_NAMESPACE = 4

log = logging.getLogger(__name__)

type FoundFunction = tuple[str, FunctionView]
"""Name of a Function object, and its view."""


class UnseenFunctions:
    """One GET for a name that nobody has asked for in the last second, however often it is called.

    `is_namespace` says whether there is one of that name, as far as anybody has heard.
    """

    def __init__(self, client: KubeClient, is_namespace: Callable[[str], bool]) -> None:
        self._client = client
        self._is_namespace = is_namespace
        self._known: OrderedDict[Name, tuple[float, FoundFunction | None]] = OrderedDict()
        self._waiting: dict[Name, list[Callable[[bool], None]]] = {}
        self._looks: Counter[str] = Counter()
        self._slots: FairSlots[str] = FairSlots(_PER_NAMESPACE, _AT_ONCE)
        self._tasks = BackgroundTasks()

    def found(self, name: Name) -> FoundFunction | None:
        """What was found under that name of a function a moment ago."""
        known = self._known.get(name)
        return known[1] if known is not None and time.monotonic() - known[0] < FOUND_S else None

    def absent(self, name: Name) -> bool:
        """Whether there was no such function a moment ago."""
        known = self._known.get(name)
        return known is not None and known[1] is None and time.monotonic() - known[0] < ABSENT_S

    def forget(self, name: Name) -> None:
        """The cache knows better now."""
        self._known.pop(name, None)

    def look(self, name: Name, then: Callable[[bool], None]) -> bool:
        """Calls `then` once the name is looked up, with whether Kubernetes said anything. False when too many wait."""
        waiting = self._waiting.get(name)
        if waiting is not None:
            waiting.append(then)
            return True
        place = name[0] if self._is_namespace(name[0]) else ""
        if self._looks[place] >= _WAITING_MAX:
            return False
        self._looks[place] += 1
        self._waiting[name] = [then]
        self._tasks.start(self._look(name, place))
        return True

    async def _look(self, name: Name, place: str) -> None:
        answered = False
        try:
            async with self._slots.hold(place):
                self._remember(name, await self._get(*name))
            answered = True
        except KubeError as error:
            log.info("function %s/%s: %s", *name, error)
        finally:
            self._looks -= Counter([place])
            for then in self._waiting.pop(name):
                then(answered)

    async def _get(self, namespace: str, function_name: str) -> FoundFunction | None:
        for name in object_names(function_name):
            try:
                body = await self._client.get(FUNCTIONS, name, namespace)
            except NotFound:
                continue
            view = views.function_view(body)
            if view is not None and function_name_of(body) == function_name:
                return name, view
        return None

    def _remember(self, name: Name, found: FoundFunction | None) -> None:
        self._known[name] = (time.monotonic(), found)
        self._known.move_to_end(name)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
