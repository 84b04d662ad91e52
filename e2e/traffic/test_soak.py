"""The short form of `make soak`: every kind of fault at least once under mixed traffic, and nothing lost."""

import pytest

from installation.account import Account
from installation.release import rolled_out
from traffic.soak import FAULTS, Soak, run

MINUTES = 1 / 3


@pytest.mark.exclusive
@pytest.mark.timeout(900)
def test_no_request_is_lost_while_everything_is_replaced_once(account: Account) -> None:
    """Frontends, operator, code store and environments, and functions that change; the figures are printed."""
    soak = Soak(account, pause=(0.5, 1.5))
    assert run(soak, MINUTES), soak.report()
    assert set(soak.faults) >= set(FAULTS), soak.faults
    for kind, component in (("deployment", "frontend"), ("deployment", "operator"), ("statefulset", "code-store")):
        rolled_out(kind, component)
