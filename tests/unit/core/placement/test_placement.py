"""Placement of one version, step by step (DESIGN §5)."""

import pytest

from kubelambda.core.account.ledger import Account
from kubelambda.core.placement.actions import Cancel, Dispatch, Fail, Release, Retire, Start, Throttle
from kubelambda.core.placement.function_share import ThrottleReason, function_share
from kubelambda.core.placement.placed_environment import Status
from kubelambda.core.placement.placement import VersionPlacement

REVISION = "r1"


def placement(reserved: int | None = None, quota: int = 1000) -> VersionPlacement:
    """A function without environments."""
    return VersionPlacement(function_share(Account(quota), "f", reserved, 0.0), REVISION)


def warm(found: VersionPlacement, count: int = 1) -> list[int]:
    """Environments that are idle."""
    numbers = []
    for index in range(count):
        (start,) = found.arrive(f"warm-{index}", 0.0)
        assert isinstance(start, Start)
        found.begun(start.environment)
        numbers.append(start.environment)
    for number in numbers:
        found.ready(number, 0.0)
    for number in numbers:
        found.finished(number, 0.0)
    return numbers


def test_a_request_with_no_environment_starts_one_and_runs_when_it_is_ready() -> None:
    """Rule 2."""
    found = placement()
    assert found.arrive("a", 0.0) == [Start(1)]
    assert found.begun(1)
    assert found.ready(1, 1.0) == [Dispatch("a", 1)]


def test_a_waiting_request_takes_whichever_environment_is_free_first() -> None:
    """The busy one finishes before the start has begun: the start is cancelled."""
    found = placement()
    (number,) = warm(found)
    assert found.arrive("a", 0.0) == [Dispatch("a", number)]
    assert found.arrive("b", 0.0) == [Start(2)]
    assert found.finished(number, 0.1) == [Dispatch("b", number), Cancel(2)]
    assert not found.begun(2)


def test_a_start_that_has_begun_becomes_an_idle_environment() -> None:
    """Nothing that was paid for is thrown away."""
    found = placement()
    (number,) = warm(found)
    found.arrive("a", 0.0)
    found.arrive("b", 0.0)
    assert found.begun(2)
    assert found.finished(number, 0.1) == [Dispatch("b", number)]
    assert found.ready(2, 0.2) == []
    assert found.environments[2].status is Status.IDLE


def test_the_most_recently_used_environment_is_used_again() -> None:
    """So that surplus ones grow old and are retired."""
    found = placement()
    first, second = warm(found, 2)
    assert found.arrive("a", 0.0) == [Dispatch("a", second)]
    assert found.finished(second, 0.0) == []
    assert found.tick(700.0, idle_timeout=600, start_timeout=60) == [Retire(first, "idle"), Retire(second, "idle")]


@pytest.mark.parametrize(
    ("reserved", "quota", "reason"),
    [(1, 1000, ThrottleReason.RESERVED), (None, 1, ThrottleReason.ACCOUNT), (0, 1000, ThrottleReason.RESERVED)],
)
def test_what_exceeds_the_limit_is_throttled_at_once(reserved: int | None, quota: int, reason: ThrottleReason) -> None:
    """With Lambda's reason (§2.3.2)."""
    found = placement(reserved, quota)
    if reserved != 0:
        assert found.arrive("a", 0.0) == [Start(1)]
    assert found.arrive("b", 0.0) == [Throttle("b", reason)]


def test_reserved_concurrency_is_taken_out_of_the_unreserved_pool() -> None:
    """A function without a reservation gets what the others leave."""
    account = Account(3)
    account.reserve("other", 2)
    found = VersionPlacement(function_share(account, "f", None, 0.0), REVISION)
    assert found.arrive("a", 0.0) == [Start(1)]
    assert found.arrive("b", 0.0) == [Throttle("b", ThrottleReason.ACCOUNT)]


def test_at_most_a_thousand_environments_are_added_in_ten_seconds() -> None:
    """The scaling rate, with continuous refill (§5.9)."""
    found = placement(quota=5000)
    started = sum(isinstance(found.arrive(index, 0.0)[0], Start) for index in range(1500))
    assert started == 1000
    later = sum(isinstance(found.arrive(index, 1.0)[0], Start) for index in range(500))
    assert later == 100


