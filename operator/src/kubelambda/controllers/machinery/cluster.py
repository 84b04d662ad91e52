"""What the operator knows of the cluster: facts of each declared kind, kept current by events, replaced by a resync."""

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from kubelambda.controllers.machinery.watched import Name, Watch

_REMEMBERED = 4_096


@dataclass(frozen=True, slots=True)
class Seen[F]:
    """One object as it was last seen."""

    uid: str
    version: int
    """Resource version: of two views of one object, the one with the higher number is the newer."""
    facts: F


class Known[F]:
    """The facts of all objects of one kind."""

    def __init__(self) -> None:
        self._seen: defaultdict[str, dict[str, Seen[F]]] = defaultdict(dict)
        self._gone: dict[str, float] = {}
        """Uids of what went last, and in which version: who read it just before may still take it in after."""

    def get(self, namespace: str, name: str) -> F | None:
        """The facts of an object."""
        seen = self._seen.get(namespace, {}).get(name)
        return None if seen is None else seen.facts

    def within(self, namespace: str) -> Iterator[tuple[str, F]]:
        """Name and facts of the objects of a namespace."""
        return ((name, seen.facts) for name, seen in self._seen.get(namespace, {}).items())

    def seen(self, namespace: str, name: str) -> Seen[F] | None:
        """An object as it was last seen."""
        return self._seen.get(namespace, {}).get(name)

    def all_seen(self) -> dict[Name, Seen[F]]:
        """Every object as it was last seen."""
        return {(namespace, name): seen for namespace, found in self._seen.items() for name, seen in found.items()}

    def namespaces(self) -> set[str]:
        """Namespaces that have any."""
        return set(self._seen)

    def names(self) -> set[Name]:
        """Every object."""
        return {(namespace, name) for namespace, found in self._seen.items() for name in found}

    def __iter__(self) -> Iterator[tuple[Name, F]]:
        for namespace, found in self._seen.items():
            for name, seen in found.items():
                yield (namespace, name), seen.facts

    def replace(self, name: Name, seen: Seen[F]) -> bool:
        """Takes an object in. False when a newer view of it is known already, or that it is gone."""
        namespace, plain = name
        known = self._seen.get(namespace, {}).get(plain)
        if seen.version <= self._gone.get(seen.uid, -1):
            return False
        if known is not None and known.uid == seen.uid and known.version > seen.version:
            return False
        if known is not None and known.uid != seen.uid and known.version < seen.version:
            self._bury(known.uid, math.inf)
        self._seen[namespace][plain] = seen
        return True

    def remove(self, name: Name, uid: str | None = None, version: float = math.inf) -> F | None:
        """Takes in that an object is gone; its facts if it was known. With its `uid` it is not taken in again as it was
        up to `version`, and another one of that name stays; without, whatever has the name is not known until it is
        seen again.

        What lost the label by which it is watched goes as well, and is another version when it has that again.
        """
        namespace, plain = name
        known = self._seen.get(namespace, {}).get(plain)
        if uid is not None:
            self._bury(uid, version)
            if known is not None and (known.uid != uid or known.version > version):
                return None
        if known is None:
            return None
        del self._seen[namespace][plain]
        if not self._seen[namespace]:
            del self._seen[namespace]
        return known.facts

    def _bury(self, uid: str, version: float) -> None:
        self._gone[uid] = max(version, self._gone.get(uid, -1))
        if len(self._gone) > _REMEMBERED:
            del self._gone[next(iter(self._gone))]


@dataclass(slots=True)
class Cluster:
    """What is known, kind by kind."""

    _known: dict[Watch[Any], Known[Any]] = field(default_factory=dict)

    def __getitem__[F](self, watch: Watch[F]) -> Known[F]:
        return self._known.setdefault(watch, Known())
