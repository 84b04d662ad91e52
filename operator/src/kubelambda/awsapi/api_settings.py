"""The settings that the control API reads of the file that the chart mounts.

A model of its own: pydantic costs every replica 17 MB, and the other components have checked the same file.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubelambda.api import limits


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """See `kubelambda.api.settings.Settings`."""

    region: str = "us-east-1"
    endpoint_domain: str | None = None
    default_namespace: str = "default"
    account_concurrency: int = limits.ACCOUNT_CONCURRENCY
    unreserved_minimum: int = limits.UNRESERVED_MINIMUM
    code_store_url: str = "http://kubelambda-code-store:8080"


def load(path: Path) -> ApiSettings:
    """Settings from a JSON file. Raises `OSError` or `ValueError`."""
    found: dict[str, Any] = json.loads(path.read_bytes())
    names = {
        "region": "region",
        "endpointDomain": "endpoint_domain",
        "defaultNamespace": "default_namespace",
        "accountConcurrency": "account_concurrency",
        "unreservedMinimum": "unreserved_minimum",
        "codeStoreUrl": "code_store_url",
    }
    return ApiSettings(**{ours: found[theirs] for theirs, ours in names.items() if theirs in found})
