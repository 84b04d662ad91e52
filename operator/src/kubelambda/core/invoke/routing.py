"""Which version of a function a qualifier means (§1.2.2, §1.5.2): pure; chance is passed in."""

from collections.abc import Mapping
from dataclasses import dataclass, field

LATEST = "$LATEST"


@dataclass(frozen=True, slots=True)
class AliasRoute:
    """Where an alias leads. `weights` gives other versions the share of the invocations that they take, 0 to 1."""

    version: str
    weights: Mapping[str, float] = field(default_factory=dict)

    def choose(self, chance: float) -> str:
        """The version for one invocation. `chance` is in [0, 1), and independent for each."""
        for version, weight in self.weights.items():
            if chance < weight:
                return version
            chance -= weight
        return self.version

    def versions(self) -> list[str]:
        """Every version that an invocation may get."""
        return [self.version, *(version for version, weight in self.weights.items() if weight > 0)]


def alias_rank(created: str, *, routed: bool) -> tuple[str, bool]:
    """Of objects that are one alias the one of the lowest rank is it: the older one, or of one second the routed one.

    `created` in RFC 3339; `routed`: whether callers get something by it.
    """
    return created, not routed


def is_alias(qualifier: str) -> bool:
    """Whether a qualifier can only be an alias: it is neither a number nor says `$LATEST` in some way (§1.2.2)."""
    return not qualifier.isdecimal() and "$" not in qualifier
