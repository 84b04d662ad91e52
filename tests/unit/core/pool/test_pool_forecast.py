"""What a pool needed at an hour of the last days is expected at that hour again."""

from hypothesis import given
from hypothesis import strategies as st

from kubelambda.core.pool.pool_forecast import DAYS, LEAD_S, DemandPattern, parse_pattern
from kubelambda.core.pool.pool_size import REFILL_S, PoolDemand, PoolRange

HOUR, DAY = 3600.0, 86_400.0
MIDNIGHT = 20_000 * DAY


def mornings(*claims: int) -> DemandPattern:
    """So many claims in the busiest period between eight and nine of each day, the last one yesterday."""
    pattern = DemandPattern()
    for ago, count in zip(range(len(claims), 0, -1), claims, strict=True):
        pattern.observe(MIDNIGHT - ago * DAY + 8.5 * HOUR, count)
    return pattern


def test_what_comes_every_morning_is_expected_shortly_before() -> None:
    """And neither an hour later nor in the night."""
    pattern = mornings(6, 5, 6)
    assert pattern.expected(MIDNIGHT + 8 * HOUR) == 6
    assert pattern.expected(MIDNIGHT + 8 * HOUR - LEAD_S) == 6
    assert pattern.expected(MIDNIGHT + 8 * HOUR - LEAD_S - 1) == 0
    assert pattern.expected(MIDNIGHT + 9 * HOUR) == 0


def test_what_came_once_is_not_waited_for() -> None:
    """A burst of one day, of many."""
    assert mornings(0, 0, 40, 0).expected(MIDNIGHT + 8 * HOUR) == 0
    assert mornings(5, 0, 40, 5).expected(MIDNIGHT + 8 * HOUR) == 5


def test_one_day_is_no_pattern_and_old_days_are_forgotten() -> None:
    """A pool that is new follows its claims alone."""
    assert mornings(6).expected(MIDNIGHT + 8 * HOUR) == 0
    pattern = mornings(9, 9)
    pattern.observe(MIDNIGHT + DAYS * DAY, 0)
    assert pattern.expected(MIDNIGHT + DAYS * DAY + 8 * HOUR) == 0


def test_today_counts_tomorrow() -> None:
    """The claims of the present hour have their own effect at once."""
    pattern = mornings(2, 2)
    pattern.observe(MIDNIGHT + 8 * HOUR, 50)
    assert pattern.expected(MIDNIGHT + 8 * HOUR + 60) == 2


def test_a_pool_has_what_is_expected_within_its_range() -> None:
    """Beside its claims, not on top of them."""
    demand = PoolDemand()
    assert demand.wanted(PoolRange(2, 10), 0.0, expected=5) == 7
    assert demand.wanted(PoolRange(2, 10), 0.0, expected=50) == 10
    demand.claimed(1.0, 6)
    assert demand.wanted(PoolRange(2, 10), 1.0, expected=5) == 8
    assert (demand.latest(1.0), demand.latest(1.0 + REFILL_S)) == (6, 0)


@given(st.lists(st.tuples(st.floats(0, 10 * DAY), st.integers(0, 100)), max_size=30))
def test_a_pattern_survives_its_owner(seen: list[tuple[float, int]]) -> None:
    """Whoever reads it knows as much, and it stays small."""
    pattern = DemandPattern()
    for at, claims in sorted(seen):
        pattern.observe(MIDNIGHT + at, claims)
    assert parse_pattern(pattern.text()) == pattern
    assert len(pattern.text()) < 1000


def test_what_is_no_pattern_is_nothing_to_go_by() -> None:
    """Somebody else may have written there, or a later release."""
    for text in ("", "[]", "7", '{"x": [1]}', '{"1": [1, 2]}', '{"1": 5}', "{"):
        assert parse_pattern(text) == DemandPattern()
