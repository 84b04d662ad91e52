"""Which environments are too old, and may go now (lambda-semantics §3.3.4)."""

from collections import Counter
from collections.abc import Container, Iterable, Mapping

from kubelambda.core.placement.function_share import ProvisionedShare
from kubelambda.core.placement.placed_environment import PlacedEnvironment


def oldest_to_go(
    environments: Iterable[PlacedEnvironment],
    starting: Container[int],
    provisioned: Mapping[str, ProvisionedShare],
    before: float,
) -> list[PlacedEnvironment]:
    """The oldest environment of each kind that was born `before`: they go one after the other.

    A provisioned one goes only while all that were allocated are there: its successor comes first.
    """
    oldest: dict[str, PlacedEnvironment] = {}
    count: Counter[str] = Counter()
    for found in environments:
        if found.retiring or found.released or found.id in starting:
            continue
        count[found.provisioned] += 1
        if found.born < before:
            known = oldest.get(found.provisioned)
            if known is None or found.born < known.born:
                oldest[found.provisioned] = found
    return [
        found
        for qualifier, found in oldest.items()
        if (share := provisioned.get(qualifier)) is None or count[qualifier] >= share.allocated
    ]
