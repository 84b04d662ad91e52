"""Target tracking as the operator's leader runs it: the reader that the settings ask for, and the loop."""

import asyncio
import logging

from prometheus_client import CollectorRegistry

from kubelambda.api.settings import Settings
from kubelambda.autoscaler.alias_scaler import AliasScaler
from kubelambda.autoscaler.prometheus_reader import PrometheusReader
from kubelambda.autoscaler.scaling_metrics import ScalingMetrics
from kubelambda.autoscaler.scrape_reader import ScrapeReader
from kubelambda.core.scaling.target_tracking import Alarms
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import ENDPOINT_SLICES

METRICS_PORT = 9090

log = logging.getLogger(__name__)


async def run(client: KubeClient, settings: Settings, *, service: str, registry: CollectorRegistry) -> None:
    """Scales until cancelled. `service` is the frontends' Service, whose endpoints are scraped without a Prometheus.

    Its own metrics go to `registry`.
    """
    wanted = settings.autoscaling
    metrics = ScalingMetrics(registry)
    alarms = Alarms(wanted.period_seconds, wanted.scale_out_datapoints, wanted.scale_in_datapoints)
    if wanted.prometheus is not None:
        log.info("utilization is read from %s", wanted.prometheus.url)
        async with PrometheusReader(wanted.prometheus, alarms) as prometheus:
            await AliasScaler(client, prometheus, alarms, metrics).run()
        return

    async def addresses() -> list[str]:
        return await _frontends(client, settings.system_namespace, service)

    scraping = ScrapeReader(addresses, alarms)
    async with asyncio.TaskGroup() as group:
        group.create_task(scraping.run())
        group.create_task(AliasScaler(client, scraping, alarms, metrics).run())


async def _frontends(client: KubeClient, namespace: str, service: str) -> list[str]:
    """`host:port` of the metrics of every ready frontend. Raises `KubeError`."""
    found = await client.list(ENDPOINT_SLICES, namespace, label_selector=f"kubernetes.io/service-name={service}")
    return sorted(
        f"[{address}]:{METRICS_PORT}" if ":" in address else f"{address}:{METRICS_PORT}"
        for body in found["items"]
        for endpoint in body.get("endpoints") or []
        if (endpoint.get("conditions") or {}).get("ready")
        for address in endpoint["addresses"]
    )
