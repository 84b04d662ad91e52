"""An Alias as Application Auto Scaling sees it: a scalable target, its policy, its schedule (§8.1, §8.2, §8.8). Pure.

What the Alias has no field for is kept beside it in an annotation: bounds that nothing uses yet, and names.
"""

import calendar
import json
import time
from collections.abc import Mapping
from typing import Any, Final

from kubelambda.api import labels

ANNOTATION: Final = f"{labels.GROUP}/scalable-target"
NAMESPACE: Final = "lambda"
DIMENSION: Final = "lambda:function:ProvisionedConcurrency"
METRIC: Final = "LambdaProvisionedConcurrencyUtilization"
_FIELD: Final = "provisionedConcurrency"
_TRACKING: Final = {
    "TargetValue": "targetValue",
    "ScaleOutCooldown": "scaleOutCooldown",
    "ScaleInCooldown": "scaleInCooldown",
    "DisableScaleIn": "disableScaleIn",
}
_SUSPENDED: Final = {
    "DynamicScalingInSuspended": "dynamicScalingInSuspended",
    "DynamicScalingOutSuspended": "dynamicScalingOutSuspended",
    "ScheduledScalingSuspended": "scheduledScalingSuspended",
}


def registration(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """What is remembered of the registration; also of an Alias whose scaling somebody wrote into its manifest."""
    text = (body["metadata"].get("annotations") or {}).get(ANNOTATION)
    found: dict[str, Any] | None = json.loads(text) if text else None
    tracking = provisioned(body).get("targetTracking")
    if tracking is not None:
        found = (found or {}) | {"minCapacity": tracking["minCapacity"], "maxCapacity": tracking["maxCapacity"]}
    return found


def provisioned(body: Mapping[str, Any]) -> dict[str, Any]:
    """`spec.provisionedConcurrency`, empty when there is none."""
    return dict(body["spec"].get(_FIELD) or {})


def with_provisioned(body: Mapping[str, Any], field: Mapping[str, Any]) -> dict[str, Any]:
    """The spec with another `provisionedConcurrency`; none at all where it would ask for nothing."""
    asks = any(field.get(name) for name in ("targetTracking", "scheduledActions"))
    if not asks and field.get("provisionedConcurrentExecutions") is None:
        return {name: value for name, value in body["spec"].items() if name != _FIELD}
    return {**body["spec"], _FIELD: dict(field)}


def registered(body: Mapping[str, Any], parameters: Mapping[str, Any], now: float) -> tuple[dict[str, Any], str]:
    """Spec and annotation after RegisterScalableTarget. Raises `KeyError` for a first one without both bounds."""
    before = registration(body) or {"created": now}
    after = dict(before)
    for theirs, ours in (("MinCapacity", "minCapacity"), ("MaxCapacity", "maxCapacity")):
        after[ours] = parameters[theirs] if theirs in parameters else before[ours]
    field = provisioned(body)
    if "targetTracking" in field:
        bounds = {"minCapacity": after["minCapacity"], "maxCapacity": after["maxCapacity"]}
        field["targetTracking"] = {**field["targetTracking"], **bounds}
    if "SuspendedState" in parameters:
        given = parameters["SuspendedState"]
        after["suspendedState"] = {ours: given[theirs] for theirs, ours in _SUSPENDED.items() if theirs in given}
    if after.get("suspendedState") and field:
        field["suspendedState"] = {**(field.get("suspendedState") or {}), **after["suspendedState"]}
    return with_provisioned(body, field), json.dumps(after)


def with_policy(body: Mapping[str, Any], parameters: Mapping[str, Any], now: float) -> tuple[dict[str, Any], str]:
    """Spec and annotation after PutScalingPolicy."""
    target = registration(body) or {}
    given = parameters["TargetTrackingScalingPolicyConfiguration"]
    tracking = {ours: given[theirs] for theirs, ours in _TRACKING.items() if theirs in given}
    tracking |= {"minCapacity": target["minCapacity"], "maxCapacity": target["maxCapacity"]}
    field = provisioned(body) | {"targetTracking": tracking}
    if target.get("suspendedState"):
        field["suspendedState"] = target["suspendedState"]
    policy = {"policy": parameters["PolicyName"], "policyCreated": target.get("policyCreated", now)}
    return with_provisioned(body, field), json.dumps(target | policy)


def without_policy(body: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Spec and annotation after DeleteScalingPolicy: the capacity stays what it is."""
    target = registration(body) or {}
    field = {name: value for name, value in provisioned(body).items() if name != "targetTracking"}
    current = ((body.get("status") or {}).get(_FIELD) or {}).get("requested")
    if current:
        field["provisionedConcurrentExecutions"] = current
    kept = {name: value for name, value in target.items() if not name.startswith("policy")}
    return with_provisioned(body, field), json.dumps(kept)


def with_schedule(body: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The spec after PutScheduledAction; what is not given of one that exists stays."""
    field = provisioned(body)
    name = parameters["ScheduledActionName"]
    before: Mapping[str, Any] = next((each for each in field.get("scheduledActions") or [] if each["name"] == name), {})
    bounds = parameters.get("ScalableTargetAction") or {}
    given = {
        "name": name,
        "schedule": parameters.get("Schedule"),
        "timezone": parameters.get("Timezone"),
        "minCapacity": bounds.get("MinCapacity"),
        "maxCapacity": bounds.get("MaxCapacity"),
    }
    action = {**before, **{member: value for member, value in given.items() if value is not None}}
    others = [each for each in field.get("scheduledActions") or [] if each["name"] != name]
    return with_provisioned(body, field | {"scheduledActions": [*others, action]})


def without_schedule(body: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """The spec after DeleteScheduledAction; None when there is no such action."""
    field = provisioned(body)
    kept = [each for each in field.get("scheduledActions") or [] if each["name"] != name]
    if len(kept) == len(field.get("scheduledActions") or []):
        return None
    return with_provisioned(body, field | {"scheduledActions": kept})


def described_target(body: Mapping[str, Any], resource: str, arn: str) -> dict[str, Any]:
    """ScalableTarget."""
    found = registration(body) or {}
    state = provisioned(body).get("suspendedState") or found.get("suspendedState") or {}
    return {
        **_identity(resource),
        "MinCapacity": found["minCapacity"],
        "MaxCapacity": found["maxCapacity"],
        "RoleARN": f"arn:aws:iam::{arn.split(':')[4]}:role/kubelambda",
        "CreationTime": found.get("created", created(body)),
        "SuspendedState": {theirs: bool(state.get(ours)) for theirs, ours in _SUSPENDED.items()},
        "ScalableTargetARN": arn,
    }


def described_policy(body: Mapping[str, Any], resource: str, arn: str) -> dict[str, Any] | None:
    """ScalingPolicy; None when there is none."""
    tracking = provisioned(body).get("targetTracking")
    if tracking is None:
        return None
    found = registration(body) or {}
    configuration = {theirs: tracking[ours] for theirs, ours in _TRACKING.items() if ours in tracking}
    return {
        **_identity(resource),
        "PolicyARN": arn,
        "PolicyName": found.get("policy", "targetTracking"),
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            **configuration,
            "PredefinedMetricSpecification": {"PredefinedMetricType": METRIC},
        },
        "CreationTime": found.get("policyCreated", created(body)),
    }


def described_action(body: Mapping[str, Any], action: Mapping[str, Any], resource: str, arn: str) -> dict[str, Any]:
    """ScheduledAction."""
    bounds = {"MinCapacity": action.get("minCapacity"), "MaxCapacity": action.get("maxCapacity")}
    return {
        **_identity(resource),
        "ScheduledActionName": action["name"],
        "ScheduledActionARN": arn,
        "Schedule": action["schedule"],
        "Timezone": action.get("timezone", "UTC"),
        "ScalableTargetAction": {name: value for name, value in bounds.items() if value is not None},
        "CreationTime": created(body),
    }


def created(body: Mapping[str, Any]) -> float:
    """When the Alias was made, in seconds since the epoch."""
    return seconds(body["metadata"]["creationTimestamp"])


def seconds(rfc3339: str) -> float:
    """A time of Kubernetes in seconds since the epoch."""
    return float(calendar.timegm(time.strptime(rfc3339[:19], "%Y-%m-%dT%H:%M:%S")))


def _identity(resource: str) -> dict[str, str]:
    return {"ServiceNamespace": NAMESPACE, "ResourceId": resource, "ScalableDimension": DIMENSION}
