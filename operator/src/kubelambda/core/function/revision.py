"""The revision of a deployed configuration: equal exactly when environments of one may serve the other."""

import hashlib
import json
from typing import Any, Final

NOT_OF_ENVIRONMENTS: Final[dict[str, Any]] = {
    "dead_letter_target": True,
    "signing": True,
    "bandwidth_mbit": True,
    "code": {"source": True, "resolved": True},
    "file_systems": {"__all__": {"zones": True}},
}
"""Fields of a deployed configuration that environments know nothing of: a change of them replaces none."""


def revision(configuration: dict[str, Any]) -> str:
    """16 hex digits over everything that an environment was made from. `configuration` must be JSON-serialisable."""
    canonical = json.dumps(configuration, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
