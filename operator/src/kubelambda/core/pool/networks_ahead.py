"""Which idle closed environments of a pool are opened for which network before a function of it is started; pure.

What is open for one network never becomes another's: it serves functions of that network, or goes.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

CLOSED = ""
"""In place of the set of subnets and groups that an environment is open for."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What becomes of environments, by their names."""

    opened: Mapping[str, str]
    """For which set."""
    replaced: tuple[str, ...] = ()
    """Those that go, so that their pool gets closed ones."""


def opening(idle: Mapping[str, str], wanted: Mapping[str, int], *, shared: bool) -> Opening:
    """What to do with the environments of a pool.

    `idle` says for which set each of them is open, `wanted` how many should be open for which set. `shared`: functions
    of several sets use the pool; one environment stays closed then, since any of them can have it. What is open for a
    set that nobody wants goes where others lack environments.
    """
    have = Counter(idle.values())
    missing = Counter({each: count - have[each] for each, count in wanted.items() if count > have[each]})
    closed = sorted(name for name, known in idle.items() if known == CLOSED)
    opened: dict[str, str] = {}
    for name in closed[1:] if shared else closed:
        if not missing.total():
            break
        ((found, _),) = missing.most_common(1)
        opened[name] = found
        missing[found] -= 1
    unwanted = sorted(name for name, known in idle.items() if known != CLOSED and not wanted.get(known))
    lacking = missing.total() + (shared and not closed)
    return Opening(opened, tuple(unwanted[:lacking]))


def rank(open_for: str, wanted: str, *, known: bool) -> int | None:
    """How well an environment suits a function of the set `wanted`: 0 is the best, and None is not at all.

    `known`: Kubernetes has acknowledged what it is open for.
    """
    if open_for == wanted:
        return 0 if known else 2
    return 1 if open_for == CLOSED else None
