"""What frontends say to each other about leases of environments (`docs/decisions/0028`): headers and small messages."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any, Final

HOLDER: Final = b"x-kubelambda-holder"
"""Of a forwarded request: the address of the frontend that forwards it, and would take a lease."""
RETURNED: Final = b"x-kubelambda-returned"
"""Of a forwarded request: leases that come back with it, as `id=used`, divided by commas."""
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
    """Its agent refused an invocation."""
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

    def header(self) -> bytes:
        """The header line of the answer."""
        return LEASE + b": " + json.dumps(asdict(self), separators=(",", ":")).encode() + b"\r\n"


def parse_terms(value: bytes) -> LeaseTerms:
    """A lease out of the header. Raises `UnusableLease`."""
    try:
        found = json.loads(value)
        known = {name: found[name] for name in LeaseTerms.__dataclass_fields__}
        seconds, requests = float(known.pop("seconds")), int(known.pop("requests"))
        return LeaseTerms(**{name: str(each) for name, each in known.items()}, seconds=seconds, requests=requests)
    except (ValueError, TypeError, KeyError) as error:
        raise UnusableLease(str(error)) from error


def returned(leases: Mapping[str, int]) -> bytes:
    """The header line of a request that leases come back with; nothing for none."""
    if not leases:
        return b""
    return RETURNED + b": " + ",".join(f"{name}={used}" for name, used in leases.items()).encode() + b"\r\n"


def parse_returned(value: bytes) -> Iterable[tuple[str, int]]:
    """Ids and uses out of the header; what cannot be read is passed over: such a lease lapses."""
    for part in value.decode(errors="replace").split(","):
        name, _, used = part.partition("=")
        if used.isdecimal() and len(used) < 10:
            yield name, int(used)


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

    returned: Mapping[str, int]
    kept: Mapping[str, int]
    recalled: bool

    def encode(self) -> bytes:
        """The message as it is sent."""
        return json.dumps(
            {"returned": dict(self.returned), "kept": dict(self.kept), "recalled": self.recalled}
        ).encode()


def parse_recall_answer(data: bytes) -> RecallAnswer:
    """The message out of what was sent. Raises `UnusableLease`."""
    found = _parsed(data)
    try:
        return RecallAnswer(_uses(found["returned"]), _uses(found["kept"]), bool(found["recalled"]))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UnusableLease(str(error)) from error


@dataclass(frozen=True, slots=True)
class GivenBack:
    """A lease that comes back by itself."""

    id: str
    used: int
    outcome: Outcome = Outcome.FREE


def encode_given_back(leases: Iterable[GivenBack]) -> bytes:
    """The message as it is sent."""
    return json.dumps([{"id": one.id, "used": one.used, "outcome": one.outcome.value} for one in leases]).encode()


def parse_given_back(data: bytes) -> list[GivenBack]:
    """The message out of what was sent. Raises `UnusableLease`."""
    try:
        return [GivenBack(str(each["id"]), int(each["used"]), Outcome(each["outcome"])) for each in json.loads(data)]
    except (ValueError, TypeError, KeyError) as error:
        raise UnusableLease(str(error)) from error


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError as error:
        raise UnusableLease(str(error)) from error
    if not isinstance(found, dict):
        raise UnusableLease("the message is no object")
    return found


def _uses(found: dict[str, Any]) -> dict[str, int]:
    return {str(name): int(used) for name, used in found.items()}
