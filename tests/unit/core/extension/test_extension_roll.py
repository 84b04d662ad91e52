"""The extensions of an environment: who may register, and what an environment waits for (§4.1)."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelambda.core.extension.extension_roll import INVOKE, SHUTDOWN, Extension, ExtensionRoll
from kubelambda.core.extension.extension_state import ExtensionRefused, ExtensionState, ExtensionStep

BOTH = (INVOKE, SHUTDOWN)


def roll(**events: Iterable[str]) -> ExtensionRoll:
    """External extensions that are ready, by name, with what they subscribed to."""
    found = ExtensionRoll()
    for name, wanted in events.items():
        found.started(name, f"id-of-{name}")
        found.register(name, wanted, "").take(ExtensionStep.NEXT)
    return found


def refusal(found: ExtensionRoll, name: str, events: Iterable[str] = (INVOKE,)) -> str:
    """The error type that a registration gets."""
    with pytest.raises(ExtensionRefused) as raised:
        found.register(name, events, f"other-id-of-{name}")
    return raised.value.error_type


def test_an_external_extension_registers_by_the_name_of_its_file() -> None:
    """It keeps the identifier that it was given at its start; a second time it is refused."""
    found = ExtensionRoll()
    found.started("tracer", "its-id")
    assert not found.registered
    extension = found.register("tracer", BOTH, "another-id")
    assert (extension.identifier, extension.external, found.registered) == ("its-id", True, True)
    assert refusal(found, "tracer") == "Extension.InvalidExtensionState"


def test_whoever_else_registers_is_internal() -> None:
    """It cannot have SHUTDOWN, and its name must be its own."""
    found = ExtensionRoll()
    assert refusal(found, "inside", BOTH) == "Extension.InvalidEventType"
    assert len(found) == 0
    assert not found.register("inside", (INVOKE,), "its-id").external
    assert refusal(found, "inside") == "Extension.InvalidExtensionState"


def test_nobody_registers_once_the_runtime_asked_for_its_first_event() -> None:
    """Test list item 9."""
    found = ExtensionRoll()
    found.close()
    assert refusal(found, "inside") == "Extension.RegistrationClosed"


def test_there_are_ten_extensions_at_most() -> None:
    """The eleventh is refused, wherever it comes from."""
    found = ExtensionRoll()
    for number in range(5):
        found.started(f"outside-{number}", f"outside-id-{number}")
        found.register(f"inside-{number}", (INVOKE,), f"inside-id-{number}")
    assert refusal(found, "inside-5") == "Extension.TooManyExtensions"
    with pytest.raises(ExtensionRefused) as raised:
        found.started("outside-5", "outside-id-5")
    assert str(raised.value) == "Extension limit (10) reached"


def test_a_registration_says_for_what() -> None:
    """An event that there is none of is not one of those that were meant."""
    assert refusal(ExtensionRoll(), "inside", ("START",)) == "Extension.InvalidEventType"


def test_an_identifier_that_nobody_was_given_is_unknown() -> None:
    """As after a reset, whose processes are gone."""
    with pytest.raises(ExtensionRefused) as raised:
        roll(tracer=BOTH).known("some-id")
    assert raised.value.error_type == "Extension.UnknownExtensionIdentifier"


def test_only_those_who_subscribed_are_part_of_an_invocation() -> None:
    """The others go on waiting, and nobody waits for them."""
    found = roll(tracer=BOTH, watcher=(SHUTDOWN,), silent=())
    assert [each.name for each in found.invoked()] == ["tracer"]
    assert not found.settled
    found.known("id-of-tracer").take(ExtensionStep.NEXT)
    assert found.settled
    assert found.ready
    assert roll(watcher=(SHUTDOWN,)).settled


def test_the_time_to_end_depends_on_who_there_is() -> None:
    """Nothing without extensions, 500 ms with internal ones, 2,000 ms with external ones (§4.1.7)."""
    found = ExtensionRoll()
    assert found.shutdown_s == 0
    found.register("inside", (INVOKE,), "its-id")
    assert found.shutdown_s == 0.5
    assert roll(tracer=BOTH).shutdown_s == 2.0


def test_only_those_who_subscribed_to_it_and_still_live_get_shutdown() -> None:
    """One that told of an error, or ended, is not waited for."""
    found = roll(tracer=BOTH, broken=BOTH, gone=BOTH, silent=(INVOKE,))
    found.known("id-of-broken").take(ExtensionStep.EXIT_ERROR)
    found.ended("gone", well=False)
    assert [each.name for each in found.told_to_end()] == ["tracer"]
    found.ended("tracer", well=True)
    assert [each.state for each in found if each.name in ("tracer", "gone")] == [
        ExtensionState.EXITED,
        ExtensionState.SHUTDOWN_FAILED,
    ]


MOVES = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["register", "next", "event", "init", "exit", "end"])))


@given(MOVES)
def test_init_and_invocations_end_when_the_model_says_so(moves: list[tuple[int, str]]) -> None:
    """Whatever extensions do in whatever order: what an environment waits for follows from their states alone."""
    subscriptions = [BOTH, (INVOKE,), (SHUTDOWN,), ()]
    found = ExtensionRoll()
    model: dict[int, str] = {}
    for number in range(4):
        found.started(f"e{number}", f"id{number}")
        model[number] = "Started"
    steps = {"next": ExtensionStep.NEXT, "init": ExtensionStep.INIT_ERROR, "exit": ExtensionStep.EXIT_ERROR}
    for number, move in moves:
        try:
            _make(found, number, move, steps, subscriptions)
        except ExtensionRefused:
            pass
        else:
            model[number] = found.known(f"id{number}").state.value
            if move == "event":
                model |= dict.fromkeys(range(2), "Running")
        assert {number: found.known(f"id{number}").state.value for number in model} == model
        assert found.registered == ("Started" not in model.values())
        assert found.ready == (set(model.values()) == {"Ready"})
        taking_part = [model[n] for n in (0, 1) if INVOKE in found.known(f"id{n}").events]
        assert found.settled == all(state == "Ready" for state in taking_part)
        waited_for = {each.name for each in found.told_to_end()}
        alive = {n for n in (0, 2) if model[n] in ("Registered", "Ready", "Running")}
        assert waited_for == {f"e{n}" for n in alive}


def _make(
    found: ExtensionRoll, number: int, move: str, steps: dict[str, ExtensionStep], subscriptions: list[tuple[str, ...]]
) -> None:
    extension: Extension = found.known(f"id{number}")
    if move == "register":
        found.register(extension.name, subscriptions[number], "")
    elif move == "end":
        found.ended(extension.name, well=True)
    elif move == "event":
        if not (found.ready and any(INVOKE in each.events for each in found)):  # nothing begins before INIT is over
            raise ExtensionRefused("", "")
        found.invoked()
    else:
        extension.take(steps[move])
