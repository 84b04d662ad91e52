"""The messages between frontends and agents: what one side writes is what the other reads."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelambda.api import environment_protocol, limits
from kubelambda.api.environment_protocol import (
    ArchiveReference,
    EnvironmentState,
    Specialization,
    UnusableMessage,
    encode_layers,
    parse_layers,
    parse_specialization,
    parse_state,
)

_TEXT = st.text(max_size=20)
_ARCHIVES = st.builds(ArchiveReference, _TEXT, st.integers(0, 1 << 40), st.none() | _TEXT)
_MESSAGES = st.builds(
    Specialization,
    timeout=st.integers(1, 900) | st.floats(0.1, 900),
    init_timeout=st.floats(0.1, 900),
    code=st.none() | _ARCHIVES,
    layers=st.lists(_ARCHIVES, max_size=5).map(tuple),
    initialization_type=st.sampled_from(["on-demand", "provisioned-concurrency"]),
    variables=st.dictionaries(_TEXT, _TEXT, max_size=4),
)


@given(_MESSAGES)
def test_a_specialization_arrives_as_it_was_sent(message: Specialization) -> None:
    """Whatever its texts hold."""
    assert parse_specialization(message.encode()) == message


@given(st.builds(EnvironmentState, function=st.none() | _TEXT, busy=st.booleans(), invocations=st.integers()))
def test_a_state_arrives_as_it_was_sent(state: EnvironmentState) -> None:
    """Under the wire's names."""
    assert parse_state(state.encode()) == state
    assert {"functionUid", "requestId", "initializationType"} <= json.loads(state.encode()).keys()


@given(st.lists(_ARCHIVES, max_size=5))
def test_layers_to_hold_arrive_as_they_were_sent(layers: list[ArchiveReference]) -> None:
    """In their order."""
    assert list(parse_layers(encode_layers(layers))) == layers


def _example() -> Specialization:
    return Specialization("t", "n", "u", "a", "1", "$LATEST", "r", "python3.13", "i.h", 128, 3, "/g", "us-east-1")


def test_both_releases_of_a_rolling_upgrade_understand_each_other() -> None:
    """What an earlier frontend does not send has its old meaning; what a later one adds is ignored."""
    message = json.loads(_example().encode())
    for later in ("uid", "initTimeout", "billingIncrementMs"):
        del message["function"][later]
    del message["layers"]
    message["function"]["colour"] = "red"
    found = parse_specialization(json.dumps(message).encode())
    assert (found.uid, found.layers, found.init_timeout) == ("", (), limits.INIT_TIMEOUT_S)
    assert parse_state(b'{"busy": true, "colour": "red"}').busy


def test_archives_without_an_address_come_along_in_order() -> None:
    """Code first, then the layers."""
    near, far, nearer = ArchiveReference("a", 1), ArchiveReference("b", 2, "http://far"), ArchiveReference("c", 3)
    fields = {name: getattr(_example(), name) for name in Specialization.__dataclass_fields__}
    assert Specialization(**{**fields, "code": near, "layers": (far, nearer)}).inline == [near, nearer]


@pytest.mark.parametrize(
    "wrong",
    [b"", b"[]", b"{}", b"[" * 100_000, b'{"token": 1, "function": {}, "environment": {}}', b'{"function": []}'],
)
def test_what_is_no_message_says_so(wrong: bytes) -> None:
    """And raises nothing else."""
    with pytest.raises(UnusableMessage):
        parse_specialization(wrong)


@pytest.mark.parametrize(("field", "value"), [("memorySize", "128"), ("timeout", True), ("handler", None)])
def test_a_wrong_type_is_named(field: str, value: object) -> None:
    """An environment must not find out in the middle of an invocation."""
    message = json.loads(_example().encode())
    message["function"][field] = value
    with pytest.raises(UnusableMessage, match="is no"):
        parse_specialization(json.dumps(message).encode())


def test_headers_and_variables_of_ours_have_our_prefix() -> None:
    """By which the agent keeps them from the function."""
    names = [value for name, value in vars(environment_protocol).items() if name.startswith("ENV_")]
    assert all(name.startswith(environment_protocol.ENV_PREFIX) for name in names)
