"""The runtime's state machine, every edge (Appendix B)."""

import pytest

from kubelambda.agent.state import Call, InvalidStateTransition, State, after

LEGAL = {
    (State.STARTED, Call.NEXT): State.READY,
    (State.READY, Call.NEXT): State.READY,
    (State.RUNNING, Call.NEXT): State.RUNNING,
    (State.RESPONSE_SENT, Call.NEXT): State.READY,
    (State.RUNNING, Call.RESPONSE): State.RESPONSE_SENT,
    (State.RUNNING, Call.ERROR): State.RESPONSE_SENT,
    (State.STARTED, Call.INIT_ERROR): State.INIT_ERROR,
}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("call", Call)
def test_every_edge_is_legal_or_refused_with_both_names(state: State, call: Call) -> None:
    """What is not listed is a 403."""
    expected = LEGAL.get((state, call))
    if expected is not None:
        assert after(state, call) is expected
        return
    with pytest.raises(InvalidStateTransition) as raised:
        after(state, call)
    assert str(raised.value).startswith(f"State transition from {state.value} to {call.value} failed for runtime.")
