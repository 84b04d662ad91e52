"""Every InvokeEndpoint has a port of the frontends that is no other's."""

from hypothesis import given
from hypothesis import strategies as st

from kubelambda.core.network import endpoint_ports
from kubelambda.core.network.endpoint_ports import endpoint_port

PORTS = st.integers(endpoint_ports.FIRST, endpoint_ports.LAST)


@given(uid=st.text(), present=st.none() | st.integers(1, 65_535), taken=st.frozensets(PORTS, max_size=50))
def test_a_port_is_never_taken_and_stays(uid: str, present: int | None, taken: frozenset[int]) -> None:
    """Whatever it had before; asked again, the answer is the same."""
    found = endpoint_port(uid, present, taken)
    assert found is not None
    assert found not in taken
    assert endpoint_ports.FIRST <= found <= endpoint_ports.LAST
    assert endpoint_port(uid, found, taken) == found
    if present is not None and endpoint_ports.FIRST <= present <= endpoint_ports.LAST and present not in taken:
        assert found == present


def test_the_last_one_is_given_and_then_none() -> None:
    """None is never given twice."""
    everything = set(range(endpoint_ports.FIRST, endpoint_ports.LAST + 1))
    assert endpoint_port("x", None, everything - {20_500}) == 20_500
    assert endpoint_port("x", None, everything) is None
