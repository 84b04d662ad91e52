"""The runtime's state machine (`docs/semantics.md` Appendix B): pure, every edge that is not listed is a 403."""

from enum import Enum


class RuntimeState(Enum):
    """States by the names that error texts show."""

    STARTED = "Started"
    READY = "Ready"
    RUNNING = "Running"
    RESPONDING = "InvocationResponse"
    """The response has begun, and its caller has some of it (§3.1.5)."""
    RESPONSE_SENT = "RuntimeResponseSentState"
    INIT_ERROR = "InitError"


class RuntimeCall(Enum):
    """Calls of the runtime, with the state that each one aims at."""

    NEXT = "Ready"
    RESPONSE = "InvocationResponse"
    ERROR = "InvocationErrorResponse"
    INIT_ERROR = "InitError"
    RESTORE_NEXT = "RestoreReady"
    RESTORE_ERROR = "RuntimeRestoreErrorState"


_EDGES = {
    (RuntimeState.STARTED, RuntimeCall.NEXT): RuntimeState.READY,
    (RuntimeState.READY, RuntimeCall.NEXT): RuntimeState.READY,
    (RuntimeState.RUNNING, RuntimeCall.NEXT): RuntimeState.RUNNING,
    (RuntimeState.RESPONSE_SENT, RuntimeCall.NEXT): RuntimeState.READY,
    (RuntimeState.RUNNING, RuntimeCall.RESPONSE): RuntimeState.RESPONSE_SENT,
    (RuntimeState.RUNNING, RuntimeCall.ERROR): RuntimeState.RESPONSE_SENT,
    (RuntimeState.RESPONDING, RuntimeCall.RESPONSE): RuntimeState.RESPONSE_SENT,
    (RuntimeState.STARTED, RuntimeCall.INIT_ERROR): RuntimeState.INIT_ERROR,
}


class InvalidStateTransition(Exception):
    """The call is not allowed in the present state. The message is the text of §3.1.3."""

    def __init__(self, state: RuntimeState, call: RuntimeCall) -> None:
        super().__init__(
            f"State transition from {state.value} to {call.value} failed for runtime. "
            "Error: State transition is not allowed"
        )


def after(state: RuntimeState, call: RuntimeCall) -> RuntimeState:
    """The state after `call`. Raises `InvalidStateTransition`."""
    found = _EDGES.get((state, call))
    if found is None:
        raise InvalidStateTransition(state, call)
    return found
