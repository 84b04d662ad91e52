"""Reservations of an account (§5.2)."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelambda.core.account.reserved_concurrency import Grant, ReservationRequest, account_quota, allocate

REFUSAL = (
    "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its "
    "minimum value of [100]."
)


def asks(
    name: str, requested: int | None, previous: int | None = None, created: str = "2026-01-01"
) -> ReservationRequest:
    """A request."""
    return ReservationRequest(name, created, requested, previous)


@pytest.mark.parametrize(
    ("requests", "grants"),
    [
        ([asks("a", None)], {"a": Grant(None)}),
        ([asks("a", 0)], {"a": Grant(0)}),
        ([asks("a", 900)], {"a": Grant(900)}),
        ([asks("a", 901)], {"a": Grant(None, REFUSAL)}),
        ([asks("a", 950, 900)], {"a": Grant(900, REFUSAL)}),
        ([asks("a", 5, 950)], {"a": Grant(5)}),
        ([asks("a", None, 950)], {"a": Grant(None)}),
        ([asks("a", 950, 950)], {"a": Grant(950)}),
        ([asks("a", 500, created="2"), asks("b", 500, created="1")], {"a": Grant(None, REFUSAL), "b": Grant(500)}),
        ([asks("a", 500, 500, created="2"), asks("b", 500, created="1")], {"a": Grant(500), "b": Grant(None, REFUSAL)}),
        ([asks("b", 500), asks("a", 500)], {"a": Grant(500), "b": Grant(None, REFUSAL)}),
        ([asks("a", 100, 800), asks("b", 800)], {"a": Grant(100), "b": Grant(800)}),
        ([asks("a", 900, 900), asks("b", 0)], {"a": Grant(900), "b": Grant(0)}),
    ],
)
def test_grants(requests: list[ReservationRequest], grants: dict[str, Grant]) -> None:
    """Limits, what stays, who is first, and what lowering gives back at once."""
    for order in permutations(requests):
        assert allocate(order, quota=1000, minimum=100) == grants


def test_a_smaller_quota_takes_nothing_away() -> None:
    """What was granted stays; nothing more is granted."""
    found = allocate([asks("a", 900, 900), asks("b", 1)], quota=100, minimum=100)
    assert (found["a"], found["b"].granted) == (Grant(900), None)


amounts = st.none() | st.integers(0, 1000)


@given(st.lists(st.tuples(amounts, amounts), max_size=8))
def test_new_grants_never_exceed_the_account(pairs: list[tuple[int | None, int | None]]) -> None:
    """Whatever is asked for, the sum grows only within the account; asking again changes nothing."""
    requests = [asks(str(index), requested, previous) for index, (requested, previous) in enumerate(pairs)]
    grants = allocate(requests, quota=1000, minimum=100)
    before = sum(request.previous or 0 for request in requests)
    after = sum(grant.granted or 0 for grant in grants.values())
    assert after <= max(before, 900)
    again = [asks(request.name, request.requested, grants[request.name].granted) for request in requests]
    settled = allocate(again, quota=1000, minimum=100)
    assert sum(grant.granted or 0 for grant in settled.values()) <= max(after, 900)


@pytest.mark.parametrize(
    ("annotation", "quota"),
    [(None, 1000), ("50", 50), (" 50 ", 50), ("0", 0), ("-1", 1000), ("many", 1000), ("", 1000), ("9" * 5000, 1000)],
)
def test_the_quota_of_an_account(annotation: str | None, quota: int) -> None:
    """A namespace's annotation where that is a number."""
    assert account_quota(annotation, 1000) == quota