def test_a_start_that_is_cancelled_does_not_count_against_the_scaling_rate() -> None:
    """A burst on one quick environment asks for many starts and needs none of them."""
    found = placement()
    (number,) = warm(found)
    for index in range(3000):
        now = index * 0.0005
        assert found.arrive(f"a{index}", now) == [Dispatch(f"a{index}", number)]
        (start,) = found.arrive(f"b{index}", now)
        assert isinstance(start, Start)
        assert found.finished(number, now) == [Dispatch(f"b{index}", number), Cancel(start.environment)]
        assert found.finished(number, now) == []


def test_requests_are_limited_to_ten_a_second_for_each_unit() -> None:
    """Even when concurrency is free (§5.10)."""
    found = placement(reserved=1)
    (number,) = warm(found)
    outcomes = []
    for index in range(20):
        (action,) = found.arrive(index, 0.0)
        outcomes.append(action)
        if isinstance(action, Dispatch):
            found.finished(number, 0.0)
    assert sum(isinstance(action, Dispatch) for action in outcomes) == 9
    assert Throttle(19, ThrottleReason.RESERVED_RATE) in outcomes


def test_an_initialization_error_goes_to_one_waiting_request() -> None:
    """The other keeps waiting for the other start."""
    found = placement()
    found.arrive("a", 0.0)
    found.arrive("b", 0.0)
    found.begun(1)
    found.begun(2)
    assert found.start_failed(1, 0.1, {"errorType": "X"}) == [Fail("a", {"errorType": "X"})]
    assert found.ready(2, 0.2) == [Dispatch("b", 2)]


def test_a_start_that_came_to_nothing_is_repeated() -> None:
    """Transparently, while somebody waits."""
    found = placement()
    found.arrive("a", 0.0)
    found.begun(1)
    assert found.start_failed(1, 0.1) == [Start(2)]


def test_a_refused_request_goes_first_to_another_environment() -> None:
    """Rule 4, and the order of arrival."""
    found = placement()
    first, second = warm(found, 2)
    found.arrive("a", 1.0)
    assert found.rejected(second, "a", 1.0, 1.1) == [Dispatch("a", first)]
    assert found.rejected(first, "a", 1.0, 1.2) == [Start(3)]
    assert found.in_flight == 1


def test_an_update_retires_old_environments_after_their_invocation() -> None:
    """Idle ones at once, busy ones when they are free."""
    found = placement()
    first, second = warm(found, 2)
    found.arrive("a", 0.0)
    assert found.configure("r2", 1.0) == [Retire(first, "the function was updated")]
    assert found.finished(second, 2.0) == [Retire(second, "the function was updated")]
    assert found.arrive("b", 3.0) == [Start(3)]


def test_waiting_for_too_long_is_a_throttle_and_never_a_hang() -> None:
    """The cluster cannot start an environment."""
    found = placement()
    found.arrive("a", 0.0)
    assert found.tick(61.0, idle_timeout=600, start_timeout=60) == [Throttle("a", ThrottleReason.ACCOUNT), Cancel(1)]
    assert found.in_flight == 0


def test_a_misplaced_environment_serves_until_its_replacement_is_ready() -> None:
    """Make before break; and the replacement has a pod of its own."""
    found = placement()
    (number,) = warm(found)
    assert found.misplace(number, 0.0) == [Start(2, own_pod=True)]
    assert found.misplace(number, 0.1) == []
    assert found.begun(2)
    assert found.arrive("a", 0.2) == [Dispatch("a", number)]
    assert found.ready(2, 0.3) == []
    assert found.finished(number, 0.4) == [Retire(number, "its node could not give it its size")]
    assert found.arrive("b", 0.5) == [Dispatch("b", 2)]


def test_a_replacement_that_finds_no_place_is_tried_again_later() -> None:
    """A full cluster keeps what it has."""
    found = placement()
    (number,) = warm(found)
    found.misplace(number, 0.0)
    assert found.start_failed(2, 60.0) == []
    assert found.arrive("a", 61.0) == [Dispatch("a", number)]
    assert found.tick(300.0, idle_timeout=1e9, start_timeout=60) == []
    assert found.tick(361.0, idle_timeout=1e9, start_timeout=60) == [Start(3, own_pod=True)]


def test_a_replacement_is_not_what_a_request_waits_for() -> None:
    """It may take as long as the cluster needs to grow."""
    found = placement()
    (number,) = warm(found)
    found.arrive("a", 0.0)
    found.misplace(number, 0.0)
    assert found.arrive("b", 0.1) == [Start(3)]


