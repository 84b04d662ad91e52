"""The state machine of one extension, every edge of it (Appendix B)."""

import itertools

import pytest

from kubelambda.core.extension.extension_state import ExtensionRefused, ExtensionState, ExtensionStep, state_after

ALLOWED = {
    "Started": {"REGISTER", "LAUNCH_ERROR"},
    "Registered": {"NEXT", "INIT_ERROR", "EXIT_ERROR"},
    "Ready": {"EVENT", "EXIT_ERROR"},
    "Running": {"NEXT", "EXIT_ERROR"},
    "InitError": {"INIT_ERROR"},
    "ExitError": {"EXIT_ERROR"},
    "Exited": set(),
    "ShutdownFailed": set(),
    "LaunchError": set(),
}
EVERY = list(itertools.product(ExtensionState, ExtensionStep))


@pytest.mark.parametrize(("state", "step"), EVERY, ids=lambda each: each.name)
def test_what_is_not_in_the_table_is_refused_with_both_names(state: ExtensionState, step: ExtensionStep) -> None:
    """The table is written down once more here, as Lambda's own emulator has it."""
    if step.name in ALLOWED[state.value]:
        assert state_after(state, step, "tracer") is step.value
        return
    with pytest.raises(ExtensionRefused) as raised:
        state_after(state, step, "tracer")
    assert raised.value.error_type == "Extension.InvalidExtensionState"
    text = f"State transition from {state.value} to {step.value.value} failed for extension tracer."
    assert str(raised.value) == f"{text} Error: State transition is not allowed"
