"""Leases, step by step: what an owner grants and calls back, and what a holder may do with them."""

from kubelambda.core.account import token_bucket
from kubelambda.core.account.ledger import Account
from kubelambda.core.placement.actions import Dispatch, Start, Throttle
from kubelambda.core.placement.function_share import ThrottleReason, function_share
from kubelambda.core.placement.granted_leases import (
    LEASE_S,
    MARGIN_S,
    PAUSE_S,
    REQUESTS_MAX,
    GrantedLease,
    GrantedLeases,
    LeaseState,
)
from kubelambda.core.placement.held_leases import IDLE_S, HeldLease, HeldLeases, LeasedFunction
from kubelambda.core.placement.lease_use import LeaseUse
from kubelambda.core.placement.placed_environment import Status
from kubelambda.core.placement.placement import VersionPlacement

FUNCTION = LeasedFunction("ns", "f", "uid", "$LATEST", "r1")


def busy(reserved: int | None = None) -> VersionPlacement:
    """A function with one environment, that runs an invocation."""
    found = VersionPlacement(function_share(Account(1000), "f", reserved, 0.0), "r1")
    (start,) = found.arrive("a", 0.0)
    assert isinstance(start, Start)
    found.begun(start.environment)
    found.ready(start.environment, 0.0)
    return found


def lent(reserved: int | None = None) -> tuple[GrantedLeases, VersionPlacement, GrantedLease]:
    """Its environment is leased."""
    book, found = GrantedLeases("x"), busy(reserved)
    lease = book.grant(found, 1, "b", 0.0)
    assert lease is not None
    return book, found, lease


def held(name: str = "1", *, until: float = 2.0, requests: int = 4) -> HeldLease:
    """A lease as it comes to its holder."""
    return HeldLease(name, "a", "term", FUNCTION, f"pod-{name}", f"uid-{name}", until, requests, 0.0, connected=True)


def test_only_who_keeps_forwarding_is_of_interest() -> None:
    """One request is no habit."""
    book, found = GrantedLeases("x"), busy()
    assert not book.forwarded(found, "b", 0.0)
    assert not book.forwarded(found, "c", 0.1)
    assert book.forwarded(found, "b", 0.2)
    assert not book.forwarded(found, "b", 9.0)


def test_a_lent_environment_is_busy_and_its_unit_in_flight() -> None:
    """The limits know nothing of leases."""
    book, found, lease = lent(reserved=2)
    assert found.environments[1].status is Status.BUSY
    assert (found.share.in_flight, found.in_flight) == (1, 1)
    assert found.arrive("b", 0.0) == [Start(2)]
    assert found.arrive("c", 0.0) == [Throttle("c", ThrottleReason.RESERVED)]
    ended = book.end(lease.id, LeaseUse(3), 1.0)
    assert ended is lease
    assert found.finished(1, 1.0)[0] == Dispatch("b", 1)
    assert book.end(lease.id, LeaseUse(3), 1.0) is None, "it came back twice"


def test_what_is_waited_for_or_outdated_is_not_lent() -> None:
    """Nor what has just been in the way."""
    book, found = GrantedLeases("x"), busy()
    found.arrive("b", 0.0)
    assert book.grant(found, 1, "b", 0.0) is None
    found = busy()
    found.configure("r2", 0.0)
    assert book.grant(found, 1, "b", 0.0) is None
    found = busy()
    book.pause(found.share.account, 0.0)
    assert book.grant(found, 1, "b", PAUSE_S / 2) is None
    assert book.grant(found, 1, "b", PAUSE_S + 0.1) is not None


def test_a_lease_counts_against_the_request_rate_in_advance() -> None:
    """What it does not use comes back; what it used does not."""
    book, found, lease = lent()
    bucket = found.share.account.requests
    assert (lease.requests, bucket.lent) == (REQUESTS_MAX, REQUESTS_MAX)
    before = bucket.tokens
    book.end(lease.id, LeaseUse(10), 0.0)
    assert (bucket.tokens, bucket.lent) == (before + REQUESTS_MAX - 10, 0)


def test_a_bucket_is_never_more_than_full_with_what_is_lent() -> None:
    """Else a burst could be larger than the rate allows."""
    bucket = token_bucket.full(10.0, 10.0, 0.0)
    assert bucket.lend(64, 4, 0.0) == 5
    bucket.take(100.0)
    assert bucket.tokens == 4
    bucket.settle(5, 0)
    assert bucket.tokens == 9
    assert bucket.lend(64, 5, 100.0) == 0, "half of it is less than is worth lending"