def test_an_invocation_takes_the_environment_that_is_provisioned_for_its_qualifier() -> None:
    """Through the alias: no environment starts. Past it: the environment is not for everybody (§5.8)."""
    found = placement()
    found.share.provision({"live": 1}, 0.0)
    number, _ = found.adopt(REVISION, 0.0, busy=False, provisioned="live")
    assert found.arrive("a", 0.0, "live") == [Dispatch("a", number)]
    assert found.finished(number, 0.1) == []
    assert found.arrive("b", 0.2, "7") == [Start(2)]
    assert found.share.account.unreserved_in_flight == 1


def test_what_exceeds_the_provisioned_concurrency_spills_over() -> None:
    """It runs on demand, or on the provisioned environment when that is free first."""
    found = placement()
    found.share.provision({"live": 1}, 0.0)
    number, _ = found.adopt(REVISION, 0.0, busy=False, provisioned="live")
    found.arrive("a", 0.0, "live")
    assert found.arrive("b", 0.0, "live") == [Start(2)]
    assert found.arrive("c", 0.0) == [Start(3)]
    assert found.finished(number, 0.1) == [Dispatch("b", number), Cancel(3)]
    assert found.finished(number, 0.2) == []
    assert found.share.provisioned["live"].in_flight == 0
    found.begun(2)
    assert found.ready(2, 0.3) == [Dispatch("c", 2)]


def test_what_was_promised_is_there_before_its_environments_are() -> None:
    """With everything provisioned nothing is left on demand, and the first caller is served all the same."""
    found = placement(reserved=1)
    found.share.provision({"live": 1}, 0.0)
    assert found.arrive("a", 0.0) == [Throttle("a", ThrottleReason.RESERVED)]
    assert found.arrive("b", 0.0, "live") == [Start(1)]
    assert found.arrive("c", 0.0, "live") == [Throttle("c", ThrottleReason.RESERVED)]


def test_versions_share_their_functions_reservation() -> None:
    """It is a ceiling over all of them (§5.2)."""
    share = function_share(Account(1000), "f", 2, 0.0)
    first, second = VersionPlacement(share, "1"), VersionPlacement(share, "2")
    assert first.arrive("a", 0.0) == [Start(1)]
    assert second.arrive("b", 0.0) == [Start(1)]
    assert first.arrive("c", 0.0) == [Throttle("c", ThrottleReason.RESERVED)]
    second.begun(1)
    second.ready(1, 0.1)
    second.finished(1, 0.2)
    assert first.arrive("d", 0.2) == [Start(2)]


def test_provisioned_concurrency_is_taken_out_of_the_unreserved_pool() -> None:
    """Of a function without a reservation; that of another is a part of its reservation."""
    account = Account(10)
    function_share(account, "reserved", 4, 0.0).provision({"live": 3}, 0.0)
    share = function_share(account, "f", None, 0.0)
    assert account.unreserved_limit == 6
    share.provision({"live": 2, "7": 1}, 0.0)
    assert (account.unreserved_limit, account.claimed) == (3, 7)
    share.reserve(5, 0.0)
    assert account.unreserved_limit == 1
    share.reserve(None, 0.0)
    share.provision({}, 0.0)
    assert (account.unreserved_limit, share.provisioned) == (6, {})


def test_requests_beyond_the_provisioned_rate_are_taken_from_that_of_the_function() -> None:
    """Ten a second for each provisioned unit (§5.10), and no environment starts beside an idle one."""
    found = placement(reserved=2)
    found.share.provision({"live": 1}, 0.0)
    number, _ = found.adopt(REVISION, 0.0, busy=False, provisioned="live")
    outcomes = []
    for index in range(40):
        outcomes += found.arrive(index, 0.0, "live")
        found.finished(number, 0.0)
    assert outcomes[:30] == [Dispatch(index, number) for index in range(30)]
    assert outcomes[30:] == [Throttle(index, ThrottleReason.RESERVED_RATE) for index in range(30, 40)]


