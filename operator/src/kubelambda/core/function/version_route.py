"""Which versions callers get, and what each has of the provisioned environments (§1.5.2, §5.7). Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil


@dataclass(frozen=True, slots=True)
class VersionRoute:
    """A version, and the share of a second one by its number."""

    version: str
    weights: Mapping[str, float] = field(default_factory=dict)

    def versions(self) -> tuple[str, ...]:
        """Every version that callers may get."""
        return self.version, *self.weights

    def shares(self, environments: int) -> dict[str, int]:
        """Provisioned environments of each version: by weight, so that the parts are the whole."""
        rest, shares = environments, {}
        for version, weight in self.weights.items():
            shares[version] = min(rest, ceil(environments * weight))
            rest -= shares[version]
        return {self.version: rest, **shares}
