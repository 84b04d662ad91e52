"""The state machine of one extension (`docs/semantics.md` Appendix B): every edge that is not listed is a 403."""

from enum import Enum
from typing import Final


class ExtensionState(Enum):
    """States by the names that error texts and log lines show."""

    STARTED = "Started"
    """Its process runs; only external extensions are ever in it."""
    REGISTERED = "Registered"
    READY = "Ready"
    """It waits for an event."""
    RUNNING = "Running"
    """It has an event."""
    INIT_ERROR = "InitError"
    EXIT_ERROR = "ExitError"
    EXITED = "Exited"
    SHUTDOWN_FAILED = "ShutdownFailed"
    """It did not end when it was told to, and was ended."""
    LAUNCH_ERROR = "LaunchError"


class ExtensionStep(Enum):
    """What an extension does, or what happens to it, with the state that it leads to."""

    REGISTER = ExtensionState.REGISTERED
    NEXT = ExtensionState.READY
    EVENT = ExtensionState.RUNNING
    INIT_ERROR = ExtensionState.INIT_ERROR
    EXIT_ERROR = ExtensionState.EXIT_ERROR
    LAUNCH_ERROR = ExtensionState.LAUNCH_ERROR


_EDGES: Final = {
    (ExtensionState.STARTED, ExtensionStep.REGISTER),
    (ExtensionState.STARTED, ExtensionStep.LAUNCH_ERROR),
    (ExtensionState.REGISTERED, ExtensionStep.NEXT),
    (ExtensionState.REGISTERED, ExtensionStep.INIT_ERROR),
    (ExtensionState.REGISTERED, ExtensionStep.EXIT_ERROR),
    (ExtensionState.READY, ExtensionStep.EVENT),
    (ExtensionState.READY, ExtensionStep.EXIT_ERROR),
    (ExtensionState.RUNNING, ExtensionStep.NEXT),
    (ExtensionState.RUNNING, ExtensionStep.EXIT_ERROR),
    (ExtensionState.INIT_ERROR, ExtensionStep.INIT_ERROR),
    (ExtensionState.EXIT_ERROR, ExtensionStep.EXIT_ERROR),
}
"""Whoever has told of an error may tell it again."""


class ExtensionRefused(Exception):
    """A call that is answered with 403: `error_type` is Lambda's, the message its text (§4.1.4)."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type


def state_after(state: ExtensionState, step: ExtensionStep, who: str) -> ExtensionState:
    """The state after `step` of the extension that calls itself `who`. Raises `ExtensionRefused`."""
    if (state, step) not in _EDGES:
        text = f"State transition from {state.value} to {step.value.value} failed for extension {who}."
        raise ExtensionRefused("Extension.InvalidExtensionState", f"{text} Error: State transition is not allowed")
    return step.value
