"""Application Auto Scaling at the same address: targets, policies and schedules of an alias (§8)."""

import json
from typing import Any

import pytest
from tests.integration.control_api.control_api import Answered, Api
from tests.integration.functions import Functions

from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import ALIASES

TARGET = {
    "ServiceNamespace": "lambda",
    "ResourceId": "function:hello:live",
    "ScalableDimension": "lambda:function:ProvisionedConcurrency",
}
TRACKING = {
    "TargetValue": 0.7,
    "PredefinedMetricSpecification": {"PredefinedMetricType": "LambdaProvisionedConcurrencyUtilization"},
}


def scale(api: Api, operation: str, body: dict[str, Any]) -> Answered:
    """One call of Application Auto Scaling, as the SDKs send it."""
    headers = {"X-Amz-Target": f"AnyScaleFrontendService.{operation}", "Content-Type": "application/x-amz-json-1.1"}
    found = api.call("POST", "/", body, **headers)
    assert found.headers["content-type"] == "application/x-amz-json-1.1"
    return Answered(found.status, found.headers, json.loads(found.body))


@pytest.fixture
async def alias(api: Api, client: KubeClient, functions: Functions) -> str:
    """An alias of a version."""
    functions.apply("hello")
    manifest = {
        "apiVersion": "kubelambda.dev/v1alpha1",
        "kind": "Alias",
        "metadata": {"name": "hello-live", "namespace": api.namespace},
        "spec": {"functionName": "hello", "name": "live", "functionVersion": "1"},
    }
    await client.create(ALIASES, manifest, api.namespace)
    return "hello-live"


async def spec(client: KubeClient, api: Api, alias: str) -> dict[str, Any]:
    """What the alias asks for."""
    body = await client.get(ALIASES, alias, api.namespace)
    return dict(body["spec"].get("provisionedConcurrency") or {})


async def test_a_target_and_its_policy_are_the_aliass_target_tracking(api: Api, client: KubeClient, alias: str) -> None:
    """Register, put, change the bounds, delete: the manifest says the same as the descriptions."""
    registered = scale(api, "RegisterScalableTarget", TARGET | {"MinCapacity": 1, "MaxCapacity": 5})
    assert registered.status == 200
    assert registered.body["ScalableTargetARN"].startswith("arn:aws:application-autoscaling:us-east-1:")
    assert await spec(client, api, alias) == {}
    policy = {
        "PolicyName": "p",
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": TRACKING,
    }
    put = scale(api, "PutScalingPolicy", TARGET | policy)
    assert [alarm["AlarmName"].split("-Alarm")[0] for alarm in put.body["Alarms"]] == [
        "TargetTracking-function:hello:live"
    ] * 2
    tracking = (await spec(client, api, alias))["targetTracking"]
    assert (tracking["targetValue"], tracking["minCapacity"], tracking["maxCapacity"]) == (0.7, 1, 5)
    assert scale(api, "RegisterScalableTarget", TARGET | {"MaxCapacity": 9}).status == 200
    assert (await spec(client, api, alias))["targetTracking"]["maxCapacity"] == 9
    (target,) = scale(api, "DescribeScalableTargets", {"ServiceNamespace": "lambda"}).body["ScalableTargets"]
    assert (target["ResourceId"], target["MinCapacity"], target["MaxCapacity"]) == ("function:hello:live", 1, 9)
    (described,) = scale(api, "DescribeScalingPolicies", {"ServiceNamespace": "lambda"}).body["ScalingPolicies"]
    assert (described["PolicyName"], described["PolicyARN"]) == ("p", put.body["PolicyARN"])
    assert described["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 0.7
    assert scale(api, "DeleteScalingPolicy", TARGET | {"PolicyName": "p"}).status == 200
    assert "targetTracking" not in await spec(client, api, alias)
    assert scale(api, "DeregisterScalableTarget", TARGET).status == 200
    assert scale(api, "DescribeScalableTargets", {"ServiceNamespace": "lambda"}).body == {"ScalableTargets": []}


async def test_scheduled_actions(api: Api, client: KubeClient, alias: str) -> None:
    """Put twice, describe, delete."""
    scale(api, "RegisterScalableTarget", TARGET | {"MinCapacity": 1, "MaxCapacity": 5})
    action = {"ScheduledActionName": "morning", "Schedule": "cron(0 8 ? * MON-FRI *)"}
    put = TARGET | action | {"Timezone": "Europe/Berlin", "ScalableTargetAction": {"MinCapacity": 3}}
    assert scale(api, "PutScheduledAction", put).status == 200
    more = TARGET | {"ScheduledActionName": "morning", "ScalableTargetAction": {"MinCapacity": 4}}
    assert scale(api, "PutScheduledAction", more).status == 200
    (found,) = scale(api, "DescribeScheduledActions", {"ServiceNamespace": "lambda"}).body["ScheduledActions"]
    assert (found["Schedule"], found["Timezone"]) == (action["Schedule"], "Europe/Berlin")
    assert found["ScalableTargetAction"] == {"MinCapacity": 4}
    assert [each["name"] for each in (await spec(client, api, alias))["scheduledActions"]] == ["morning"]
    delete = TARGET | {"ScheduledActionName": "morning"}
    assert scale(api, "DeleteScheduledAction", delete).status == 200
    again = scale(api, "DeleteScheduledAction", delete)
    assert (again.status, again.error) == (400, "ObjectNotFoundException")


@pytest.mark.parametrize(
    ("operation", "body", "error", "text"),
    [
        ("RegisterScalableTarget", TARGET | {"MinCapacity": 1}, "ValidationException", "are required"),
        (
            "RegisterScalableTarget",
            TARGET | {"ResourceId": "function:hello:absent", "MinCapacity": 1, "MaxCapacity": 2},
            "ValidationException",
            "Alias not found",
        ),
        (
            "RegisterScalableTarget",
            TARGET | {"ResourceId": "function:hello:7", "MinCapacity": 1, "MaxCapacity": 2},
            "ValidationException",
            "Unsupported resource",
        ),
        ("RegisterScalableTarget", {"ServiceNamespace": "x"}, "ValidationException", "3 validation errors detected: "),
        (
            "PutScalingPolicy",
            TARGET | {"PolicyName": "p", "TargetTrackingScalingPolicyConfiguration": TRACKING},
            "ObjectNotFoundException",
            "No scalable target registered for service namespace: lambda, resource ID: function:hello:live",
        ),
        ("PutScalingPolicy", TARGET | {"PolicyName": "p", "PolicyType": "StepScaling"}, "ValidationException", "only"),
        ("GetPredictiveScalingForecast", {}, "NotServedException", "not served"),
        ("Nothing", {}, "UnknownOperationException", "no operation"),
    ],
)
@pytest.mark.usefixtures("alias")
def test_refusals(api: Api, operation: str, body: dict[str, Any], error: str, text: str) -> None:
    """Types of the service, in the form of json 1.1."""
    found = scale(api, operation, body)
    assert found.status in (400, 404, 501)
    assert found.body["__type"] == error
    assert text in found.text


def test_a_target_value_out_of_range_is_refused(api: Api, alias: str) -> None:
    """0.1 to 0.9, as the kind says (§8.2)."""
    scale(api, "RegisterScalableTarget", TARGET | {"MinCapacity": 1, "MaxCapacity": 5})
    policy = {"PolicyName": "p", "TargetTrackingScalingPolicyConfiguration": TRACKING | {"TargetValue": 1.5}}
    found = scale(api, "PutScalingPolicy", TARGET | policy)
    assert (found.status, found.body["__type"]) == (400, "ValidationException")