def test_provisioned_environments_do_not_grow_old_idle_and_are_recycled_one_by_one() -> None:
    """The next one goes only once the last one's successor is there (§5.11)."""
    found = placement()
    found.share.provision({"live": 2}, 0.0)
    first, _ = found.adopt(REVISION, 0.0, busy=False, provisioned="live")
    second, _ = found.adopt(REVISION, 1.0, busy=False, provisioned="live")
    assert found.tick(5_000.0, idle_timeout=600, start_timeout=60, max_age=6_000) == []
    retired = Retire(first, "it reached its greatest age")
    assert found.tick(7_000.0, idle_timeout=600, start_timeout=60, max_age=6_000) == [retired]
    assert found.tick(7_001.0, idle_timeout=600, start_timeout=60, max_age=6_000) == []
    found.adopt(REVISION, 7_002.0, busy=False, provisioned="live")
    retired = Retire(second, "it reached its greatest age")
    assert found.tick(7_003.0, idle_timeout=600, start_timeout=60, max_age=6_000) == [retired]


def test_executing_is_an_average_since_the_last_look() -> None:
    """A moment says little of invocations that are shorter than the time between two looks."""
    found = placement()
    found.share.provision({"live": 2}, 0.0)
    number, _ = found.adopt(REVISION, 0.0, busy=False, provisioned="live")
    found.arrive("a", 2.0, "live")
    found.finished(number, 3.0)
    share = found.share.provisioned["live"]
    assert share.executing(4.0) == pytest.approx(0.25)
    assert share.executing(8.0) == 0.0


def provisioned(found: VersionPlacement, count: int) -> list[int]:
    """Idle environments of the alias `live`, the one that was used longest ago first."""
    found.share.provision({"live": count}, 0.0)
    return [found.adopt(REVISION, float(index), busy=False, provisioned="live")[0] for index in range(count)]


def test_of_too_many_provisioned_environments_the_idle_ones_are_let_go_of_first() -> None:
    """One that runs something is let go of once it has finished, and nobody gets it any more."""
    found = placement()
    first, second, third = provisioned(found, 3)
    assert found.arrive("a", 5.0, "live") == [Dispatch("a", third)]
    assert found.arrive("b", 5.0, "live") == [Dispatch("b", second)]
    assert found.keep("live", 1, 5.0) == [Release(first)]
    assert found.available("live") == 2
    assert isinstance(found.arrive("c", 5.0, "live")[0], Start)
    assert found.finished(third, 6.0) == [Release(third)]
    assert found.finished(second, 7.0)[0] == Dispatch("c", second)
    assert found.retire(first, "the pod ends") == [Retire(first, "the pod ends")]
    assert found.keep("live", 1, 8.0) == []


def test_provisioned_environments_that_were_let_go_of_serve_again_when_more_are_wanted() -> None:
    """As long as they are there; whoever waits gets one at once."""
    found = placement()
    first, second = provisioned(found, 2)
    assert found.keep("live", 0, 5.0) == [Release(first), Release(second)]
    (start,) = found.arrive("a", 5.0, "live")
    assert found.keep("live", 1, 6.0) == [Release(first, again=True), Dispatch("a", first), Cancel(start.environment)]  # type: ignore[union-attr]
    assert found.keep("live", None, 7.0) == [Release(second, again=True)]
    assert found.arrive("b", 8.0, "live") == [Dispatch("b", second)]


def test_an_environment_that_may_be_gone_gets_nothing_until_it_is_known_to_be_there() -> None:
    """A request would wait for the function's whole timeout; it starts another, and takes whichever is first."""
    found = placement()
    (number,) = warm(found)
    found.doubt(number)
    found.doubt(number)
    assert found.arrive("a", 1.0) == [Start(2)]
    assert found.trust(number, 1.1) == [Dispatch("a", number), Cancel(2)]
    assert found.trust(number, 1.2) == []


def test_an_environment_that_was_doubted_and_is_gone_is_forgotten() -> None:
    """Who waits has a start of its own."""
    found = placement()
    (number,) = warm(found)
    found.doubt(number)
    assert found.arrive("a", 1.0) == [Start(2)]
    assert found.lost(number, 1.1) == []
    found.begun(2)
    assert found.ready(2, 1.2) == [Dispatch("a", 2)]


def test_an_environment_that_runs_something_is_not_doubted() -> None:
    """Its answer shows that it is there."""
    found = placement()
    (number,) = warm(found)
    found.arrive("a", 1.0)
    found.doubt(number)
    assert found.finished(number, 1.1) == []
    assert found.arrive("b", 1.2) == [Dispatch("b", number)]
