"""Which idle environments of a pool unpack which layers before a function that has them is started; pure.

Whoever starts an environment with large layers is likely to start more. What one of them holds ahead, its function need
not wait for; one that is taken for another function lets go of it first.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from kubelambda.api.kinds.function_mounts import DeployedLayer

type Digests = tuple[str, ...]
"""Of layers, in their order."""
RANKS: Final = 5
"""How many different ones `rank` gives."""
WORTH_BYTES: Final = 1 << 20
"""Layers of fewer bytes, zipped, come along with the claim and are unpacked in no time."""


def worth_holding(layers: Sequence[DeployedLayer]) -> Digests:
    """The layers of a function, if an environment should have them ahead; else nothing."""
    return tuple(layer.sha256 for layer in layers) if sum(layer.size for layer in layers) > WORTH_BYTES else ()


def to_hold(idle: Mapping[str, Digests], wanted: Mapping[Digests, int]) -> dict[str, Digests]:
    """What environments of a pool are told: by their name, the layers that they have to hold.

    `idle` says what each of them holds, `wanted` how many should hold which layers. Those that hold what nobody wants
    are told last. The layers that most environments are missing for come first.
    """
    have = Counter(idle.values())
    missing = Counter({digests: count - have[digests] for digests, count in wanted.items() if count > have[digests]})
    spare = sorted((name for name, held in idle.items() if not wanted.get(held)), key=lambda name: bool(idle[name]))
    told: dict[str, Digests] = {}
    for name in spare:
        if not missing.total():
            break
        ((digests, _),) = missing.most_common(1)
        told[name] = digests
        missing[digests] -= 1
    return told


def rank(held: Digests, wanted: Digests, *, whole: bool) -> int:
    """How well an environment suits a function with these layers: 0 is the best, and higher is worse."""
    if held == wanted:
        return 0 if whole or not held else 1
    return 2 if not held else 3 if whole else 4
