"""The settings that the control API reads of the file that the chart mounts.

A model of its own: pydantic costs every replica 17 MB, and the other components have checked the same file.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubelambda.api import limits
from kubelambda.core.account.request_rate import OTHERS


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """See `kubelambda.api.settings.Settings`."""

    region: str = "us-east-1"
    endpoint_domain: str | None = None
    default_namespace: str = "default"
    account_concurrency: int = limits.ACCOUNT_CONCURRENCY
    unreserved_minimum: int = limits.UNRESERVED_MINIMUM
    code_store_url: str = "http://kubelambda-code-store:8080"
    code_fetcher_url: str = "http://kubelambda-code-fetcher:8080"
    auth_mode: str = "none"
    token_audiences: tuple[str, ...] = ()
    url_domain: str = "lambda.internal"
    url_scheme: str = "http"
    rate_limits: Mapping[str, float] = field(default_factory=dict)
    """Requests a second by operation, those of all others under an empty name; none: no limit."""


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
        "codeFetcherUrl": "code_fetcher_url",
    }
    auth, rates, urls = found.get("auth") or {}, found.get("controlApiRates"), found.get("functionUrls") or {}
    return ApiSettings(
        **{ours: found[theirs] for theirs, ours in names.items() if theirs in found},
        **{f"url_{name}": urls[name] for name in ("domain", "scheme") if name in urls},
        auth_mode=auth.get("mode", "none"),
        token_audiences=tuple(auth.get("tokenAudiences") or ()),
        rate_limits=_rates(rates) if rates else {},
    )


def _rates(given: Mapping[str, float]) -> Mapping[str, float]:
    """Each limit by operation, of what the chart calls them: frontends bring an account's calls to one replica."""
    names = {"getFunction": "GetFunction", "getPolicy": "GetPolicy", "others": OTHERS}
    return {operation: float(given[name]) for name, operation in names.items() if name in given}
