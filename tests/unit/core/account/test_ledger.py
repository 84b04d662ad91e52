"""What an account may use: units and requests, and how both follow its quota (§5.2, §5.10)."""

from kubelambda.core.account.ledger import Account
from kubelambda.core.placement.actions import Dispatch, Start, Throttle
from kubelambda.core.placement.function_share import ThrottleReason, function_share
from kubelambda.core.placement.placement import VersionPlacement


def function(account: Account, name: str, reserved: int | None = None) -> tuple[VersionPlacement, int]:
    """A function with one idle environment."""
    found = VersionPlacement(function_share(account, name, reserved, 0.0), "r")
    (start,) = found.arrive("warm", 0.0)
    assert isinstance(start, Start)
    found.begun(start.environment)
    found.ready(start.environment, 0.0)
    found.finished(start.environment, 0.0)
    return found, start.environment


def served(found: VersionPlacement, number: int, requests: int, now: float) -> int:
    """How many of so many short requests at `now` are not throttled."""
    count = 0
    for index in range(requests):
        (action,) = found.arrive(index, now)
        if isinstance(action, Dispatch):
            found.finished(number, now)
            count += 1
        else:
            assert action == Throttle(index, ThrottleReason.RATE)
    return count


def test_functions_without_a_reservation_share_one_request_rate() -> None:
    """Ten requests a second for every unit of the account's quota, however many functions it has."""
    account = Account(10)
    first, second = function(account, "first"), function(account, "second")
    assert served(*first, 90, 0.0) == 90
    assert served(*second, 90, 0.0) == 8
    assert served(*first, 10, 0.0) == 0
    assert served(*second, 300, 1.0) == 100


def test_a_reservation_has_a_request_rate_of_its_own() -> None:
    """It takes none from the others, and they take none from it."""
    account = Account(10)
    reserved, shared = function(account, "reserved", 2), function(account, "shared")
    assert served(*shared, 200, 0.0) == 99
    found, number = reserved
    actions = []
    for index in range(30):
        actions += found.arrive(index, 0.0)
        found.finished(number, 0.0)
    assert sum(isinstance(action, Dispatch) for action in actions) == 19
    assert actions[-1] == Throttle(29, ThrottleReason.RESERVED_RATE)


def test_the_request_rate_follows_a_changed_quota() -> None:
    """What it grew by is there at once; a smaller one takes away what exceeds it."""
    account = Account(10)
    found = function(account, "f")
    assert served(*found, 200, 0.0) == 99
    account.change_quota(30)
    assert served(*found, 500, 0.0) == 200
    assert served(*found, 500, 1.0) == 300
    account.change_quota(5)
    assert served(*found, 500, 2.0) == 50
