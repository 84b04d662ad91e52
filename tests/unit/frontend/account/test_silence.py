"""Environments that may be gone: how long they are asked, and what is left of the doubt."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from tests.eventually import eventually

from kubelambda.core.account.ledger import Account
from kubelambda.core.placement.function_share import function_share
from kubelambda.core.placement.placement import VersionPlacement
from kubelambda.frontend.account import silence
from kubelambda.frontend.account.silence import Silence
from kubelambda.frontend.dispatch.environment_handle import EnvironmentHandle


@dataclass
class Functions:
    """A dispatcher of one environment, as far as it is asked here."""

    placement: VersionPlacement
    environments: dict[int, EnvironmentHandle]
    target: Any = field(default_factory=lambda: type("Target", (), {"namespace": "ns"}))
    ended: bool = False

    def doubt(self, number: int) -> None:
        """As a dispatcher."""
        self.placement.doubt(number)

    def trusted(self, number: int) -> None:
        """As a dispatcher."""
        self.placement.trust(number, 0.0)

    def silent(self, number: int) -> None:
        """As a dispatcher."""
        self.placement.lost(number, 0.0)
        del self.environments[number]
        self.ended = True


def functions(*, busy: bool) -> Functions:
    """With an environment that was adopted: what it runs is not ours."""
    placement = VersionPlacement(function_share(Account(10), "f", None, 0.0), "1")
    number, _ = placement.adopt("1", 0.0, busy=busy)
    handle = EnvironmentHandle(number, "pod", "uid", "token", 3.0, cast("Any", None))
    return Functions(placement, {number: handle})


@pytest.mark.parametrize(("busy", "looks"), [(False, 2), (True, 4)])
async def test_what_runs_something_is_given_up_later(monkeypatch: pytest.MonkeyPatch, busy: bool, looks: int) -> None:
    """Whoever it runs it for: who holds a lease of it, and a former owner too."""
    asked = 0

    async def answers(*_: object) -> bool:
        nonlocal asked
        asked += 1
        return False

    monkeypatch.setattr(Silence, "_answers", answers)
    monkeypatch.setattr(silence, "_PAUSE_S", 0.0)
    found = functions(busy=busy)
    Silence(cast("Any", None), b"key", lambda: [cast("Any", found)]).suspect_pod("uid")
    await eventually(lambda: found.ended)
    assert asked == looks


async def test_a_look_that_fails_leaves_no_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the environment would be given nothing for ever, and not be let go of either."""

    async def fails(*_: object) -> bool:
        raise ValueError("an address that is none")

    monkeypatch.setattr(Silence, "_answers", fails)
    found = functions(busy=False)
    Silence(cast("Any", None), b"key", lambda: [cast("Any", found)]).suspect_pod("uid")
    assert not found.placement.idle
    await eventually(lambda: found.placement.idle)
