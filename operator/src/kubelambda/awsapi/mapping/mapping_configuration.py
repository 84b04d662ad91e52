"""An EventSourceMapping object as Lambda's EventSourceMappingConfiguration: pure (§7.1)."""

import calendar
import time
from collections.abc import Mapping
from typing import Any, Final

from kubelambda.api import limits
from kubelambda.awsapi.model.service_model import ServiceModel
from kubelambda.awsapi.model.spec_members import members_of
from kubelambda.core.account import identity
from kubelambda.core.mapping.mapping_state import TRANSITIONS, state_on_the_way

SELF_MANAGED: Final = "self-managed"
STREAMS: Final = frozenset({"kinesis", "dynamodb"})
SOURCES: Final = frozenset({"sqs", "kafka", "mq", "rds", SELF_MANAGED}) | STREAMS
"""Services that an ARN of a source may name."""
POSITIONED: Final = frozenset({"kafka", "rds", SELF_MANAGED}) | STREAMS
"""Sources that are read from a position that the caller says (§7.1)."""
SHAPE: Final = "EventSourceMappingConfiguration"
_IN_USE_S: Final = 60.0
"""For how long a change keeps others away: pollers that are not there confirm none, and it could never be deleted."""
_UNREAD: Final = "No records processed"
_QUEUE_DEFAULTS: Final = {"BatchSize": 10, "MaximumBatchingWindowInSeconds": 0, "FunctionResponseTypes": []}
_STREAM_DEFAULTS: Final = {
    "BatchSize": 100,
    "BisectBatchOnFunctionError": False,
    "DestinationConfig": {"OnFailure": {}},
    "FunctionResponseTypes": [],
    "LastProcessingResult": _UNREAD,
    "MaximumBatchingWindowInSeconds": 0,
    "MaximumRecordAgeInSeconds": -1,
    "MaximumRetryAttempts": -1,
    "ParallelizationFactor": 1,
    "TumblingWindowInSeconds": 0,
}
_OTHER_DEFAULTS: Final = {"BatchSize": 100, "LastProcessingResult": _UNREAD}


def source_of(members: Mapping[str, Any]) -> str | None:
    """The kind of source that parameters or a configuration name: the service of its ARN; None when it is none."""
    arn = members.get("EventSourceArn")
    if arn is None:
        return SELF_MANAGED if members.get("SelfManagedEventSource") else None
    parts = str(arn).split(":")
    service = parts[2] if len(parts) > 5 else ""
    return service if service in SOURCES else None


def mapping_arn(region: str, account: str, uuid: str) -> str:
    """ARN of a mapping (§1.2.5)."""
    return f"arn:aws:lambda:{region}:{account}:event-source-mapping:{uuid}"


def transition(body: Mapping[str, Any]) -> str:
    """The state of a mapping: the object's, or of a change that the operator has not seen yet what that is (§7.1.2)."""
    status = body.get("status") or {}
    if "deletionTimestamp" in body["metadata"]:
        return "Deleting"
    known = status.get("state")
    if known and _seen(body):
        return str(known)
    return state_on_the_way(known, enabled=body["spec"].get("enabled", True))


def in_use(body: Mapping[str, Any], now: float) -> bool:
    """Whether a change is under way that another one would have to wait for; `now` in seconds since the epoch."""
    if transition(body) not in TRANSITIONS:
        return False
    changed = (body.get("status") or {}).get("lastModified")
    return not _seen(body) or changed is None or now - _epoch(changed) < _IN_USE_S


def _seen(body: Mapping[str, Any]) -> bool:
    """Whether the status speaks of the spec as it is."""
    return bool((body.get("status") or {}).get("observedGeneration") == body["metadata"]["generation"])


def mapping_configuration(model: ServiceModel, body: Mapping[str, Any], region: str, account: str) -> dict[str, Any]:
    """EventSourceMappingConfiguration, with the defaults that Lambda shows of each kind of source (§7.1.9)."""
    metadata, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    name, _, qualifier = spec["functionName"].partition(":")
    uuid = metadata["uid"]
    given = members_of(model, model.shape(SHAPE), spec)
    source = source_of(given)
    found = {
        **source_defaults(source),
        **{member: value for member, value in given.items() if not _is_empty(value)},
        "UUID": uuid,
        "EventSourceMappingArn": mapping_arn(region, account, uuid),
        "FunctionArn": identity.function_arn(region, account, name, qualifier or None),
        "State": transition(body),
        "StateTransitionReason": _reason(source, status),
        "LastModified": _epoch(status.get("lastModified") or metadata["creationTimestamp"]),
    }
    if status.get("lastProcessingResult") and source != "sqs":
        found["LastProcessingResult"] = status["lastProcessingResult"]
    if found.get("ProvisionedPollerConfig"):
        least = limits.POLLERS_LEAST_OF_QUEUE if source == "sqs" else limits.POLLERS_LEAST_OF_TOPIC
        found["ProvisionedPollerConfig"] = {
            "MinimumPollers": least,
            "MaximumPollers": limits.POLLERS_MOST,
            **found["ProvisionedPollerConfig"],
        }
    if source == SELF_MANAGED:
        found.setdefault("SelfManagedKafkaEventSourceConfig", {"ConsumerGroupId": uuid})
    elif source == "kafka":
        found.setdefault("AmazonManagedKafkaEventSourceConfig", {"ConsumerGroupId": uuid})
    return found


def source_defaults(source: str | None) -> dict[str, Any]:
    """What Lambda shows of a mapping of that kind of source that says nothing of it (§7.1.9)."""
    if source == "sqs":
        return dict(_QUEUE_DEFAULTS)
    return dict(_STREAM_DEFAULTS if source in STREAMS else _OTHER_DEFAULTS)


def _is_empty(value: Any) -> bool:
    """Whether a member is as good as not there: criteria without a filter are not shown."""
    return isinstance(value, Mapping) and not any(value.values())


def _reason(source: str | None, status: Mapping[str, Any]) -> str:
    """Of streams another word for the same (§7.1.3)."""
    found = status.get("stateTransitionReason") or "USER_INITIATED"
    return "User action" if found == "USER_INITIATED" and source in STREAMS else str(found)


def _epoch(rfc3339: str) -> float:
    return float(calendar.timegm(time.strptime(rfc3339[:19], "%Y-%m-%dT%H:%M:%S")))
