"""The runtime's state machine, every edge (Appendix B)."""

import pytest

from kubelambda.agent.sandbox.runtime_state import InvalidStateTransition, RuntimeCall, RuntimeState, after

LEGAL = {
    (RuntimeState.STARTED, RuntimeCall.NEXT): RuntimeState.READY,
    (RuntimeState.READY, RuntimeCall.NEXT): RuntimeState.READY,
    (RuntimeState.RUNNING, RuntimeCall.NEXT): RuntimeState.RUNNING,
    (RuntimeState.RESPONSE_SENT, RuntimeCall.NEXT): RuntimeState.READY,
    (RuntimeState.RUNNING, RuntimeCall.RESPONSE): RuntimeState.RESPONSE_SENT,
    (RuntimeState.RUNNING, RuntimeCall.ERROR): RuntimeState.RESPONSE_SENT,
    (RuntimeState.STARTED, RuntimeCall.INIT_ERROR): RuntimeState.INIT_ERROR,
}


@pytest.mark.parametrize("state", RuntimeState)
@pytest.mark.parametrize("call", RuntimeCall)
def test_every_edge_is_legal_or_refused_with_both_names(state: RuntimeState, call: RuntimeCall) -> None:
    """What is not listed is a 403."""
    expected = LEGAL.get((state, call))
    if expected is not None:
        assert after(state, call) is expected
        return
    with pytest.raises(InvalidStateTransition) as raised:
        after(state, call)
    assert str(raised.value).startswith(f"State transition from {state.value} to {call.value} failed for runtime.")
