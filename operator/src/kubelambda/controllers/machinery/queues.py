"""The work queues of an operator: one that all controllers share, and one for each whose keys may take minutes."""

from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

from kubelambda.controllers.machinery.declaration import Controller
from kubelambda.controllers.machinery.work_queue import Key, Outcome, WorkQueue

SHARED = "quick"
SHARED_WORKERS = 8

type Observe = Callable[[str, str, float], None]
"""Told of each reconciliation: kind, outcome, seconds."""


class Queues:
    """Where keys wait. Slow work is apart, so that one function's slow server delays no other function."""

    def __init__(self, controllers: Iterable[Controller[Any]], *, observe: Observe = lambda *_: None) -> None:
        self.by_name = {SHARED: WorkQueue(observe=observe)}
        self._workers = {SHARED: SHARED_WORKERS}
        self._of_kind: dict[str, WorkQueue] = {}
        for controller in controllers:
            if controller.own_workers:
                self.by_name[controller.kind] = WorkQueue(observe=observe)
                self._workers[controller.kind] = controller.own_workers
            self._of_kind[controller.kind] = self.by_name[controller.kind if controller.own_workers else SHARED]

    def of(self, kind: str) -> WorkQueue:
        """The queue of a kind of key."""
        return self._of_kind[kind]

    def add(self, key: Key, delay: float = 0.0) -> None:
        """Makes a key due in `delay` seconds, where its kind waits."""
        self._of_kind[key.kind].add(key, delay)

    def runs(self, reconcile: Callable[[Key], Awaitable[Outcome]]) -> list[Coroutine[Any, Any, None]]:
        """One endless run a queue."""
        return [queue.run(reconcile, self._workers[name]) for name, queue in self.by_name.items()]
