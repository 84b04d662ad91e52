"""Finds the environments of functions that nobody has called since their frontend ended: adopted, or deleted.

Without this an environment would stay for as long as its function, idle, once the frontend that knew it was replaced.
"""

import logging
import time
from collections.abc import Callable

from kubelambda.core.orphans import Unknown
from kubelambda.frontend.caches import Caches
from kubelambda.frontend.runner import Runner
from kubelambda.frontend.views import PodView
from kubelambda.kube.reflector import Name

INTERVAL_S = 10.0

log = logging.getLogger(__name__)


class Orphans:
    """`runner_of` gives the runner of a function that this frontend owns; making one adopts what can be adopted."""

    def __init__(
        self,
        caches: Caches,
        runner_of: Callable[[str, str], Runner | None],
        delete: Callable[[str, str, float], None],
    ) -> None:
        self._caches = caches
        self._runner_of = runner_of
        self._delete = delete
        self._unknown = Unknown()

    def look(self) -> None:
        """Looks at every claimed pod; one that no runner wants to know for long is deleted."""
        unknown: dict[str, tuple[Name, PodView, Runner]] = {}
        for name, pod in list(self._caches.pods.items.items()):
            if pod.function and not pod.deleting:
                runner = self._runner_of(name[0], pod.function)
                if runner is not None and runner.target.uid == pod.function_uid and not runner.knows(pod.uid):
                    unknown[pod.uid] = (name, pod, runner)
        for uid in self._unknown.overdue(unknown, time.monotonic()):
            (namespace, pod_name), pod, runner = unknown[uid]
            log.warning("pod %s/%s of function %s is nobody's: it is deleted", namespace, pod_name, pod.function)
            # It may still run something for a former owner: it gets as long as that may take.
            self._delete(namespace, pod_name, runner.target.configuration.timeout)
