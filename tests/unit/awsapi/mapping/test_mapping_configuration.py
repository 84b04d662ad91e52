"""Mappings as Lambda shows them: states on the way, and the defaults of each kind of source (§7.1)."""

from typing import Any

import pytest

from kubelambda.awsapi.mapping.mapping_configuration import in_use, mapping_configuration, source_of, transition
from kubelambda.awsapi.model.service_model import ServiceModel

MODEL = ServiceModel.load("lambda")
UUID = "11111111-2222-3333-4444-555555555555"


def mapping(source: str = "arn:aws:sqs:us-east-1:123456789012:queue", **spec: Any) -> dict[str, Any]:
    """A mapping that the operator has seen."""
    return {
        "metadata": {"uid": UUID, "generation": 2, "creationTimestamp": "2026-01-02T03:04:05Z"},
        "spec": {"functionName": "hello:live", "eventSourceArn": source, "enabled": True} | spec,
        "status": {"observedGeneration": 2, "state": "Enabled", "stateTransitionReason": "USER_INITIATED"},
    }


def shown(body: dict[str, Any]) -> dict[str, Any]:
    """Its configuration."""
    return mapping_configuration(MODEL, body, "us-east-1", "123456789012")


@pytest.mark.parametrize(
    ("metadata", "enabled", "status", "state"),
    [
        ({}, True, {}, "Enabled"),
        ({"generation": 3}, True, {}, "Updating"),
        ({"generation": 3}, False, {}, "Disabling"),
        ({"generation": 3}, True, {"state": "Disabled"}, "Enabling"),
        ({"generation": 1}, True, {"state": None, "observedGeneration": -1}, "Creating"),
        ({"generation": 3}, False, {"state": "Disabled"}, "Updating"),
        ({}, True, {"state": "Updating"}, "Updating"),
        ({}, False, {"state": "Disabling"}, "Disabling"),
        ({"deletionTimestamp": "2026-01-02T03:04:06Z"}, True, {}, "Deleting"),
    ],
)
def test_states_on_the_way(metadata: dict[str, Any], enabled: bool, status: dict[str, Any], state: str) -> None:
    """What the operator has not seen yet is under way (§7.1.2)."""
    body = mapping(enabled=enabled)
    body["metadata"] |= metadata
    body["status"] |= status
    assert transition(body) == state


@pytest.mark.parametrize(
    ("status", "after_s", "refused"),
    [
        ({}, 0, False),
        ({"state": "Updating"}, 0, True),
        ({"state": "Creating"}, 59, True),
        ({"state": "Creating"}, 61, False),
        ({"state": "Disabling"}, 61, False),
        ({"observedGeneration": 1}, 3600, True),
    ],
)
def test_a_change_waits_for_the_one_before_and_not_for_ever(
    status: dict[str, Any], after_s: float, *, refused: bool
) -> None:
    """Where no poller runs none confirms it, and the mapping must be deletable all the same."""
    body = mapping()
    body["status"] |= {"lastModified": "2026-01-02T03:04:05Z", **status}
    assert in_use(body, 1767323045.0 + after_s) == refused


def test_a_queue_has_the_defaults_of_queues() -> None:
    """And no last result (§7.1.4); the function's ARN is qualified as the mapping is."""
    found = shown(mapping())
    assert (found["BatchSize"], found["MaximumBatchingWindowInSeconds"]) == (10, 0)
    assert "LastProcessingResult" not in found
    assert found["FunctionArn"] == "arn:aws:lambda:us-east-1:123456789012:function:hello:live"
    assert found["LastModified"] == 1767323045.0


def test_a_stream_has_the_defaults_of_streams() -> None:
    """All of §7.1.9, under what the spec says."""
    found = shown(mapping("arn:aws:kinesis:us-east-1:123456789012:stream/s", parallelizationFactor=3))
    assert found["ParallelizationFactor"] == 3
    assert found["MaximumRetryAttempts"] == found["MaximumRecordAgeInSeconds"] == -1
    assert found["DestinationConfig"] == {"OnFailure": {}}
    assert (found["LastProcessingResult"], found["StateTransitionReason"]) == ("No records processed", "User action")


def test_criteria_without_a_filter_are_not_shown() -> None:
    """As recorded."""
    assert "FilterCriteria" not in shown(mapping(filterCriteria={"filters": []}))


@pytest.mark.parametrize(
    ("members", "source"),
    [
        ({"EventSourceArn": "arn:aws:dynamodb:us-east-1:123456789012:table/t/stream/s"}, "dynamodb"),
        ({"SelfManagedEventSource": {"Endpoints": {}}}, "self-managed"),
        ({"EventSourceArn": "arn:aws:s3:::bucket"}, None),
        ({}, None),
    ],
)
def test_the_kind_of_a_source(members: dict[str, Any], source: str | None) -> None:
    """By the service of its ARN; anything else is no source."""
    assert source_of(members) == source
