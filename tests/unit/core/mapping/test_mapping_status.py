"""What a mapping says of itself (§7.1.2, §7.1.3, §7.1.5)."""

from datetime import UTC, datetime
from typing import Any

import pytest

from kubelambda.api.kinds.event_source_mapping import EventSourceMappingSpec, EventSourceMappingStatus
from kubelambda.core.mapping.mapping_source import source_key
from kubelambda.core.mapping.mapping_status import MappingClaim, ObservedMapping, decide_mapping

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SOURCE = "arn:aws:sqs:us-east-1:123456789012:orders"
CLAIM = MappingClaim("uid-b", "2026-01-02T00:00:00Z", SOURCE, "hello:live")
OLDER = MappingClaim("uid-a", "2026-01-01T00:00:00Z", SOURCE, "hello:live")
INVALID = {"filters": [{"pattern": '{"body": []}'}]}


def said(reason: str, state: str | None = None, generation: int = 3) -> EventSourceMappingStatus:
    """The status of a mapping in `state` of which pollers have said `reason`, of that generation of it."""
    polling = {
        "type": "Polling",
        "status": "False",
        "reason": reason,
        "message": "m",
        "observedGeneration": generation,
        "lastTransitionTime": "2026-01-02T00:00:00Z",
    }
    return EventSourceMappingStatus.model_validate({"state": state, "lag": 4, "conditions": [polling]})


def decided(
    before: EventSourceMappingStatus | None = None,
    *,
    exists: bool = True,
    others: tuple[MappingClaim, ...] = (),
    **spec: Any,
) -> dict[str, Any]:
    """The status of a mapping that differs by `spec`."""
    made = EventSourceMappingSpec.model_validate({"functionName": "hello:live", "eventSourceArn": SOURCE, **spec})
    arn = "arn:aws:lambda:us-east-1:123456789012:function:hello:live"
    observed = ObservedMapping(3, CLAIM, made, arn, exists, others)
    return decide_mapping(observed, before or EventSourceMappingStatus(), NOW)


@pytest.mark.parametrize(
    ("arguments", "state", "why", "reason", "told"),
    [
        ({}, "Creating", "USER_INITIATED", "WaitingForPoller", "no poller has taken the mapping yet"),
        ({"before": said("Polling")}, "Enabled", "USER_INITIATED", "Mapped", "the function gets"),
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
    *, arguments: dict[str, Any], state: str, why: str, reason: str, told: str
) -> None:
    """With Lambda's words where it has some."""
    status = decided(**arguments)
    (ready,) = status["conditions"]
    assert (status["state"], status["stateTransitionReason"], ready["reason"]) == (state, why, reason)
    assert told in ready["message"]
    assert status["uuid"] == "uid-b"


def test_of_two_the_older_one_stays() -> None:
    """And a mapping to another alias, or of another queue, is no rival."""
    newer = MappingClaim("uid-c", "2026-01-03T00:00:00Z", SOURCE, "hello:live")
    elsewhere = MappingClaim("uid-a", "2026-01-01T00:00:00Z", SOURCE, "hello")
    assert decided(said("Polling"), others=(newer, elsewhere))["conditions"][0]["reason"] == "Mapped"


@pytest.mark.parametrize(
    ("before", "arguments", "state"),
    [
        (said("Polling", "Enabled", 2), {}, "Updating"),
        (said("Polling", "Enabled", 2), {"enabled": False}, "Disabling"),
        (said("Paused", "Disabled", 2), {}, "Enabling"),
        (said("Polling", "Enabled", 2), {"exists": False}, "Disabling"),
    ],
)
def test_what_is_on_the_way_is_not_ready(
    before: EventSourceMappingStatus, arguments: dict[str, Any], state: str
) -> None:
    """Until pollers have said that they do what the spec says: who waits for Ready waits for that."""
    status = decided(before, **arguments)
    (ready,) = status["conditions"]
    assert status["state"] == state
    if "exists" in arguments:
        assert (ready["status"], ready["reason"]) == ("False", "FunctionNotFound")
    else:
        assert (ready["status"], ready["reason"]) == ("Unknown", "WaitingForPoller")


def test_nothing_changes_while_nothing_changes() -> None:
    """lastModified and the condition's time stay, and what pollers wrote is not repeated."""
    polled = said("Polling")
    first = decided(polled)
    conditions = [*first["conditions"], polled.conditions[0].model_dump(mode="json", by_alias=True)]
    before = EventSourceMappingStatus.model_validate({**first, "lag": 4, "conditions": conditions})
    made = EventSourceMappingSpec.model_validate({"functionName": "hello:live", "eventSourceArn": SOURCE})
    observed = ObservedMapping(3, CLAIM, made, first["functionArn"], True, ())
    assert decide_mapping(observed, before, datetime(2027, 1, 1, tzinfo=UTC)) == first


KAFKA: dict[str, Any] = {
    "functionName": "hello:live",
    "selfManagedEventSource": {"endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a:9092", "b:9092"]}},
    "topics": ["orders"],
    "startingPosition": "LATEST",
}


@pytest.mark.parametrize(
    ("reason", "why"),
    [
        ("SourceAuthenticationFailed", "EVENT_SOURCE_AUTHN_ERROR"),
        ("SourceAuthorizationFailed", "EVENT_SOURCE_AUTHZ_ERROR"),
        ("SourceUnavailable", "USER_INITIATED"),
    ],
)
def test_the_state_of_a_mapping_of_kafka_says_whether_its_cluster_refuses_us(reason: str, why: str) -> None:
    """It stays enabled: a Secret may be mended at any time."""
    made = EventSourceMappingSpec.model_validate(KAFKA)
    observed = ObservedMapping(3, CLAIM, made, "arn", True, ())
    status = decide_mapping(observed, said(reason), NOW)
    assert (status["state"], status["stateTransitionReason"]) == ("Enabled", why)


def test_two_mappings_of_one_cluster_are_rivals_by_their_topic() -> None:
    """With Lambda's words for a cluster that has no ARN."""
    key = source_key(KAFKA)
    assert key != source_key({**KAFKA, "topics": ["other"]})
    claim = MappingClaim("uid-b", "2026-01-02T00:00:00Z", key, "hello:live")
    older = MappingClaim("uid-a", "2026-01-01T00:00:00Z", key, "hello:live")
    made = EventSourceMappingSpec.model_validate(KAFKA)
    observed = ObservedMapping(3, claim, made, "arn", True, (older,))
    status: dict[str, Any] = decide_mapping(observed, EventSourceMappingStatus(), NOW)
    assert status["conditions"][0]["message"] == (
        'An event source mapping with event source ("a:9092,b:9092"), function ("hello:live"), topics ("orders") '
        "already exists. Please update or delete the existing mapping with UUID uid-a"
    )


def test_two_queues_of_a_broker_are_two_sources() -> None:
    """And so are two virtual hosts: each may have a mapping to one function."""
    broker = "arn:aws:mq:us-east-1:123456789012:broker:shop:b-1"

    def key(queue: str, host: str) -> str:
        access = [{"type": "BASIC_AUTH", "uri": "login"}, {"type": "VIRTUAL_HOST", "uri": host}]
        return source_key({"eventSourceArn": broker, "queues": [queue], "sourceAccessConfigurations": access})

    assert len({key("a", "/"), key("b", "/"), key("a", "eu")}) == 3
