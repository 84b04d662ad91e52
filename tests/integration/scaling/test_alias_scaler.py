"""The scaler on a real API server: what it writes, what it leaves to others, and what one bad alias does not stop."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry
from tests.integration.functions import listed

from kubelambda.autoscaler.alias_scaler import AliasScaler
from kubelambda.autoscaler.scaling_metrics import ScalingMetrics
from kubelambda.autoscaler.utilization import ScalableTarget, Utilization, UtilizationUnavailable
from kubelambda.core.scaling.target_tracking import Alarms, Sample
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import ALIASES, EVENTS

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
TRACKING = {"targetValue": 0.5, "minCapacity": 1, "maxCapacity": 10}


class Readings:
    """Stands in for a metrics source, whose readers have tests of their own."""

    def __init__(self) -> None:
        self.utilization: dict[ScalableTarget, float] = {}
        self.failure: str | None = None

    async def read(self, now: float) -> Mapping[ScalableTarget, Utilization]:
        """The same utilization in each of the last fifteen minutes."""
        if self.failure:
            raise UtilizationUnavailable(self.failure)
        return {
            target: Utilization([Sample(now - 60 * (14 - minute), value) for minute in range(15)], 4)
            for target, value in self.utilization.items()
        }


async def make_alias(client: KubeClient, namespace: str, name: str, provisioned: Object) -> None:
    """An alias of the function `fn`."""
    spec = {"functionName": "fn", "name": name, "functionVersion": "1", "provisionedConcurrency": provisioned}
    manifest = {
        "apiVersion": ALIASES.api_version,
        "kind": "Alias",
        "metadata": {"name": f"fn-{name}", "namespace": namespace},
        "spec": spec,
    }
    await client.create(ALIASES, manifest, namespace)


async def status(client: KubeClient, namespace: str, name: str) -> Any:
    """The status of an alias."""
    return (await client.get(ALIASES, f"fn-{name}", namespace)).get("status", {})


async def test_the_capacity_follows_the_utilization_and_says_why(client: KubeClient, namespace: str) -> None:
    """In the status, as an Event, and once: a second evaluation with nothing new writes nothing."""
    await make_alias(client, namespace, "live", {"provisionedConcurrentExecutions": 4, "targetTracking": TRACKING})
    readings = Readings()
    readings.utilization[ScalableTarget(namespace, "fn", "live")] = 1.0
    scaler = AliasScaler(client, readings, Alarms(), ScalingMetrics(CollectorRegistry()))
    await scaler.evaluate_all(NOW)
    found = await status(client, namespace, "live")
    assert found["scaling"]["capacity"] == 8
    assert found["lastScalingActivity"]["cause"].startswith("from 4 to 8: utilization 1.00")
    assert [(c["type"], c["status"]) for c in found["conditions"]] == [("ScalingActive", "True")]
    events = await listed(client, EVENTS, namespace)
    assert [event["note"] for event in events if event["reason"] == "Scaled"] == [found["lastScalingActivity"]["cause"]]
    readings.utilization.clear()
    before = await client.get(ALIASES, "fn-live", namespace)
    await scaler.evaluate_all(NOW + timedelta(minutes=1))
    await scaler.evaluate_all(NOW + timedelta(minutes=2))
    after = await client.get(ALIASES, "fn-live", namespace)
    assert after["status"]["scaling"] == before["status"]["scaling"]
    assert after["spec"] == before["spec"]


async def test_a_source_that_is_away_freezes_every_alias_and_one_sentence_says_so(
    client: KubeClient, namespace: str
) -> None:
    """And when it is back, scaling goes on."""
    await make_alias(client, namespace, "live", {"provisionedConcurrentExecutions": 4, "targetTracking": TRACKING})
    readings = Readings()
    scaler = AliasScaler(client, readings, Alarms(), ScalingMetrics(CollectorRegistry()))
    readings.failure = "Prometheus does not answer: refused"
    await scaler.evaluate_all(NOW)
    found = await status(client, namespace, "live")
    assert found["scaling"]["capacity"] == 4
    (condition,) = found["conditions"]
    assert (condition["status"], condition["reason"]) == ("False", "MetricsUnavailable")
    readings.failure = None
    readings.utilization[ScalableTarget(namespace, "fn", "live")] = 0.9
    await scaler.evaluate_all(NOW + timedelta(minutes=1))
    found = await status(client, namespace, "live")
    assert (found["scaling"]["capacity"], found["conditions"][0]["status"]) == (8, "True")


async def test_schedules_that_cannot_be_used_are_named_and_stop_nobody_else(client: KubeClient, namespace: str) -> None:
    """Never due, in no time zone, or before there are times: their aliases say so, and keep what they have."""
    never = {"name": "leap", "schedule": "cron(0 0 29 2 ? 2100)", "minCapacity": 9}
    nowhere = {
        "name": "morning",
        "schedule": "cron(0 8 ? * MON-FRI *)",
        "timezone": "Europe/Atlantis",
        "minCapacity": 9,
    }
    ancient = {"name": "dawn", "schedule": "at(0001-01-01T00:00:00)", "timezone": "Asia/Tokyo", "minCapacity": 9}
    for name, action in (("never", never), ("nowhere", nowhere), ("ancient", ancient)):
        await make_alias(client, namespace, name, {"provisionedConcurrentExecutions": 4, "scheduledActions": [action]})
    await make_alias(client, namespace, "other", {"provisionedConcurrentExecutions": 4, "targetTracking": TRACKING})
    readings = Readings()
    readings.utilization[ScalableTarget(namespace, "fn", "other")] = 1.0
    await AliasScaler(client, readings, Alarms(), ScalingMetrics(CollectorRegistry())).evaluate_all(NOW)
    for name, text in (
        ("never", "scheduled action leap: 'cron(0 0 29 2 ? 2100)' never fires"),
        ("nowhere", "scheduled action morning: there is no time zone 'Europe/Atlantis'"),
        ("ancient", "scheduled action dawn: at(0001-01-01T00:00:00) is no time"),
    ):
        found = await status(client, namespace, name)
        (condition,) = found["conditions"]
        assert (condition["status"], condition["reason"]) == ("False", "InvalidSchedule")
        assert condition["message"].startswith(text)
        assert found["scaling"]["capacity"] == 4
    notes = [event["note"] for event in await listed(client, EVENTS, namespace) if event["type"] == "Warning"]
    assert len(notes) == 3
    assert (await status(client, namespace, "other"))["scaling"]["capacity"] == 8


async def test_an_alias_that_cannot_be_evaluated_stops_nobody_else(client: KubeClient, namespace: str) -> None:
    """Whatever somebody wrote into its status."""
    for name in ("broken", "other"):
        await make_alias(client, namespace, name, {"provisionedConcurrentExecutions": 4, "targetTracking": TRACKING})
    garbage = {"status": {"scaling": {"capacity": 4, "specified": 4, "scaledOutAt": "yesterday"}}}
    await client.patch(ALIASES, "fn-broken", garbage, namespace, subresource="status")
    readings = Readings()
    readings.utilization = {ScalableTarget(namespace, "fn", name): 1.0 for name in ("broken", "other")}
    await AliasScaler(client, readings, Alarms(), ScalingMetrics(CollectorRegistry())).evaluate_all(NOW)
    assert (await status(client, namespace, "broken"))["scaling"]["capacity"] == 4
    assert (await status(client, namespace, "other"))["scaling"]["capacity"] == 8


async def test_it_writes_beside_the_operator_and_leaves_with_the_target(client: KubeClient, namespace: str) -> None:
    """The operator's conditions stay; what the scaler wrote goes when nothing scales any more."""
    await make_alias(client, namespace, "live", {"targetTracking": TRACKING})
    scaler = AliasScaler(client, Readings(), Alarms(), ScalingMetrics(CollectorRegistry()))
    ready = {"type": "Ready", "status": "True", "reason": "Routed", "lastTransitionTime": "2026-03-02T12:00:00Z"}
    manifest = {"metadata": {"name": "fn-live", "namespace": namespace}, "status": {"conditions": [ready]}}
    await client.apply(ALIASES, manifest, manager="kubelambda-operator", subresource="status")
    await scaler.evaluate_all(NOW)
    found = await status(client, namespace, "live")
    assert {c["type"] for c in found["conditions"]} == {"Ready", "ScalingActive"}
    spec = {"provisionedConcurrency": {"provisionedConcurrentExecutions": 2, "targetTracking": None}}
    await client.patch(ALIASES, "fn-live", {"spec": spec}, namespace)
    await scaler.evaluate_all(NOW + timedelta(minutes=1))
    found = await status(client, namespace, "live")
    assert [c["type"] for c in found["conditions"]] == ["Ready"]
    assert "scaling" not in found


