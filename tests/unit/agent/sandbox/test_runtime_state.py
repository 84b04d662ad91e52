"""The runtime's state machine, walked as runtimes walk it (Appendix B)."""

import pytest

from kubelambda.agent.sandbox.runtime_state import InvalidStateTransition, RuntimeCall, RuntimeState, after

NEXT, RESPONSE, ERROR = RuntimeCall.NEXT, RuntimeCall.RESPONSE, RuntimeCall.ERROR
RUNNING, READY = RuntimeState.RUNNING, RuntimeState.READY


def walk(*steps: RuntimeCall | RuntimeState) -> RuntimeState:
    """From the start of a runtime: its calls, and the states that an invocation puts it into."""
    state = RuntimeState.STARTED
    for step in steps:
        state = step if isinstance(step, RuntimeState) else after(state, step)
    return state


@pytest.mark.parametrize(
    "steps",
    [
        (NEXT,),
        (NEXT, NEXT),
        (NEXT, RUNNING, RESPONSE, NEXT),
        (NEXT, RUNNING, ERROR, NEXT),
        (NEXT, RUNNING, NEXT, RESPONSE, NEXT),
        (NEXT, RUNNING, RESPONSE, NEXT, RUNNING, ERROR, NEXT),
    ],
)
def test_a_runtime_that_keeps_to_the_protocol_is_ready(steps: tuple[RuntimeCall | RuntimeState, ...]) -> None:
    """It asks, is given an event, answers once and asks again; asking twice harms nobody."""
    assert walk(*steps) is READY


@pytest.mark.parametrize(
    ("steps", "call", "text"),
    [
        ((), RESPONSE, "from Started to InvocationResponse"),
        ((), ERROR, "from Started to InvocationErrorResponse"),
        ((NEXT,), RESPONSE, "from Ready to InvocationResponse"),
        ((NEXT,), RuntimeCall.INIT_ERROR, "from Ready to InitError"),
        ((NEXT, RUNNING, RESPONSE), RESPONSE, "from RuntimeResponseSentState to InvocationResponse"),
        ((NEXT, RUNNING, RESPONSE), ERROR, "from RuntimeResponseSentState to InvocationErrorResponse"),
        ((NEXT, RUNNING), RuntimeCall.INIT_ERROR, "from Running to InitError"),
        ((RuntimeCall.INIT_ERROR,), NEXT, "from InitError to Ready"),
        ((RuntimeCall.INIT_ERROR,), RuntimeCall.INIT_ERROR, "from InitError to InitError"),
        ((NEXT,), RuntimeCall.RESTORE_NEXT, "from Ready to RestoreReady"),
        ((), RuntimeCall.RESTORE_ERROR, "from Started to RuntimeRestoreErrorState"),
    ],
)
def test_a_call_out_of_turn_is_refused_with_both_names(
    steps: tuple[RuntimeCall | RuntimeState, ...], call: RuntimeCall, text: str
) -> None:
    """An answer to no event, a second answer, an init error after INIT, anything after one."""
    with pytest.raises(InvalidStateTransition) as raised:
        after(walk(*steps), call)
    assert f"State transition {text} failed for runtime." in str(raised.value)
