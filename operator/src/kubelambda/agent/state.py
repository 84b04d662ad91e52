"""The runtime's state machine (`lambda-semantics.md` Appendix B): pure, every edge that is not listed is a 403."""

from enum import Enum


class State(Enum):
    """States by the names that error texts show."""

    STARTED = "Started"
    READY = "Ready"
    RUNNING = "Running"
    RESPONSE_SENT = "RuntimeResponseSentState"
    INIT_ERROR = "InitError"


class Call(Enum):
    """Calls of the runtime, with the state that each one aims at."""

    NEXT = "Ready"
    RESPONSE = "InvocationResponse"
    ERROR = "InvocationErrorResponse"
    INIT_ERROR = "InitError"
    RESTORE_NEXT = "RestoreReady"
    RESTORE_ERROR = "RuntimeRestoreErrorState"


_EDGES = {
    (State.STARTED, Call.NEXT): State.READY,
    (State.READY, Call.NEXT): State.READY,
    (State.RUNNING, Call.NEXT): State.RUNNING,
    (State.RESPONSE_SENT, Call.NEXT): State.READY,
    (State.RUNNING, Call.RESPONSE): State.RESPONSE_SENT,
    (State.RUNNING, Call.ERROR): State.RESPONSE_SENT,
    (State.STARTED, Call.INIT_ERROR): State.INIT_ERROR,
}


class InvalidStateTransition(Exception):
    """The call is not allowed in the present state. The message is the text of §3.1.3."""

    def __init__(self, state: State, call: Call) -> None:
        super().__init__(
            f"State transition from {state.value} to {call.value} failed for runtime. "
            "Error: State transition is not allowed"
        )


def after(state: State, call: Call) -> State:
    """The state after `call`. Raises `InvalidStateTransition`."""
    found = _EDGES.get((state, call))
    if found is None:
        raise InvalidStateTransition(state, call)
    return found
