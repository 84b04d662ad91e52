"""Functions that the cache has not seen: it may be behind, and who deploys and calls at once must not notice."""

import logging
import time
from collections import OrderedDict, defaultdict
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
"""Names of one namespace: whoever makes more up waits in nobody else's place."""
_AT_ONCE = 16
_PER_NAMESPACE = 4

log = logging.getLogger(__name__)

type FoundFunction = tuple[str, FunctionView]
"""Name of a Function object, and its view."""


class UnseenFunctions:
    """One GET for a name that nobody has asked for in the last second, however often it is called."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._known: OrderedDict[Name, tuple[float, FoundFunction | None]] = OrderedDict()
        self._waiting: defaultdict[str, dict[str, list[Callable[[bool], None]]]] = defaultdict(dict)
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
        waiting = self._waiting[name[0]]
        if name[1] in waiting:
            waiting[name[1]].append(then)
        elif len(waiting) < _WAITING_MAX:
            waiting[name[1]] = [then]
            self._tasks.start(self._look(name))
        else:
            return False
        return True

    async def _look(self, name: Name) -> None:
        answered = False
        try:
            async with self._slots.hold(name[0]):
                self._remember(name, await self._get(*name))
            answered = True
        except KubeError as error:
            log.info("function %s/%s: %s", *name, error)
        finally:
            asked = self._waiting[name[0]].pop(name[1])
            if not self._waiting[name[0]]:
                del self._waiting[name[0]]
            for then in asked:
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
