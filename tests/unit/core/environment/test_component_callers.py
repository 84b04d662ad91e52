"""Who says that it is one of our components is believed only with the installation's key."""

import pytest

from kubelambda.core.environment.component_callers import CallerRole, ComponentCallers, caller_proof

KEY = b"k" * 32


@pytest.mark.parametrize("role", list(CallerRole))
def test_what_a_role_proves_itself_with_is_read_as_that_role(role: CallerRole) -> None:
    """By whoever has the same key, and by nobody else."""
    proof = caller_proof(KEY, role).encode()
    assert ComponentCallers(KEY).role(proof) is role
    assert ComponentCallers(b"x" * 32).role(proof) is None


@pytest.mark.parametrize("given", [None, b"", b"frontend", b"frontend ", b"operator 00", b"\xff \xff"])
def test_what_proves_nothing_is_nobody(given: bytes | None) -> None:
    """A header that anybody may send."""
    assert ComponentCallers(KEY).role(given) is None


def test_the_proof_of_one_role_is_none_of_another() -> None:
    """An attempt of the event queue does not pass for a frontend, whose events nobody looks at again."""
    token = caller_proof(KEY, CallerRole.EVENTS).partition(" ")[2]
    assert ComponentCallers(KEY).role(f"{CallerRole.FRONTEND} {token}".encode()) is None
