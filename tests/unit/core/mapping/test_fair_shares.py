"""How mappings of queues share the slots of a poller: between accounts first, then within them."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelambda.core.mapping.fair_shares import ShareLimits, fair_shares, mapping_shares
from kubelambda.pollers.share_ledger import ShareLedger

LIMITS = ShareLimits(account=100, all_accounts=150)


@pytest.mark.parametrize(
    ("wanted", "most", "shares"),
    [
        ({"a": 5, "b": 1250}, 1250, {"a": 5, "b": 1245}),
        ({"a": 1250, "b": 1250, "c": 2}, 1250, {"a": 624, "b": 624, "c": 2}),
        ({"a": 3, "b": 3, "c": 3}, 2, {"a": 1, "b": 1, "c": 1}),
        ({}, 10, {}),
    ],
)
def test_who_wants_little_gets_it(wanted: Mapping[str, int], most: int, shares: Mapping[str, int]) -> None:
    """And those who want more the same; nobody gets nothing."""
    assert fair_shares(wanted, most) == shares


@given(st.dictionaries(st.text(min_size=1, max_size=3), st.integers(1, 500), max_size=20), st.integers(0, 2_000))
def test_nobody_has_less_than_who_has_more_for_no_reason(wanted: dict[str, int], most: int) -> None:
    """Each has what it wants, or as much as any other but one; together no more than there is."""
    shares = fair_shares(wanted, most)
    assert all(1 <= shares[each] <= wanted[each] for each in wanted)
    assert sum(shares.values()) <= max(most, len(wanted))
    short = [shares[each] for each in wanted if shares[each] < wanted[each]]
    assert not short or max(shares.values()) - min(short) <= 1
    assert not short or sum(shares.values()) >= most


def test_an_account_with_many_mappings_leaves_others_theirs() -> None:
    """Two hundred mappings want a thousand slots together, the other account's one wants forty."""
    greedy = {f"m{number}": 5 for number in range(200)}
    shares = mapping_shares({"greedy": greedy, "modest": {"m": 40}}, LIMITS)
    assert shares["modest"] == {"m": 40}
    assert set(shares["greedy"].values()) == {1}
    two = mapping_shares({"one": {"a": 100, "b": 100}, "two": {"c": 100}}, LIMITS)
    assert two == {"one": {"a": 37, "b": 38}, "two": {"c": 75}}


def test_a_ledger_gives_what_there_is() -> None:
    """All that is wanted, until somebody else wants some; and again once they are gone."""
    ledger = ShareLedger(LIMITS)
    assert ledger.granted("one", "a", 100) == 100
    assert ledger.granted("one", "b", 20) == 20
    assert ledger.granted("one", "a", 100) == 80
    assert ledger.granted("two", "c", 90) == 75
    assert ledger.granted("one", "a", 100) == 55
    ledger.ended("two", "c")
    ledger.ended("one", "b")
    assert ledger.granted("one", "a", 100) == 100