def test_a_lease_that_was_called_back_in_use_is_not_asked_for_again() -> None:
    """It comes back by itself, and its requests are settled."""
    book, found, lease = lent(reserved=1)
    assert book.in_the_way(found, ThrottleReason.RESERVED) == [lease]
    assert book.ask([lease]) == {"b": [lease.id]}
    assert book.ask([lease]) == {}
    book.kept({lease.id: LeaseUse(2)}, 0.5, recalled=True)
    assert book.in_the_way(found, ThrottleReason.RESERVED) == []
    assert found.share.request_bucket.lent == 0
    assert book.end(lease.id, LeaseUse(2), 1.0) is lease


def test_another_functions_lease_is_in_the_way_of_the_account_alone() -> None:
    """Units of a reservation are nobody else's."""
    account = Account(1000)
    mine, other = (VersionPlacement(function_share(account, name, None, 0.0), "r1") for name in ("f", "g"))
    other.arrive("a", 0.0)
    other.ready(1, 0.0)
    book = GrantedLeases("x")
    lease = book.grant(other, 1, "b", 0.0)
    assert book.in_the_way(mine, ThrottleReason.ACCOUNT) == [lease]
    assert book.in_the_way(mine, ThrottleReason.RESERVED) == []
    assert book.in_the_way(mine) == []


def test_a_lease_that_does_not_come_back_is_settled_by_its_environment() -> None:
    """Its time and the margin have to be over; what comes back after that frees nothing."""
    book, _, lease = lent()
    assert book.lapsed(LEASE_S + MARGIN_S) == []
    assert book.lapsed(LEASE_S + MARGIN_S + 0.1) == [lease]
    assert book.lapsed(9.0) == []
    assert lease.state is LeaseState.LAPSED
    assert book.end(lease.id, LeaseUse(1), 9.0) is None
    book.forget(lease, 9.0)
    assert not book.leases


def test_a_holder_keeps_to_the_time_and_the_number_of_a_lease() -> None:
    """One invocation at a time, too."""
    found = HeldLeases()
    lease = held(requests=2)
    assert found.add(lease, 0.0)
    assert found.take(FUNCTION, "a", 0.1) is lease
    assert found.take(FUNCTION, "a", 0.1) is None
    assert found.done(lease, 0.2)
    assert found.take(FUNCTION, "another", 0.2) is None
    assert found.take(FUNCTION._replace(revision="r2"), "a", 0.2) is None
    assert found.take(FUNCTION, "a", 0.2) is lease
    assert found.done(lease, 0.3)
    assert found.take(FUNCTION, "a", 0.3) is None, "it is used up"
    assert found.used_up("a", FUNCTION, 0.3) == [lease]


def test_a_lease_ends_with_the_invocation_that_outlives_it() -> None:
    """It goes back before the caller is answered; so does one that was called back meanwhile."""
    found = HeldLeases()
    first, second = held("1"), held("2")
    for lease in (first, second):
        found.add(lease, 0.0)
        found.take(FUNCTION, "a", 0.0)
    recalled = found.recall(["2"], None, 0.5)
    assert (recalled.returned, recalled.kept, recalled.recalled) == ([], [second], True)
    assert not found.done(second, 0.6)
    assert not found.done(first, 2.0)
    assert not found.leases


def test_as_many_are_given_back_as_are_wanted() -> None:
    """The ones that were idle for longest; the others stay, and are not called back."""
    found = HeldLeases()
    for name in "123":
        found.add(held(name), 0.0)
    taken = found.take(FUNCTION, "a", 0.1)
    assert taken is not None
    found.done(taken, 0.1)
    recalled = found.recall(["1", "2", "3"], 1, 0.2)
    assert [lease.id for lease in recalled.returned] == ["1"]
    assert not recalled.recalled
    assert found.done(found.take(FUNCTION, "a", 0.2) or taken, 0.3)


def test_a_lease_that_is_called_back_before_it_comes_is_not_taken() -> None:
    """Messages may overtake each other."""
    found = HeldLeases()
    assert found.recall(["1"], None, 0.0).missing == ["1"]
    assert not found.add(held("1"), 0.1)
    assert not found.add(held("2", until=0.1), 0.1), "it is over before it comes"


def test_what_is_not_needed_goes_back() -> None:
    """Unused for a while, or of an owner that is none any more."""
    found = HeldLeases()
    found.add(held("1"), 0.0)
    assert found.over(IDLE_S / 2, lambda _: "a") == []
    assert [lease.id for lease in found.over(IDLE_S + 0.1, lambda _: "a")] == ["1"]
    found.add(held("2"), 0.0)
    assert [lease.id for lease in found.over(0.0, lambda _: None)] == ["2"]
    assert not found.leases


