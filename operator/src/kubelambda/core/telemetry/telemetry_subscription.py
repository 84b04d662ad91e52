"""A subscription to the Telemetry API, or to the Logs API before it: read, and checked (§4.2.1)."""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

SANDBOX: Final = "sandbox.localdomain"
CATEGORIES: Final = ("platform", "function", "extension")
_HOSTS: Final = (SANDBOX, "sandbox", "localhost", "127.0.0.1")
_URI: Final = re.compile(r"http://([A-Za-z0-9.-]+)(?::([0-9]{1,5}))?(/[!-~]*)?")
_PORT_MAX: Final = 65_535
_BUFFERING: Final = {
    "maxItems": (1000, 10_000, 10_000),
    "maxBytes": (262_144, 1_048_576, 262_144),
    "timeoutMs": (25, 30_000, 1000),
}
"""Least, most, and what holds where nothing is said."""


class TelemetryApi(Enum):
    """The API that a subscription came by, with the word that begins its error types."""

    TELEMETRY = "Telemetry"
    LOGS = "Logs"

    @property
    def schemas(self) -> tuple[str, ...]:
        """Versions of its events, the oldest one first."""
        return _SCHEMAS[self]


_SCHEMAS: Final = {
    TelemetryApi.TELEMETRY: ("2022-07-01", "2022-12-13", "2025-01-29"),
    TelemetryApi.LOGS: ("2020-08-15", "2021-03-18"),
}


class SubscriptionRefused(Exception):
    """A subscription that is answered with `status`: `error_type` is Lambda's, the message its text."""

    def __init__(self, status: int, error_type: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type


@dataclass(frozen=True, slots=True)
class TelemetrySubscription:
    """What an extension wants to hear, in which form, and where."""

    api: TelemetryApi
    schema: str
    types: tuple[str, ...]
    """Out of `CATEGORIES`, in its own order."""
    port: int
    """Where it listens, on loopback."""
    tcp: bool = False
    """Whether it gets lines, and not requests."""
    path: str = "/"
    method: str = "POST"
    max_items: int = 10_000
    max_bytes: int = 262_144
    timeout_s: float = 1.0
    """How long an event may wait for others."""


def closed(api: TelemetryApi) -> SubscriptionRefused:
    """INIT is over: who did not subscribe by then cannot."""
    return SubscriptionRefused(403, f"{api.value}.SubscriptionClosed", f"{api.value} API subscription is closed")


def invalid(api: TelemetryApi, message: str) -> SubscriptionRefused:
    """The request is none."""
    prefix = "Logs." if api is TelemetryApi.LOGS else ""
    return SubscriptionRefused(400, f"{prefix}ValidationError", message)


def parse_subscription(api: TelemetryApi, body: bytes, reserved: Collection[int]) -> TelemetrySubscription:
    """The subscription out of its request. Raises `SubscriptionRefused` with all that is wrong.

    `reserved` are the ports that the environment itself listens on.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise invalid(api, f"the body is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise invalid(api, "the body is no JSON object")
    problems: list[str] = []
    schema = _schema(api, found, problems)
    destination = found.get("destination")
    if not isinstance(destination, dict):
        problems.append("destination is not provided")
        destination = {}
    tcp, port, path = _address(destination, reserved, problems)
    method = _method(api, destination, problems)
    types = _types(found.get("types"), problems)
    bounds = _bounds(found.get("buffering"), problems)
    if problems:
        raise invalid(api, "; ".join(problems))
    return TelemetrySubscription(
        api=api,
        schema=schema,
        types=types,
        port=port,
        tcp=tcp,
        path=path,
        method=method,
        max_items=bounds["maxItems"],
        max_bytes=bounds["maxBytes"],
        timeout_s=bounds["timeoutMs"] / 1000,
    )


def _schema(api: TelemetryApi, found: dict[str, Any], problems: list[str]) -> str:
    """Required by the Telemetry API; the Logs API had one before it had versions."""
    given = found.get("schemaVersion")
    if given is None and api is TelemetryApi.LOGS:
        return api.schemas[0]
    if given is None:
        problems.append("schemaVersion is not provided")
    elif given not in api.schemas:
        problems.append(f"schemaVersion should be one of {', '.join(api.schemas)}")
    return str(given)


def _types(given: Any, problems: list[str]) -> tuple[str, ...]:
    if given is None or given == []:
        problems.append("types should not be empty")
    elif not isinstance(given, list) or not all(each in CATEGORIES for each in given):
        problems.append(f"types should be a list of {', '.join(CATEGORIES)}")
    else:
        return tuple(dict.fromkeys(given))
    return ()


def _bounds(given: Any, problems: list[str]) -> dict[str, int]:
    found = {name: default for name, (_, _, default) in _BUFFERING.items()}
    if given is None:
        return found
    if not isinstance(given, dict):
        problems.append("buffering should be an object")
        return found
    for name, (least, most, _) in _BUFFERING.items():
        value = given.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            problems.append(f"buffering.{name} should be a number from {least} to {most}")
        else:
            found[name] = value
    return found


def _address(given: dict[str, Any], reserved: Collection[int], problems: list[str]) -> tuple[bool, int, str]:
    """Whether it is TCP, the port, and the path of a URI."""
    protocol = given.get("protocol")
    if protocol == "TCP":
        return True, _port(given.get("port"), "port", reserved, problems), "/"
    if protocol != "HTTP":
        problems.append("destination.protocol should be HTTP or TCP")
        return False, 0, "/"
    uri = given.get("URI")
    if not isinstance(uri, str) or not uri:
        problems.append("URI is not provided")
        return False, 0, "/"
    found = _URI.fullmatch(uri)
    if found is None:
        problems.append(f"URI should be http://{SANDBOX}:PORT/PATH")
        return False, 0, "/"
    host, port, path = found.groups()
    if host.lower() not in _HOSTS:
        problems.append(f"URI host should be {SANDBOX}: nothing is sent to others")
    return False, _port(int(port) if port else None, "URI port", reserved, problems), path or "/"


def _port(given: Any, what: str, reserved: Collection[int], problems: list[str]) -> int:
    if given is None:
        problems.append(f"{what} is not provided")
    elif isinstance(given, bool) or not isinstance(given, int) or not 0 < given <= _PORT_MAX:
        problems.append(f"{what} should be a number from 1 to {_PORT_MAX}")
    elif given in reserved:
        problems.append(f"{what} {given} is reserved")
    else:
        return given
    return 0


def _method(api: TelemetryApi, given: dict[str, Any], problems: list[str]) -> str:
    """The Telemetry API has one alone, and so have its encodings."""
    if api is not TelemetryApi.LOGS:
        return "POST"
    method = given.get("method") or "POST"
    if method not in ("POST", "PUT"):
        problems.append("destination.method should be POST or PUT")
    if (given.get("encoding") or "JSON") != "JSON":
        problems.append("destination.encoding should be JSON")
    return str(method)
