"""Operations of Application Auto Scaling, over the same Alias objects that people write (§8)."""

import hashlib
import re
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

from kubelambda.awsapi.api_error import ApiError
from kubelambda.awsapi.call import Answer, Call, Handler, Services
from kubelambda.awsapi.function.function_lookup import FunctionName, find_object
from kubelambda.awsapi.object_writes import write_spec
from kubelambda.awsapi.scaling import scalable_alias
from kubelambda.awsapi.scaling.scalable_alias import DIMENSION, NAMESPACE
from kubelambda.awsapi.version.version_lookup import find_alias
from kubelambda.core.function.object_name import function_name_of
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import ALIASES, FUNCTIONS

_RESOURCE = re.compile(r"function:(?P<name>[a-zA-Z0-9-_]+):(?P<alias>[a-zA-Z0-9-_]+)")
_PAGE: Final = 250

type Changed = tuple[Mapping[str, Any], str | None]
"""A spec and the annotation beside it."""


async def register_scalable_target(services: Services, call: Call) -> Answer:
    """Bounds for an alias; without a policy or a schedule nothing scales yet."""

    def change(body: Object) -> Changed:
        try:
            return scalable_alias.registered(body, call.parameters, time.time())
        except KeyError as error:
            raise _invalid("MinCapacity and MaxCapacity are required when a scalable target is registered") from error

    name = await _write(services, call, change)
    return Answer({"ScalableTargetARN": _arn(services, call, "scalable-target")}, resource=name.qualified_arn)


async def deregister_scalable_target(services: Services, call: Call) -> Answer:
    """No bounds, no policy, no schedule; the environments that there are stay asked for."""

    def change(body: Object) -> Changed:
        _require_target(call, body)
        spec, _ = scalable_alias.without_policy(body)
        field = {**(spec.get("provisionedConcurrency") or {})}
        field.pop("scheduledActions", None)
        return scalable_alias.with_provisioned(body, field), None

    name = await _write(services, call, change)
    return Answer({}, resource=name.qualified_arn)


async def put_scaling_policy(services: Services, call: Call) -> Answer:
    """Target tracking of the utilization, one policy an alias."""
    given = call.parameters.get("TargetTrackingScalingPolicyConfiguration")
    if call.parameters.get("PolicyType", "TargetTrackingScaling") != "TargetTrackingScaling" or given is None:
        raise _invalid("The only policy type for provisioned concurrency is TargetTrackingScaling")
    metric = (given.get("PredefinedMetricSpecification") or {}).get("PredefinedMetricType")
    if metric != scalable_alias.METRIC:
        raise _invalid(f"The metric of provisioned concurrency is {scalable_alias.METRIC}")

    def change(body: Object) -> Changed:
        policy = (_require_target(call, body)).get("policy", call.parameters["PolicyName"])
        if policy != call.parameters["PolicyName"]:
            raise ApiError("LimitExceededException", f"The alias has a policy: {policy}; there can be one.")
        return scalable_alias.with_policy(body, call.parameters, time.time())

    name = await _write(services, call, change)
    arn = _arn(services, call, f"policy/{call.parameters['PolicyName']}")
    return Answer({"PolicyARN": arn, "Alarms": _alarms(services, call)}, resource=name.qualified_arn)


async def delete_scaling_policy(services: Services, call: Call) -> Answer:
    """The capacity stays what it is."""

    def change(body: Object) -> Changed:
        if _require_target(call, body).get("policy", "targetTracking") != call.parameters["PolicyName"]:
            raise ApiError("ObjectNotFoundException", f"No scaling policy found for {_asked(call)}")
        return scalable_alias.without_policy(body)

    name = await _write(services, call, change)
    return Answer({}, resource=name.qualified_arn)


async def put_scheduled_action(services: Services, call: Call) -> Answer:
    """Bounds that change at certain times."""

    def change(body: Object) -> Changed:
        _require_target(call, body)
        return scalable_alias.with_schedule(body, call.parameters), _annotation(body)

    name = await _write(services, call, change)
    return Answer({}, resource=name.qualified_arn)


async def delete_scheduled_action(services: Services, call: Call) -> Answer:
    """One of them less."""

    def change(body: Object) -> Changed:
        spec = scalable_alias.without_schedule(body, call.parameters["ScheduledActionName"])
        if spec is None:
            raise ApiError("ObjectNotFoundException", f"No scheduled action found for {_asked(call)}")
        return spec, _annotation(body)

    name = await _write(services, call, change)
    return Answer({}, resource=name.qualified_arn)


async def describe_scalable_targets(services: Services, call: Call) -> Answer:
    """Every alias with bounds, or those that are asked for."""
    wanted = call.parameters.get("ResourceIds")
    found = [
        scalable_alias.described_target(body, resource, _arn(services, call, "scalable-target", resource))
        async for body, resource in _scalable(services, call)
        if not wanted or resource in wanted
    ]
    return Answer({"ScalableTargets": found})


async def describe_scaling_policies(services: Services, call: Call) -> Answer:
    """Every policy, or those of one alias."""
    wanted, names = call.parameters.get("ResourceId"), call.parameters.get("PolicyNames")
    found = []
    async for body, resource in _scalable(services, call):
        named = (scalable_alias.registration(body) or {}).get("policy", "targetTracking")
        arn = _arn(services, call, f"policy/{named}", resource)
        policy = scalable_alias.described_policy(body, resource, arn)
        if policy is not None and wanted in (None, resource) and (not names or named in names):
            found.append(policy)
    return Answer({"ScalingPolicies": found})


