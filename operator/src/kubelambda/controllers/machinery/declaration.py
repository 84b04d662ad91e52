"""What a capability declares: what it watches, what a change there means for its keys, and how it reconciles one.

The loops of this folder do the rest: a new kind costs its own files and one line in `controllers/registry.py`.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from kubelambda.controllers.machinery.cluster import Cluster
from kubelambda.controllers.machinery.watched import Watch
from kubelambda.controllers.machinery.work_queue import Key, Outcome


@dataclass(frozen=True, slots=True)
class Change[F]:
    """One object of a watch: as it was known and as it is. None for one that was not, or is not any more."""

    namespace: str
    name: str
    before: F | None
    after: F | None
    cluster: Cluster

    @property
    def either(self) -> tuple[F, ...]:
        """The facts before and after, as far as there are any."""
        return tuple(each for each in (self.before, self.after) if each is not None)


@dataclass(frozen=True, slots=True)
class Follow[F]:
    """What a change of a watched object means for the keys of a controller."""

    watch: Watch[F]
    keys: Callable[[Change[F]], Iterable[Key]]
    """Keys to look at."""
    resync: bool = False
    """Whether a resync asks for the keys of every object, as if it had just appeared."""
    delay: float = 0.0
    """Seconds that they may wait: many changes, one look."""
    settled: Callable[[F], bool] = field(default=lambda _: False)
    """Whether a resync may look at it in the course of its interval instead of at once."""


@dataclass(frozen=True, slots=True)
class Controller[C]:
    """One kind of key: how to bring one closer to its desired state, and what makes that worth a look.

    `C` is what reconcilers are given beside their key.
    """

    kind: str
    reconcile: Callable[[C, Key], Awaitable[Outcome]]
    follows: tuple[Follow[Any], ...] = ()
    first_keys: tuple[Key, ...] = ()
    """Keys that nothing announces: due from the start."""
    own_workers: int = 0
    """Workers of a queue of its own, for what may take minutes; 0: the queue that all others share."""
