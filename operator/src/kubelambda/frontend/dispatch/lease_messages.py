"""What frontends say to each other about leases of environments (`docs/decisions/0028`): headers and small messages."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any, Final

from kubelambda.core.placement.lease_use import LeaseUse

HOLDER: Final = b"x-kubelambda-holder"
"""Of a forwarded request: the address of the frontend that forwards it, and would take a lease."""
RETURNED: Final = b"x-kubelambda-returned"
"""Of a forwarded request: leases that come back with it, divided by commas: `id=used`, and `/ms` that they ran for."""
LEASE: Final = b"x-kubelambda-lease"
"""Of the answer: a lease of the environment that gave it."""
RECALL_PATH: Final = b"/internal/leases/recall"
RETURN_PATH: Final = b"/internal/leases/return"


class UnusableLease(Exception):
    """A message about leases that cannot be understood."""


class Outcome(Enum):
    """What became of the environment of a lease."""

    FREE = "free"
    RETIRING = "retiring"
    """Its agent takes nothing more."""
    REFUSED = "refused"
    """Its agent refused an invocation: it may be a new owner's already."""
    ENDED = "ended"
    """It ended in the middle of an invocation."""
    LOST = "lost"
    """It ended in the middle of an invocation, and its node may have."""


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """A lease as its holder is told of it."""

    id: str
    term: str
    function_uid: str
    version: str
    revision: str
    pod: str
    pod_uid: str
    seconds: float
    """How long it holds, counted from when its holder sent the request that it comes with the answer to."""
    requests: int
    qualifier: str = ""
    """The only one that it may be used for; empty for those without provisioned concurrency."""

    def header(self) -> bytes:
        """The header line of the answer."""
        return LEASE + b": " + json.dumps(asdict(self), separators=(",", ":")).encode() + b"\r\n"


def parse_terms(value: bytes) -> LeaseTerms:
    """A lease out of the header. Raises `UnusableLease`."""
    try:
        found = json.loads(value)
        # A frontend of an earlier release knows of no qualifier.
        known = {name: found[name] for name in LeaseTerms.__dataclass_fields__ if name != "qualifier"}
        known["qualifier"] = found.get("qualifier", "")
        seconds, requests = float(known.pop("seconds")), int(known.pop("requests"))
        return LeaseTerms(**{name: str(each) for name, each in known.items()}, seconds=seconds, requests=requests)
    except (ValueError, TypeError, KeyError) as error:
        raise UnusableLease(str(error)) from error


def returned(leases: Mapping[str, LeaseUse]) -> bytes:
    """The header line of a request that leases come back with; nothing for none."""
    if not leases:
        return b""
    words = [f"{name}={use.invocations}" + (f"/{use.busy_ms}" if use.busy_ms else "") for name, use in leases.items()]
    return RETURNED + b": " + ",".join(words).encode() + b"\r\n"


def parse_returned(value: bytes) -> Iterable[tuple[str, LeaseUse]]:
    """Ids and uses out of the header; what cannot be read is passed over: such a lease lapses."""
    for part in value.decode(errors="replace").split(","):
        name, _, use = part.partition("=")
        used, _, busy = use.partition("/")
        if _is_count(used) and (not busy or _is_count(busy)):
            yield name, LeaseUse(int(used), int(busy or 0))


def _is_count(text: str) -> bool:
    return text.isdecimal() and len(text) < 10


@dataclass(frozen=True, slots=True)
class Recall:
    """The owner wants leases back: `wanted` of them that are idle, or all; if these are too few, the others as well."""

    ids: tuple[str, ...]
    wanted: int | None

    def encode(self) -> bytes:
        """The message as it is sent."""
        return json.dumps({"ids": self.ids, "wanted": self.wanted}).encode()


def parse_recall(data: bytes) -> Recall:
    """The message out of what was sent. Raises `UnusableLease`."""
    found = _parsed(data)
    try:
        wanted = found["wanted"]
        return Recall(tuple(str(each) for each in found["ids"]), None if wanted is None else int(wanted))
    except (ValueError, TypeError, KeyError) as error:
        raise UnusableLease(str(error)) from error


@dataclass(frozen=True, slots=True)
class RecallAnswer:
    """Uses of the leases that come back with the answer, and of those that do not; whether these come back soon."""

    returned: Mapping[str, LeaseUse]
    kept: Mapping[str, LeaseUse]
    recalled: bool

    def encode(self) -> bytes:
        """The message as it is sent."""
        returned, kept = ({name: use.invocations for name, use in uses.items()} for uses in (self.returned, self.kept))
        busy = {name: use.busy_ms for name, use in self.returned.items() if use.busy_ms}
        return json.dumps({"returned": returned, "kept": kept, "busy_ms": busy, "recalled": self.recalled}).encode()


def parse_recall_answer(data: bytes) -> RecallAnswer:
    """The message out of what was sent. Raises `UnusableLease`."""
    found = _parsed(data)
    try:
        busy = found.get("busy_ms", {})
        return RecallAnswer(_uses(found["returned"], busy), _uses(found["kept"], {}), bool(found["recalled"]))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UnusableLease(str(error)) from error


@dataclass(frozen=True, slots=True)
class GivenBack:
    """A lease that comes back by itself."""

    id: str
    use: LeaseUse
    outcome: Outcome = Outcome.FREE


def encode_given_back(leases: Iterable[GivenBack]) -> bytes:
    """The message as it is sent."""
    found = [
        {"id": one.id, "used": one.use.invocations, "busy_ms": one.use.busy_ms, "outcome": one.outcome.value}
        for one in leases
    ]
    return json.dumps(found).encode()


def parse_given_back(data: bytes) -> list[GivenBack]:
    """The message out of what was sent. Raises `UnusableLease`."""
    try:
        return [
            GivenBack(
                str(each["id"]), LeaseUse(int(each["used"]), int(each.get("busy_ms", 0))), Outcome(each["outcome"])
            )
            for each in json.loads(data)
        ]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UnusableLease(str(error)) from error


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError as error:
        raise UnusableLease(str(error)) from error
    if not isinstance(found, dict):
        raise UnusableLease("the message is no object")
    return found


def _uses(used: dict[str, Any], busy_ms: dict[str, Any]) -> dict[str, LeaseUse]:
    return {str(name): LeaseUse(int(count), int(busy_ms.get(name, 0))) for name, count in used.items()}
