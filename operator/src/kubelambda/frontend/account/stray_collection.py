"""Finds the environments of functions that nobody has called since their frontend ended: adopted, or deleted.

Without this an environment would stay for as long as its function, idle, once the frontend that knew it was replaced.
"""

import logging
import time
from collections.abc import Callable

from kubelambda.core.environment.strays import Unknown
from kubelambda.frontend.cluster.caches import Caches
from kubelambda.frontend.cluster.views import PodView
from kubelambda.frontend.dispatch.dispatcher import Dispatcher
from kubelambda.kube.reflector import Name

INTERVAL_S = 10.0

log = logging.getLogger(__name__)


class StrayCollection:
    """`dispatcher_of` gives the dispatcher of a function of this frontend; making one adopts what can be adopted."""

    def __init__(
        self,
        caches: Caches,
        dispatcher_of: Callable[[str, str], Dispatcher | None],
        delete: Callable[[str, str, float], None],
    ) -> None:
        self._caches = caches
        self._dispatcher_of = dispatcher_of
        self._delete = delete
        self._unknown = Unknown()

    def look(self) -> None:
        """Looks at every claimed pod; one that no dispatcher wants to know for long is deleted."""
        unknown: dict[str, tuple[Name, PodView, Dispatcher]] = {}
        for name, pod in list(self._caches.pods.items.items()):
            if pod.function and not pod.deleting:
                dispatcher = self._dispatcher_of(name[0], pod.function)
                if (
                    dispatcher is not None
                    and dispatcher.target.uid == pod.function_uid
                    and not dispatcher.knows(pod.uid)
                ):
                    unknown[pod.uid] = (name, pod, dispatcher)
        for uid in self._unknown.overdue(unknown, time.monotonic()):
            (namespace, pod_name), pod, dispatcher = unknown[uid]
            log.warning("pod %s/%s of function %s is nobody's: it is deleted", namespace, pod_name, pod.function)
            # It may still run something for a former owner: it gets as long as that may take.
            self._delete(namespace, pod_name, dispatcher.target.configuration.timeout)
