"""How environments that are born closed find out that they are (`docs/decisions/0012`)."""

from urllib.parse import urlsplit

from kubelambda.api.environment_protocol import ClosureCheck
from kubelambda.api.settings import Settings

_PORTS = {"http": 80, "https": 443}


def closure_check(settings: Settings) -> str:
    """The variable of their pods. Frontends are what all other environments reach, the code store what they do too."""
    network = settings.network
    refused = _address(settings.frontend_url) if network.require_enforcement else ""
    return ClosureCheck(refused, _address(settings.code_store_url), network.settle_seconds).encode()


def _address(url: str) -> str:
    found = urlsplit(url)
    return f"{found.hostname}:{found.port or _PORTS[found.scheme]}"
