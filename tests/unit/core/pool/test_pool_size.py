"""Pools follow the rate of claims."""

from hypothesis import given
from hypothesis import strategies as st

from kubelambda.core.pool.pool_size import HOLD_S, REFILL_S, PoolDemand, PoolRange

RANGE = PoolRange(2, 10)


def test_without_claims_a_pool_has_its_minimum() -> None:
    """Zero is one."""
    assert PoolDemand().wanted(RANGE, 0.0) == 2
    assert PoolDemand().wanted(PoolRange(0, 5), 0.0) == 0


def test_a_pool_grows_by_what_is_claimed_while_it_is_refilled() -> None:
    """At once, up to its maximum."""
    demand = PoolDemand()
    for _ in range(3):
        demand.claimed(1.0)
    assert demand.wanted(RANGE, 1.0) == 5
    demand.claimed(2.0, 100)
    assert demand.wanted(RANGE, 2.0) == 10


def test_a_steady_rate_needs_no_more_than_one_periods_claims() -> None:
    """One claim every two seconds for an hour."""
    demand = PoolDemand()
    for second in range(0, 3600, 2):
        demand.claimed(float(second))
    assert demand.wanted(RANGE, 3600.0) == 2 + REFILL_S / 2


def test_a_pool_shrinks_when_its_claims_are_long_ago() -> None:
    """Not while a next burst is likely."""
    demand = PoolDemand()
    demand.claimed(0.0, 4)
    assert demand.wanted(RANGE, HOLD_S) == 6
    assert demand.wanted(RANGE, HOLD_S + 1) == 2


def test_a_fixed_size_stays() -> None:
    """Minimum and maximum in one."""
    demand = PoolDemand()
    demand.claimed(0.0, 50)
    assert demand.wanted(PoolRange(3, 3), 0.0) == 3


@given(
    st.lists(st.tuples(st.floats(0, 100), st.integers(-5, 50)), max_size=200),
    st.integers(0, 20),
    st.integers(0, 20),
)
def test_a_size_never_leaves_its_range(claims: list[tuple[float, int]], least: int, more: int) -> None:
    """Whatever is claimed."""
    demand, now = PoolDemand(), 0.0
    for pause, environments in claims:
        now += pause
        demand.claimed(now, environments)
        assert least <= demand.wanted(PoolRange(least, least + more), now) <= least + more
