"""What counts as drift between ledger and agents (rule 5)."""

import pytest

from kubelambda.core.account.ledger import Account
from kubelambda.core.placement.actions import Start
from kubelambda.core.placement.function_share import function_share
from kubelambda.core.placement.ledger_drift import Look, drifted, ledger_drift
from kubelambda.core.placement.placement import VersionPlacement


@pytest.mark.parametrize(
    ("first", "second", "drift"),
    [
        (Look("a", None, "a"), Look("a", None, "a"), True),
        (Look(None, "a", None), Look(None, "a", None), True),
        (Look("a", "b", "a"), Look("a", "b", "a"), True),
        (Look("a", "a", "a"), Look("a", "a", "a"), False),
        (Look(None, None, None), Look(None, None, None), False),
        (Look("a", None, None), Look("a", None, None), False),
        (Look("a", None, "a"), Look("b", None, "b"), False),
        (Look("a", None, "a"), Look(None, None, None), False),
        (Look(None, "a", None), Look(None, "b", None), False),
    ],
)
def test_drift_is_the_same_disagreement_twice(first: Look, second: Look, drift: bool) -> None:
    """A request on its way, or an answer, is none."""
    assert drifted({1: first}, {1: second}) == ([1] if drift else [])


def test_an_environment_that_was_looked_at_once_has_not_drifted() -> None:
    """There is nothing to compare with."""
    assert drifted({}, {1: Look("a", None, "a")}) == []


def test_a_ledger_agrees_with_its_functions() -> None:
    """Through reservations, waiting requests and ends; and a unit that is lost or taken twice shows."""
    account = Account(100)
    shared = VersionPlacement(function_share(account, "shared", None, 0.0), "r")
    share = function_share(account, "reserved", 10, 0.0)
    share.provision({"live": 2}, 0.0)
    versions = [shared, VersionPlacement(share, "r"), VersionPlacement(share, "s")]
    for version in versions:
        (start,) = version.arrive("a", 0.0, "live")
        assert isinstance(start, Start)
        version.arrive("b", 0.0, "live")
        assert ledger_drift(account, versions) == 0
        version.begun(start.environment)
        version.ready(start.environment, 0.0)
        assert ledger_drift(account, versions) == 0
        version.finished(start.environment, 0.0)
    assert ledger_drift(account, versions) == 0
    account.acquire()
    assert ledger_drift(account, versions) == 1
    versions[1].in_flight -= 1
    assert ledger_drift(account, versions) == 2
    share.on_demand_in_flight -= 1
    assert ledger_drift(account, versions) == 3
    share.provisioned["live"].in_flight += 1
    assert ledger_drift(account, versions) == 4
