"""Which provisioned concurrency is granted (§5.3, §5.4)."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from kubelambda.core.account.provisioned_grant import (
    ABOVE_RESERVATION,
    ALIAS_ON_PROVISIONED_VERSION,
    VERSION_OF_PROVISIONED_ALIAS,
    ProvisionRequest,
    grant_provisioned,
)
from kubelambda.core.account.reserved_concurrency import Grant


def asks(uid: str, requested: int, previous: int = 0, function: str = "f", **more: object) -> ProvisionRequest:
    """A request; the uid is also its age."""
    return ProvisionRequest(uid, function, uid, requested, previous, **more)  # type: ignore[arg-type]


def test_all_or_what_it_had() -> None:
    """Within the reservation of the function, shared by its aliases and versions."""
    requests = [asks("1", 3), asks("2", 3), asks("3", 1)]
    grants = grant_provisioned(requests, reserved={"f": 5}, quota=1000, minimum=100)
    assert grants == {"1": Grant(3), "2": Grant(0, ABOVE_RESERVATION), "3": Grant(1)}


def test_what_was_granted_stays_and_can_be_lowered() -> None:
    """Also when the reservation or the quota has shrunk since."""
    grants = grant_provisioned([asks("1", 4, 5), asks("2", 9, 6)], reserved={"f": 1}, quota=10, minimum=5)
    assert grants == {"1": Grant(4), "2": Grant(6, ABOVE_RESERVATION)}


def test_without_a_reservation_the_account_keeps_its_minimum() -> None:
    """The text says what is free, or what must stay."""
    requests = [asks("1", 200, function="a"), asks("2", 650, function="b"), asks("3", 900, function="c")]
    grants = grant_provisioned(requests, reserved={"r": 50}, quota=1000, minimum=100)
    assert grants["1"] == Grant(200)
    assert grants["2"] == Grant(650)
    assert grants["3"].refusal == (
        "Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [100]."
    )
    grants = grant_provisioned([*requests[:2], asks("3", 1, function="c")], reserved={"r": 50}, quota=1000, minimum=100)
    assert grants["3"].refusal == (
        "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its "
        "minimum value of [100]."
    )


def test_a_version_is_provisioned_for_itself_or_for_aliases() -> None:
    """Whoever has some keeps it; two aliases may share a version."""
    one = frozenset([1])
    version, alias = asks("1", 2, 2, versions=one), asks("0", 2, versions=one, alias=True)
    grants = grant_provisioned([version, alias], reserved={}, quota=1000, minimum=100)
    assert grants == {"1": Grant(2), "0": Grant(0, ALIAS_ON_PROVISIONED_VERSION)}
    version, alias = asks("1", 2, versions=one), asks("2", 2, 2, versions=one, alias=True)
    grants = grant_provisioned([version, alias], reserved={}, quota=1000, minimum=100)
    assert grants == {"1": Grant(0, VERSION_OF_PROVISIONED_ALIAS), "2": Grant(2)}
    aliases = [asks("1", 2, versions=one, alias=True), asks("2", 2, versions=one, alias=True)]
    grants = grant_provisioned(aliases, reserved={}, quota=1000, minimum=100)
    assert grants == {"1": Grant(2), "2": Grant(2)}


REQUESTS = st.lists(
    st.builds(
        ProvisionRequest,
        uid=st.uuids().map(str),
        function=st.sampled_from(["a", "b", "c"]),
        created=st.sampled_from(["1", "2", "3"]),
        requested=st.integers(0, 40),
        previous=st.just(0),
        versions=st.frozensets(st.integers(1, 3), max_size=2),
        alias=st.booleans(),
    ),
    max_size=8,
)


@given(REQUESTS, st.dictionaries(st.sampled_from(["a", "b"]), st.integers(0, 50)), st.integers(50, 150))
def test_no_history_grants_more_than_there_is(
    requests: list[ProvisionRequest], reserved: dict[str, int], quota: int
) -> None:
    """From nothing granted, the sums hold, and the order of the requests decides nothing."""
    minimum = 20
    grants = grant_provisioned(requests, reserved=reserved, quota=quota, minimum=minimum)
    total = {name: sum(grants[r.uid].granted or 0 for r in requests if r.function == name) for name in ("a", "b", "c")}
    assert all(total[name] <= most for name, most in reserved.items())
    unreserved = sum(count for name, count in total.items() if name not in reserved)
    assert unreserved == 0 or unreserved <= quota - sum(reserved.values()) - minimum
    for some in itertools.islice(itertools.permutations(requests), 6):
        assert grant_provisioned(some, reserved=reserved, quota=quota, minimum=minimum) == grants


@given(REQUESTS, st.integers(50, 150))
def test_asking_again_changes_nothing(requests: list[ProvisionRequest], quota: int) -> None:
    """What was granted is granted again: deciding twice is deciding once."""
    first = grant_provisioned(requests, reserved={}, quota=quota, minimum=20)
    again = [
        ProvisionRequest(r.uid, r.function, r.created, r.requested, first[r.uid].granted or 0, r.versions, r.alias)
        for r in requests
    ]
    second = grant_provisioned(again, reserved={}, quota=quota, minimum=20)
    assert all((second[r.uid].granted or 0) >= (first[r.uid].granted or 0) for r in requests)