def provisioned(units: int = 1) -> VersionPlacement:
    """A version whose alias has provisioned environments, the first of which runs an invocation."""
    found = VersionPlacement(function_share(Account(1000), "f", None, 0.0), "r1")
    found.share.provision({"live": units}, 0.0)
    for _ in range(units):
        found.adopt("r1", 0.0, busy=False, provisioned="live")
    assert found.arrive("a", 0.0, "live") == [Dispatch("a", units)]
    return found


def test_a_provisioned_environment_is_lent_for_its_qualifier_alone() -> None:
    """Its requests are of the rate that the qualifier has."""
    book, found = GrantedLeases("x"), provisioned()
    assert book.grant(found, 1, "b", 0.0) is None
    lease = book.grant(found, 1, "b", 0.0, "live")
    assert lease is not None
    assert lease.qualifier == "live"
    assert found.share.provisioned["live"].requests.lent == lease.requests > 0
    assert found.share.request_bucket.lent == 0
    assert book.in_the_way(found, ThrottleReason.RATE) == [lease]
    assert book.end(lease.id, LeaseUse(1, 5), 1.0) is lease
    assert found.share.provisioned["live"].requests.lent == 0


def test_beyond_its_own_rate_a_qualifiers_lease_takes_requests_of_those_on_demand() -> None:
    """As its invocations do."""
    book, found = GrantedLeases("x"), provisioned()
    while found.share.provisioned["live"].requests.take(0.0):
        pass
    lease = book.grant(found, 1, "b", 0.0, "live")
    assert lease is not None
    assert found.share.request_bucket.lent == lease.requests


def test_what_runs_on_demand_for_a_qualifier_is_not_lent() -> None:
    """The next invocation may get what is provisioned."""
    book, found = GrantedLeases("x"), provisioned()
    assert found.arrive("b", 0.0, "live") == [Start(2)]
    found.begun(2)
    assert found.ready(2, 0.0) == [Dispatch("b", 2)]
    assert book.grant(found, 2, "c", 0.0, "live") is None


def test_one_that_is_to_be_let_go_of_is_not_lent() -> None:
    """Its Deployment shrinks."""
    book, found = GrantedLeases("x"), provisioned()
    found.keep("live", 0, 0.0)
    assert book.grant(found, 1, "b", 0.0, "live") is None


def test_nothing_spills_over_while_a_lease_may_be_idle() -> None:
    """A request that would run on demand for want of the unit has it called back first."""
    book, found = GrantedLeases("x"), provisioned()
    lease = book.grant(found, 1, "b", 0.0, "live")
    assert lease is not None
    assert book.before_spilling(found, "live") == [lease]
    assert book.before_spilling(found, "") == []
    other = VersionPlacement(found.share, "r2")
    assert book.before_spilling(other, "live") == [lease], "while an alias moves"
    book.end(lease.id, LeaseUse(), 0.1)
    found.finished(1, 0.1)
    assert book.before_spilling(found, "live") == []


def test_a_provisioned_environment_is_not_called_back_for_who_may_not_have_it() -> None:
    """A start on demand goes on without it."""
    book, found = GrantedLeases("x"), provisioned()
    lease = book.grant(found, 1, "b", 0.0, "live")
    found.arrive("b", 0.1)
    assert book.in_the_way(found) == []
    found.arrive("c", 0.1, "live")
    assert book.in_the_way(found) == [lease]


def test_utilization_counts_what_a_lease_executed_not_how_long_it_was_held() -> None:
    """Over the looks of a minute; and none shows more than there is."""
    book, found = GrantedLeases("x"), provisioned()
    share = found.share.provisioned["live"]
    looks = []
    for second in range(60):
        lease = book.grant(found, 1, "b", float(second), "live")
        assert lease is not None
        book.end(lease.id, LeaseUse(4, 250), second + 1.0)
        looks.append(share.executing(second + 1.0))
    assert abs(sum(looks) / 60 - 0.25) < 0.001
    assert max(looks) <= 1.0
    assert looks[-1] == 0.25


def test_a_lease_that_lapses_counts_as_used() -> None:
    """Nobody knows what ran; more environments are the safer mistake."""
    book, found = GrantedLeases("x"), provisioned()
    book.grant(found, 1, "b", 0.0, "live")
    share = found.share.provisioned["live"]
    assert share.executing(1.0) == 1.0
    assert len(book.lapsed(LEASE_S + MARGIN_S + 1.0)) == 1
    assert share.executing(LEASE_S + MARGIN_S + 1.0) == 1.0
    assert share.executing(9.0) == 1.0, "the environment is still busy"