async def describe_scheduled_actions(services: Services, call: Call) -> Answer:
    """Every scheduled action, or those of one alias."""
    wanted, names = call.parameters.get("ResourceId"), call.parameters.get("ScheduledActionNames")
    found = [
        scalable_alias.described_action(
            body, action, resource, _arn(services, call, f"action/{action['name']}", resource)
        )
        async for body, resource in _scalable(services, call)
        if wanted in (None, resource)
        for action in scalable_alias.provisioned(body).get("scheduledActions") or []
        if not names or action["name"] in names
    ]
    return Answer({"ScheduledActions": found})


async def describe_scaling_activities(services: Services, call: Call) -> Answer:
    """The last decision for each alias (§8.9)."""
    wanted = call.parameters.get("ResourceId")
    found = []
    async for body, resource in _scalable(services, call):
        last = (body.get("status") or {}).get("lastScalingActivity")
        if last is not None and wanted in (None, resource):
            found.append(_activity(last, resource))
    return Answer({"ScalingActivities": found})


async def list_tags_for_resource(services: Services, call: Call) -> Answer:  # noqa: ARG001 - none are kept
    """No scalable target has tags."""
    return Answer({"Tags": {}})


def _activity(last: Mapping[str, Any], resource: str) -> dict[str, Any]:
    when = scalable_alias.seconds(last["time"])
    return {
        "ActivityId": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{resource}/{last['time']}")),
        "ServiceNamespace": NAMESPACE,
        "ResourceId": resource,
        "ScalableDimension": DIMENSION,
        "Description": f"Setting desired concurrency to {last.get('toCapacity')}.",
        "Cause": last["cause"],
        "StartTime": when,
        "EndTime": when,
        "StatusCode": last["statusCode"],
    }


async def _write(services: Services, call: Call, change: Callable[[Object], Changed]) -> FunctionName:
    name = _named(services, call)

    async def read() -> Object:
        function = await find_object(services, name)
        alias = await find_alias(services, function, name.qualifier or "") if function is not None else None
        if alias is None:
            raise ApiError("ValidationException", f"Alias not found: {name.qualified_arn}")
        return alias

    def annotations(body: Object) -> Mapping[str, str | None]:
        return {scalable_alias.ANNOTATION: change(body)[1]}

    await write_spec(services, ALIASES, name.qualified_arn, read, lambda body: change(body)[0], annotate=annotations)
    return name


def _named(services: Services, call: Call) -> FunctionName:
    if call.parameters["ServiceNamespace"] != NAMESPACE or call.parameters["ScalableDimension"] != DIMENSION:
        raise _invalid("Unsupported service namespace, resource type or scalable dimension")
    match = _RESOURCE.fullmatch(call.parameters["ResourceId"])
    if match is None or match["alias"].isdecimal():
        raise _invalid("Unsupported resource: function:<name>:<alias> is what can be scaled here")
    return FunctionName(call.caller, services.settings.region, match["name"], match["alias"])


async def _scalable(services: Services, call: Call) -> AsyncIterator[tuple[Object, str]]:
    """Every alias of the account that is a scalable target, with its resource id."""
    if call.parameters["ServiceNamespace"] != NAMESPACE:
        return
    async for body in services.client.each(ALIASES, call.caller.namespace, first=_PAGE):
        if scalable_alias.registration(body) is not None:
            function = await services.client.get(FUNCTIONS, body["spec"]["functionName"], call.caller.namespace)
            yield body, f"function:{function_name_of(function)}:{body['spec']['name']}"


def _require_target(call: Call, body: Object) -> dict[str, Any]:
    found = scalable_alias.registration(body)
    if found is None:
        raise ApiError("ObjectNotFoundException", f"No scalable target registered for {_asked(call)}")
    return found


def _annotation(body: Object) -> str | None:
    return (body["metadata"].get("annotations") or {}).get(scalable_alias.ANNOTATION)


def _asked(call: Call) -> str:
    return (
        f"service namespace: {NAMESPACE}, resource ID: {call.parameters['ResourceId']}, scalable dimension: {DIMENSION}"
    )


def _arn(services: Services, call: Call, what: str, resource: str | None = None) -> str:
    about = resource or call.parameters["ResourceId"]
    digest = hashlib.sha256(f"{call.caller.id}/{about}".encode()).hexdigest()[:32]
    region, account = services.settings.region, call.caller.id
    return f"arn:aws:application-autoscaling:{region}:{account}:{what}/{digest}"


def _alarms(services: Services, call: Call) -> list[dict[str, str]]:
    """Names of the alarms that AWS would make; here the scaler reads the utilization itself."""
    resource = call.parameters["ResourceId"]
    region, account = services.settings.region, call.caller.id
    names = [
        f"TargetTracking-{resource}-Alarm{end}-{uuid.uuid5(uuid.NAMESPACE_URL, f'{account}/{resource}/{end}')}"
        for end in ("High", "Low")
    ]
    return [{"AlarmName": name, "AlarmARN": f"arn:aws:cloudwatch:{region}:{account}:alarm:{name}"} for name in names]


def _invalid(text: str) -> ApiError:
    return ApiError("ValidationException", text)


OPERATIONS: Final[Mapping[str, Handler]] = {
    "RegisterScalableTarget": register_scalable_target,
    "DeregisterScalableTarget": deregister_scalable_target,
    "DescribeScalableTargets": describe_scalable_targets,
    "PutScalingPolicy": put_scaling_policy,
    "DeleteScalingPolicy": delete_scaling_policy,
    "DescribeScalingPolicies": describe_scaling_policies,
    "PutScheduledAction": put_scheduled_action,
    "DeleteScheduledAction": delete_scheduled_action,
    "DescribeScheduledActions": describe_scheduled_actions,
    "DescribeScalingActivities": describe_scaling_activities,
    "ListTagsForResource": list_tags_for_resource,
}
