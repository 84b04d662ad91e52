"""The state of a mapping: what pollers confirm, never what is merely wanted (§7.1.2)."""

import pytest

from kubelambda.core.mapping.mapping_state import (
    READ_IN,
    Confirmed,
    confirmed_by,
    mapping_state,
    state_on_the_way,
)

WORKED, PAUSED = "Polling", "Paused"


@pytest.mark.parametrize(
    ("before", "wanted", "confirmed", "state"),
    [
        (None, True, None, "Creating"),
        (None, True, Confirmed(WORKED, 3), "Enabled"),
        ("Creating", True, Confirmed("SourceUnavailable", 3), "Enabled"),
        (None, False, None, "Disabled"),
        ("Enabled", True, Confirmed(WORKED, 2), "Updating"),
        ("Updating", True, Confirmed(WORKED, 2), "Updating"),
        ("Updating", True, Confirmed(WORKED, 3), "Enabled"),
        ("Enabled", False, Confirmed(WORKED, 2), "Disabling"),
        ("Disabling", False, Confirmed("SourceUnavailable", 2), "Disabling"),
        ("Disabling", False, Confirmed(PAUSED, 3), "Disabled"),
        ("Disabled", False, Confirmed(PAUSED, 2), "Disabled"),
        ("Disabled", True, Confirmed(PAUSED, 2), "Enabling"),
        ("Enabling", True, Confirmed(PAUSED, 3), "Enabling"),
        ("Enabling", True, Confirmed(WORKED, 3), "Enabled"),
        ("Enabling", False, Confirmed(PAUSED, 3), "Disabled"),
        ("Updating", False, Confirmed(WORKED, 3), "Disabling"),
        ("Creating", False, Confirmed(WORKED, 2), "Disabling"),
        ("Disabled", False, Confirmed(WORKED, 2), "Disabling"),
        ("Enabled", True, Confirmed(PAUSED, 3), "Updating"),
    ],
)
def test_a_state_is_reached_when_pollers_say_so(
    before: str | None, *, wanted: bool, confirmed: Confirmed | None, state: str
) -> None:
    """Of generation 3: what they said of an earlier one says nothing of a mapping that is to be read."""
    assert mapping_state(before, wanted=wanted, generation=3, confirmed=confirmed) == state


@pytest.mark.parametrize("before", [None, "Creating", "Enabled", "Enabling", "Disabled", "Disabling", "Updating"])
@pytest.mark.parametrize("confirmed", [None, Confirmed(WORKED, 2), Confirmed(WORKED, 3), Confirmed(PAUSED, 3)])
@pytest.mark.parametrize("wanted", [True, False])
def test_pollers_go_by_the_state(before: str | None, confirmed: Confirmed | None, *, wanted: bool) -> None:
    """It tells them what is wanted, whatever is on the way, and what it is does not change it by itself."""
    state = mapping_state(before, wanted=wanted, generation=3, confirmed=confirmed)
    assert (state in READ_IN) == wanted
    assert mapping_state(state, wanted=wanted, generation=3, confirmed=confirmed) == state


@pytest.mark.parametrize("before", [None, "Creating", "Enabled", "Enabling", "Disabled", "Disabling", "Updating"])
@pytest.mark.parametrize("wanted", [True, False])
def test_every_change_ends(before: str | None, *, wanted: bool) -> None:
    """Once pollers have said of this generation what they do, whatever was on the way."""
    assert state_on_the_way(before, enabled=wanted) in ("Creating", "Enabling", "Disabling", "Updating")
    said = Confirmed(WORKED if wanted else PAUSED, 3)
    state = "Enabled" if wanted else "Disabled"
    assert mapping_state(before, wanted=wanted, generation=3, confirmed=said) == state
    assert mapping_state(before, wanted=wanted, generation=3, confirmed=said, deleting=True) == "Deleting"


def test_pollers_speak_by_their_condition() -> None:
    """One that says nothing of a generation is of a release that did not."""
    assert confirmed_by([{"type": "Ready", "reason": "Mapped", "observedGeneration": 3}]) is None
    assert confirmed_by([{"type": "Polling", "reason": WORKED, "observedGeneration": 3}]) == Confirmed(WORKED, 3)
    assert confirmed_by([{"type": "Polling", "reason": PAUSED}]) == Confirmed(PAUSED, 0)
