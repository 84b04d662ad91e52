"""How our own components say who they are when they call the Invoke API, and how a frontend reads it."""

import hmac
from enum import StrEnum
from typing import Final

from kubelambda.core.environment import tokens

CALLER: Final = "x-kubelambda-caller"
"""The header: a role, and the token of that role."""


class CallerRole(StrEnum):
    """What one of our components is to a frontend."""

    FRONTEND = "frontend"
    """Another frontend: it has checked its caller, and passes the request on."""
    EVENTS = "events"
    """The event queue: the request is an attempt at an event that a frontend had checked."""
    POLLERS = "pollers"
    """A poller: the mapping that it serves names a function of its own account, which needs nobody's permission."""


def caller_proof(key: bytes, role: CallerRole) -> str:
    """The value of `CALLER`."""
    return f"{role} {tokens.caller_token(key, role)}"


class ComponentCallers:
    """Reads the header, with the installation's key."""

    def __init__(self, key: bytes) -> None:
        self._proofs = {role.encode(): (role, caller_proof(key, role).encode()) for role in CallerRole}

    def role(self, given: bytes | None) -> CallerRole | None:
        """The role that the value of the header proves; None where it proves nothing, or is not there."""
        if given is None:
            return None
        role, proof = self._proofs.get(given.partition(b" ")[0], (None, b""))
        return role if role is not None and hmac.compare_digest(given, proof) else None
