"""Placement, driven by tables and by thousands of random histories (DESIGN §5)."""

from collections import deque
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kubelambda.core.account.ledger import Account
from kubelambda.core.placement.ledger_drift import ledger_drift
from kubelambda.core.placement.placement import (
    Action,
    Cancel,
    Dispatch,
    Fail,
    FunctionPlacement,
    Retire,
    Start,
    Status,
    Throttle,
    ThrottleReason,
    place,
)

REVISION = "r1"


def placement(reserved: int | None = None, quota: int = 1000) -> FunctionPlacement:
    """A function without environments."""
    return place(Account(quota), "f", REVISION, reserved, 0.0)


def warm(found: FunctionPlacement, count: int = 1) -> list[int]:
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
    account = Account(3, {"other": 2})
    found = place(account, "f", REVISION, None, 0.0)
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
    assert found.configure("r2", None, 1.0) == [Retire(first, "the function was updated")]
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


class Histories(RuleBasedStateMachine):
    """Random histories; what must never break is checked after every step."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.account = Account(8)
        self.found = place(self.account, "f", REVISION, None, 0.0)
        self.requests = 0
        self.running: dict[int, Any] = {}
        self.open: set[Any] = set()
        self.done: set[Any] = set()
        self.order: deque[Any] = deque()
        self.starts: dict[int, bool] = {}
        self.revision = 1

    def carry_out(self, actions: list[Action]) -> None:
        """Applies actions to the model of the world."""
        for action in actions:
            match action:
                case Dispatch(request=request, environment=number):
                    assert number not in self.running, "two invocations in one environment"
                    assert request in self.open
                    self.running[number] = request
                    if request in self.order:
                        assert self.order[0] == request, "not in order of arrival"
                        self.order.popleft()
                case Throttle(request=request) | Fail(request=request):
                    assert request in self.open, "a second outcome"
                    self.open.remove(request)
                    self.done.add(request)
                    if request in self.order:
                        self.order.remove(request)
                case Start(environment=number):
                    assert number not in self.starts
                    self.starts[number] = False
                case Cancel(environment=number):
                    assert not self.starts.pop(number), "a start that has begun cannot be cancelled"
                case Retire(environment=number):
                    assert number not in self.running, "a busy environment was retired"
                    self.starts.pop(number, None)

    @rule(gap=st.floats(0, 0.2))
    def arrive(self, gap: float) -> None:
        """A request."""
        self.now += gap
        self.requests += 1
        request = f"q{self.requests}"
        self.open.add(request)
        actions = self.found.arrive(request, self.now)
        if not any(isinstance(action, Dispatch | Throttle) for action in actions):
            self.order.append(request)
        self.carry_out(actions)

    @precondition(lambda self: self.starts)
    @rule(data=st.data())
    def progress(self, data: st.DataObject) -> None:
        """A start begins, becomes ready, fails, or turns out broken."""
        number = data.draw(st.sampled_from(sorted(self.starts)))
        if not self.starts[number]:
            assert self.found.begun(number)
            self.starts[number] = True
            return
        del self.starts[number]
        outcome = data.draw(st.sampled_from(["ready", "ready", "lost", "broken"]))
        if outcome == "ready":
            self.carry_out(self.found.ready(number, self.now))
        else:
            self.carry_out(self.found.start_failed(number, self.now, {"e": 1} if outcome == "broken" else None))

    @precondition(lambda self: self.running)
    @rule(data=st.data(), outcome=st.sampled_from(["finished", "finished", "lost", "rejected"]))
    def end(self, data: st.DataObject, outcome: str) -> None:
        """An invocation ends, its environment dies, or it was refused."""
        number = data.draw(st.sampled_from(sorted(self.running)))
        request = self.running.pop(number)
        if outcome == "rejected":
            self.order.appendleft(request)
            self.carry_out(self.found.rejected(number, request, self.now, self.now))
            return
        self.open.remove(request)
        self.done.add(request)
        finish = self.found.finished if outcome == "finished" else self.found.lost
        self.carry_out(finish(number, self.now))

    @precondition(lambda self: self.found.environments)
    @rule(data=st.data())
    def misplace(self, data: st.DataObject) -> None:
        """The node of an environment is too small for it."""
        known = [number for number in self.found.environments if number not in self.starts]
        if known:
            self.carry_out(self.found.misplace(data.draw(st.sampled_from(sorted(known))), self.now))

    @rule(reserved=st.sampled_from([None, None, 0, 1, 3]), update=st.booleans())
    def configure(self, reserved: int | None, update: bool) -> None:
        """A new reservation or a new revision."""
        self.revision += update
        self.carry_out(self.found.configure(f"r{self.revision}", reserved, self.now))

    @rule(gap=st.sampled_from([0.0, 1.0, 5.0]))
    def tick(self, gap: float) -> None:
        """Time passes."""
        self.now += gap
        self.carry_out(self.found.tick(self.now, idle_timeout=4.0, start_timeout=8.0))

    @invariant()
    def the_ledger_is_exact(self) -> None:
        """Units in flight are the requests without an outcome, and the shared pool is never overdrawn."""
        assert self.found.in_flight == len(self.open)
        assert ledger_drift(self.account, [self.found]) == 0
        assert 0 <= self.account.unreserved_in_flight <= self.account.quota
        if not self.open:
            assert self.account.unreserved_in_flight == 0

    @invariant()
    def nobody_waits_beside_an_idle_environment(self) -> None:
        """Rule 2."""
        assert not (self.found.waiting and self.found.idle)

    @invariant()
    def every_waiting_request_has_a_start(self) -> None:
        """And no start leaks."""
        assert len(self.found.coming) >= len(self.found.waiting)
        assert set(self.found.coming) <= set(self.starts)

    def teardown(self) -> None:
        """When everything ends, nothing is left in the ledger."""
        for number in list(self.running):
            request = self.running.pop(number)
            self.open.discard(request)
            self.carry_out(self.found.finished(number, self.now))
        for _ in range(1000):
            if not self.open:
                break
            self.carry_out(self.found.tick(self.now + 1000, idle_timeout=4.0, start_timeout=8.0))
            for number in list(self.running):
                self.open.discard(self.running.pop(number))
                self.carry_out(self.found.finished(number, self.now))
        assert self.found.in_flight == 0
        assert self.account.unreserved_in_flight == 0


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=300, stateful_step_count=60, deadline=None)
