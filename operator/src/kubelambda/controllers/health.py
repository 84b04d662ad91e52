"""Liveness, readiness and metrics of the operator, meaning what they say (KOPF §11)."""

import asyncio
import time
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

PORT = 8081
_LAG_MAX_S = 10.0
_QUEUE_AGE_MAX_S = 300.0


class Health:
    """What the operator says of itself."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.reconciles = Counter(
            "kubelambda_reconcile_total", "Reconciliations", ["kind", "outcome"], registry=self.registry
        )
        self.durations = Histogram(
            "kubelambda_reconcile_duration_seconds",
            "Time of a reconciliation",
            ["kind"],
            buckets=(0.005, 0.02, 0.1, 0.5, 2, 10),
            registry=self.registry,
        )
        self.depth = Gauge("kubelambda_queue_depth", "Keys that wait", registry=self.registry)
        self.age = Gauge("kubelambda_queue_age_seconds", "Wait of the oldest due key", registry=self.registry)
        self.leading = Gauge("kubelambda_leader", "Whether this replica leads", registry=self.registry)
        self.queue_age: Callable[[], float] = lambda: 0.0
        self._beat = time.monotonic()

    def observe(self, kind: str, outcome: str, seconds: float) -> None:
        """One reconciliation."""
        self.reconciles.labels(kind, outcome).inc()
        self.durations.labels(kind).observe(seconds)

    async def serve(self, port: int) -> None:
        """Serves until cancelled."""
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._healthz)
        app.router.add_get("/metrics", self._metrics)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "0.0.0.0", port).start()  # noqa: S104 - probes come from the node
        while True:
            self._beat = time.monotonic()
            await asyncio.sleep(1)

    async def _healthz(self, _: web.Request) -> web.Response:
        lag = time.monotonic() - self._beat - 1
        if lag > _LAG_MAX_S:
            return web.Response(status=503, text=f"the event loop lags by {lag:.0f} s")
        if self.queue_age() > _QUEUE_AGE_MAX_S:
            return web.Response(status=503, text=f"a key has waited for {self.queue_age():.0f} s")
        return web.Response(text="ok")

    async def _metrics(self, _: web.Request) -> web.Response:
        self.age.set(self.queue_age())
        body = await asyncio.to_thread(generate_latest, self.registry)
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4"})
