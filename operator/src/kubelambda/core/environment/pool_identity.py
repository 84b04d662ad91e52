"""Which pool of a namespace is which: one for each runtime and shape that functions there have. Pure."""

import hashlib
from dataclasses import dataclass

from kubelambda.core.environment.shape import GENERIC, Shape

_RUNTIME_CHARS = 52
_DIGEST_CHARS = 10
"""Together with an underscore they are the value of a label, which has 63 characters at most."""


@dataclass(frozen=True, slots=True)
class PoolIdentity:
    """A pool of a namespace."""

    runtime: str
    shape: Shape = GENERIC

    @property
    def id(self) -> str:
        """Its name among the pools of its namespace, and the value of its pods' label.

        The generic pool has the name of its runtime. No name of a runtime has an underscore.
        """
        if self.shape.generic:
            return self.runtime
        digest = hashlib.sha256(f"{self.runtime}/{self.shape.id}".encode()).hexdigest()
        return f"{self.runtime[:_RUNTIME_CHARS]}_{digest[:_DIGEST_CHARS]}"


def is_shaped(pool_id: str) -> bool:
    """Whether a pool has another than the generic shape."""
    return "_" in pool_id