async def test_frozen_scaling_and_failed_provisioning_are_series_until_their_alias_goes(
    client: KubeClient, namespace: str
) -> None:
    """What the alerts look at."""
    await make_alias(client, namespace, "live", {"targetTracking": TRACKING})
    await make_alias(client, namespace, "fixed", {"provisionedConcurrentExecutions": 2})
    units = {"requested": 2, "allocated": 2, "available": 0, "status": "FAILED", "statusReason": "no luck"}
    status = {"status": {"provisionedConcurrency": units}}
    await client.patch(ALIASES, "fn-fixed", status, namespace, subresource="status")
    readings, registry = Readings(), CollectorRegistry()
    readings.failure = "Prometheus does not answer: refused"
    scaler = AliasScaler(client, readings, Alarms(), ScalingMetrics(registry))

    def value(name: str, qualifier: str) -> float | None:
        labels = {"namespace": namespace, "function": "fn", "qualifier": qualifier}
        return registry.get_sample_value(f"kubelambda_{name}", labels)

    await scaler.evaluate_all(NOW)
    assert value("scaling_active", "live") == 0
    assert value("scaling_active", "fixed") is None
    assert value("provisioned_concurrency_failed", "fixed") == 1
    assert value("provisioned_concurrency_requested", "fixed") == 2
    readings.failure = None
    await scaler.evaluate_all(NOW + timedelta(minutes=1))
    assert value("scaling_active", "live") == 1
    for name in ("fn-live", "fn-fixed"):
        await client.delete(ALIASES, name, namespace)
    await scaler.evaluate_all(NOW + timedelta(minutes=2))
    assert value("scaling_active", "live") is None
    assert value("provisioned_concurrency_failed", "fixed") is None
