"""Times of frontends that are longer than anything that a test or its machine may need."""

import pytest

from kubelambda.core.placement import granted_leases, held_leases
from kubelambda.frontend.account import adoption, peers
from kubelambda.frontend.cold_start import agent_state
from kubelambda.frontend.dispatch import lease_grants, leased_environments

_LONG_S = 120.0
_LEASE_S = 20.0


def long_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease ends because it is not used or wanted back, and not because the machine stood still."""
    monkeypatch.setattr(granted_leases, "LEASE_S", _LEASE_S)
    monkeypatch.setattr(lease_grants, "LEASE_S", _LEASE_S)
    monkeypatch.setattr(lease_grants, "RECALL_S", _LONG_S)
    monkeypatch.setattr(leased_environments, "_GIVE_BACK_S", _LONG_S)
    monkeypatch.setattr(leased_environments, "_CONNECT_S", _LONG_S)
    monkeypatch.setattr(peers, "_CONNECT_S", _LONG_S)


def early_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever forwards a second time gets one, however long it took to that."""
    monkeypatch.setattr(granted_leases, "KEEPS_FORWARDING_S", _LONG_S)


def idle_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease that is not used stays where it is until its end."""
    monkeypatch.setattr(held_leases, "IDLE_S", _LONG_S)


def long_adoption(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls wait until environments have said what they are, however long these take for that."""
    monkeypatch.setattr(adoption, "_HOLD_S", _LONG_S)
    monkeypatch.setattr(agent_state, "ANSWER_S", _LONG_S)
