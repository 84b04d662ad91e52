"""How many batches of a queue may be at the function at once (§7.3.5)."""

import pytest

from kubelambda.core.mapping.provisioned_pollers import ProvisionedPollers
from kubelambda.core.mapping.sqs_scaling import SlotBounds, SlotCount, pollers_of, slot_bounds

OPEN = SlotBounds()


@pytest.mark.parametrize(("maximum", "first", "cap"), [(None, 5, 1250), (2, 2, 2), (1000, 5, 1000)])
def test_a_mapping_begins_small_and_has_a_bound(maximum: int | None, first: int, cap: int) -> None:
    """Five, or what its scalingConfig allows."""
    bounds = slot_bounds(maximum)
    assert (bounds.first, bounds.most) == (first, cap)


@pytest.mark.parametrize(
    ("pollers", "bounds"),
    [
        (ProvisionedPollers(2, 200), SlotBounds(20, 20, 1250, 1000)),
        (ProvisionedPollers(5, 6), SlotBounds(50, 50, 60, 1000)),
        (ProvisionedPollers(200, 2000), SlotBounds(1250, 1250, 1250, 1000)),
    ],
)
def test_provisioned_pollers_are_there_before_they_are_needed(pollers: ProvisionedPollers, bounds: SlotBounds) -> None:
    """Ten batches each, also after failures and when idle, and quicker to become more."""
    found = slot_bounds(None, pollers)
    assert found == bounds
    assert SlotCount(found.first, throttles=1).decided(found, 5).slots == bounds.least
    assert SlotCount(found.first, full_receives=1).decided(found, 5).slots == min(bounds.most, bounds.least + 83)
    assert pollers_of(bounds.least) == bounds.least // 10


def test_slots_grow_by_three_hundred_a_minute_while_there_is_more() -> None:
    """Up to the bound."""
    count = SlotCount(5)
    for _ in range(12):
        count = count.counted(full_receives=3).decided(OPEN, 5)
    assert count.slots == 305
    assert SlotCount(1249, full_receives=1).decided(OPEN, 5).slots == 1250
    assert SlotCount(5, full_receives=9).decided(slot_bounds(7), 60).slots == 7


@pytest.mark.parametrize(
    ("count", "slots"),
    [
        (SlotCount(40, full_receives=9, batches=9, throttles=1), 20),
        (SlotCount(40, full_receives=9, batches=9, failures=5), 20),
        (SlotCount(40, full_receives=9, batches=9, failures=1), 65),
        (SlotCount(40, empty_receives=3), 20),
        (SlotCount(40, empty_receives=3, batches=3), 40),
        (SlotCount(3), 2),
        (SlotCount(2, throttles=9), 2),
    ],
)
def test_slots_follow_what_happened(count: SlotCount, slots: int) -> None:
    """Throttles and errors halve them, idleness too, and two always stay."""
    assert count.decided(OPEN, 5).slots == slots


def test_a_bound_of_two_holds() -> None:
    """Whatever the backlog."""
    assert SlotCount(2, full_receives=9).decided(slot_bounds(2), 60).slots == 2
