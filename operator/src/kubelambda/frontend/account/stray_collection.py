"""Finds the environments of functions that nobody has called since their frontend ended: adopted, or deleted.

Without this an environment would stay for as long as its function, idle, once the frontend that knew it was replaced.
"""

import logging
import time
from collections.abc import Callable

from kubelambda.core.environment.strays import Unknown
from kubelambda.frontend.cluster.caches import Caches
from kubelambda.frontend.cluster.views import PodView
from kubelambda.frontend.cold_start.starter import Starter
from kubelambda.frontend.dispatch.dispatcher import Dispatcher
from kubelambda.kube.reflector import Name

INTERVAL_S = 10.0

log = logging.getLogger(__name__)


class StrayCollection:
    """`dispatcher_of` gives the dispatcher of a version, and makes one if need be; `take_over` adopts a pod for it."""

    def __init__(
        self,
        caches: Caches,
        dispatcher_of: Callable[[str, str, str], Dispatcher | None],
        take_over: Callable[[Dispatcher, str, PodView], None],
        starter: Starter,
    ) -> None:
        self._caches = caches
        self._dispatcher_of = dispatcher_of
        self._take_over = take_over
        self._starter = starter
        self._unknown = Unknown()

    def look(self) -> None:
        """Looks at every claimed pod: it is adopted, or deleted when that came to nothing for long."""
        unknown: dict[str, tuple[Name, PodView, Dispatcher]] = {}
        for name, pod in list(self._caches.pods.items.items()):
            if pod.function and not pod.deleting:
                dispatcher = self._dispatcher_of(name[0], pod.function, pod.version)
                if (
                    dispatcher is not None
                    and dispatcher.target.uid == pod.function_uid
                    and not dispatcher.knows(pod.uid)
                    and not self._starter.starting(pod.uid)
                ):
                    if not pod.provisioned:  # those are their Deployment's
                        unknown[pod.uid] = (name, pod, dispatcher)
                    self._take_over(dispatcher, name[1], pod)
        for uid in self._unknown.overdue(unknown, time.monotonic()):
            (namespace, pod_name), pod, dispatcher = unknown[uid]
            log.warning("pod %s/%s of function %s is nobody's: it is deleted", namespace, pod_name, pod.function)
            # It may still run something for a former owner: it gets as long as that may take.
            self._starter.deletions.soon(namespace, pod_name, uid, dispatcher.target.configuration.timeout)
        self._starter.purge_pools()
