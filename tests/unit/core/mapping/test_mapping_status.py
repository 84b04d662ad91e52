"""What a mapping says of itself (§7.1.2, §7.1.3, §7.1.5)."""

from datetime import UTC, datetime
from typing import Any

import pytest

from kubelambda.api.kinds.event_source_mapping import EventSourceMappingSpec, EventSourceMappingStatus
from kubelambda.core.mapping.mapping_status import MappingClaim, ObservedMapping, decide_mapping

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SOURCE = "arn:aws:sqs:us-east-1:123456789012:orders"
CLAIM = MappingClaim("uid-b", "2026-01-02T00:00:00Z", SOURCE, "hello:live")
OLDER = MappingClaim("uid-a", "2026-01-01T00:00:00Z", SOURCE, "hello:live")
INVALID = {"filters": [{"pattern": '{"body": []}'}]}


def decided(*, exists: bool = True, others: tuple[MappingClaim, ...] = (), **spec: Any) -> dict[str, Any]:
    """The status of a mapping that differs by `spec`."""
    made = EventSourceMappingSpec.model_validate({"functionName": "hello:live", "eventSourceArn": SOURCE, **spec})
    arn = "arn:aws:lambda:us-east-1:123456789012:function:hello:live"
    observed = ObservedMapping(3, CLAIM, made, arn, exists, others)
    return decide_mapping(observed, EventSourceMappingStatus(), NOW)


@pytest.mark.parametrize(
    ("arguments", "state", "why", "reason", "said"),
    [
        ({}, "Enabled", "USER_INITIATED", "Mapped", "the function gets"),
        ({"enabled": False}, "Disabled", "USER_INITIATED", "Paused", "not enabled"),
        ({"exists": False}, "Disabled", "FUNCTION_CONFIG_NOT_VALID", "FunctionNotFound", "Function does not exist"),
        (
            {"filterCriteria": INVALID},
            "Disabled",
            "ESM_CONFIG_NOT_VALID",
            "InvalidFilter",
            "Invalid filter pattern definition.",
        ),
        (
            {"others": (OLDER,)},
            "Disabled",
            "ESM_CONFIG_NOT_VALID",
            "Duplicate",
            (
                f'An event source mapping with SQS arn (" {SOURCE} ") and function (" hello:live ") already exists. '
                "Please update or delete the existing mapping with UUID uid-a"
            ),
        ),
    ],
)
def test_the_state_follows_from_spec_and_function(
    *, arguments: dict[str, Any], state: str, why: str, reason: str, said: str
) -> None:
    """With Lambda's words where it has some."""
    status = decided(**arguments)
    (ready,) = status["conditions"]
    assert (status["state"], status["stateTransitionReason"], ready["reason"]) == (state, why, reason)
    assert said in ready["message"]
    assert status["uuid"] == "uid-b"


def test_of_two_the_older_one_stays() -> None:
    """And a mapping to another alias, or of another queue, is no rival."""
    newer = MappingClaim("uid-c", "2026-01-03T00:00:00Z", SOURCE, "hello:live")
    elsewhere = MappingClaim("uid-a", "2026-01-01T00:00:00Z", SOURCE, "hello")
    assert decided(others=(newer, elsewhere))["state"] == "Enabled"


def test_nothing_changes_while_nothing_changes() -> None:
    """lastModified and the condition's time stay, and what pollers wrote is not repeated."""
    first = decided()
    before = EventSourceMappingStatus.model_validate(
        {**first, "lag": 4, "conditions": [*first["conditions"], {**first["conditions"][0], "type": "Polling"}]}
    )
    made = EventSourceMappingSpec.model_validate({"functionName": "hello:live", "eventSourceArn": SOURCE})
    observed = ObservedMapping(3, CLAIM, made, first["functionArn"], True, ())
    assert decide_mapping(observed, before, datetime(2027, 1, 1, tzinfo=UTC)) == first
