"""Which version an alias gives each invocation (§1.5.2)."""

import itertools
import random

import pytest

from kubelambda.core.invoke.routing import AliasRoute, is_alias


def test_an_alias_without_weights_leads_to_its_version() -> None:
    """Whatever chance says."""
    assert {AliasRoute("3").choose(chance / 100) for chance in range(100)} == {"3"}


@pytest.mark.parametrize(("weight", "expected"), [(0.0, 0), (0.25, 250), (1.0, 1000)])
def test_the_other_version_takes_its_weight(weight: float, expected: int) -> None:
    """All of it at 1, nothing at 0."""
    route = AliasRoute("3", {"4": weight})
    chosen = [route.choose(chance / 1000) for chance in range(1000)]
    assert chosen.count("4") == expected
    assert chosen.count("3") == 1000 - expected


def test_every_invocation_is_decided_by_itself() -> None:
    """A quarter within 3 %, and what one got says nothing of the next."""
    dice = random.Random(7)
    route = AliasRoute("3", {"4": 0.25})
    chosen = [route.choose(dice.random()) == "4" for _ in range(40_000)]
    assert sum(chosen) / len(chosen) == pytest.approx(0.25, abs=0.0075)
    after = [later for earlier, later in itertools.pairwise(chosen) if earlier]
    assert sum(after) / len(after) == pytest.approx(0.25, abs=0.015)


def test_only_versions_that_can_be_chosen_are_prepared_for() -> None:
    """A weight of nothing needs no environment."""
    assert AliasRoute("3", {"4": 0.1}).versions() == ["3", "4"]
    assert AliasRoute("3", {"4": 0.0}).versions() == ["3"]


@pytest.mark.parametrize(
    ("qualifier", "alias"), [("live", True), ("7", False), ("7a", True), ("$LATEST", False), ("$latest", False)]
)
def test_a_number_is_no_alias(qualifier: str, alias: bool) -> None:
    """And neither is whatever has a dollar sign (§1.2.2)."""
    assert is_alias(qualifier) is alias
