"""Liveness, readiness and metrics of the operator, meaning what they say.

Alive: the event loop turns, some key is finished while keys are due, and the watches deliver what lists show. How
long a key waits is no matter of life: behind slow servers it may be long, and a restart would only make it longer.
Ready: the API server answers, and this replica could lead; a leader has also read the cluster.
"""

import asyncio
import time
from collections import Counter as Counted
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from kubelambda.controllers.machinery.watch_state import WatchState
from kubelambda.controllers.machinery.work_queue import WorkQueue
from kubelambda.wire.background_tasks import BackgroundTasks
from kubelambda.wire.connections import Bounds, Connections
from kubelambda.wire.plain_text import respond_text
from kubelambda.wire.protocol import ServerProtocol
from kubelambda.wire.request import Request

PORT = 8081
_BEAT_S = 1.0
_LAG_MAX_S = 10.0
_STUCK_MAX_S = 300.0
"""Longer than any one reconciliation takes, downloads included."""
_CONTACT_MAX_S = 60.0
_CONNECTIONS = 64


@dataclass(slots=True)
class Vitals:
    """Where to look. The operator replaces these as its parts come up."""

    queues: Mapping[str, WorkQueue] = field(default_factory=dict)
    lease_age: Callable[[], float | None] = lambda: None
    """Seconds since the lease was renewed; None while another one leads."""
    contact: Callable[[], float] = time.monotonic
    """When the API server last answered."""
    checked: Callable[[], bool] = lambda: True
    """Whether it is known that this replica could lead."""
    watching: WatchState = field(default_factory=WatchState)
    """Whether changes arrive, whether the cluster was read, and what cannot be read."""


class Health:
    """What the operator says of itself."""

    def __init__(self, vitals: Vitals) -> None:
        self._vitals = vitals
        self._tasks = BackgroundTasks()
        self._beat = time.monotonic()
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._reconciles = Counter(
            "kubelambda_reconcile_total", "Reconciliations", ["kind", "outcome"], registry=registry
        )
        self._durations = Histogram(
            "kubelambda_reconcile_duration_seconds",
            "Time of a reconciliation",
            ["kind"],
            buckets=(0.005, 0.02, 0.1, 0.5, 2, 10, 60),
            registry=registry,
        )
        self._depth = Gauge("kubelambda_queue_depth", "Keys that wait", ["queue"], registry=registry)
        self._age = Gauge("kubelambda_queue_age_seconds", "Wait of the oldest due key", ["queue"], registry=registry)
        self._unreadable = Gauge(
            "kubelambda_unreadable_objects", "Objects that cannot be read and are skipped", ["kind"], registry=registry
        )
        self._lag = Gauge("kubelambda_loop_lag_seconds", "How late the event loop is", registry=registry)
        self._leader = Gauge("kubelambda_leader", "Whether this replica leads", registry=registry)
        self._renewed = Gauge("kubelambda_lease_age_seconds", "Time since the lease was renewed", registry=registry)

    def observe(self, kind: str, outcome: str, seconds: float) -> None:
        """One reconciliation."""
        self._reconciles.labels(kind, outcome).inc()
        self._durations.labels(kind).observe(seconds)

    async def serve(self, port: int) -> None:
        """Serves until cancelled."""
        loop = asyncio.get_running_loop()
        connections = Connections(Bounds(connections=_CONNECTIONS), loop.call_later)
        server = await loop.create_server(
            lambda: ServerProtocol(self._answer, max_body=0, admit=_admit, connections=connections),
            "0.0.0.0",  # noqa: S104 - probes come from the node
            port,
        )
        try:
            while True:
                self._beat = time.monotonic()
                await asyncio.sleep(_BEAT_S)
        finally:
            server.close()
            for connection in connections:
                connection.close()

    def _answer(self, request: Request) -> None:
        match request.target.partition(b"?")[0]:
            case b"/healthz":
                _tell(request, self._illness())
            case b"/readyz":
                _tell(request, self._unreadiness())
            case b"/metrics":
                self._tasks.answer(request, self._metrics(request))
            case _:
                request.respond(404)

    def _illness(self) -> str | None:
        if self._loop_lag() > _LAG_MAX_S:
            return f"the event loop is {self._loop_lag():.0f} s late"
        for name, queue in self._vitals.queues.items():
            stuck = queue.stuck_for()
            if stuck > _STUCK_MAX_S:
                return f"keys wait in the queue {name}, and none was finished for {stuck:.0f} s"
        if self._vitals.watching.deaf:
            return f"changes of {', '.join(sorted(self._vitals.watching.deaf))} are listed that no watch delivered"
        return None

    def _unreadiness(self) -> str | None:
        silence = time.monotonic() - self._vitals.contact()
        if silence > _CONTACT_MAX_S:
            return f"the API server has not answered for {silence:.0f} s"
        if not self._vitals.checked():
            return "what a leader needs is being imported"
        if self._vitals.lease_age() is not None and not self._vitals.watching.loaded:
            return "the cluster is being read"
        return self._illness()

    def _loop_lag(self) -> float:
        return max(0.0, time.monotonic() - self._beat - _BEAT_S)

    async def _metrics(self, request: Request) -> None:
        age = self._vitals.lease_age()
        self._leader.set(age is not None)
        self._renewed.set(age or 0.0)
        self._lag.set(self._loop_lag())
        for name, queue in self._vitals.queues.items():
            self._depth.labels(name).set(len(queue))
            self._age.labels(name).set(queue.oldest_age())
        self._unreadable.clear()
        for kind, count in Counted(watch.resource.kind for watch, _ in self._vitals.watching.unreadable).items():
            self._unreadable.labels(kind).set(count)
        body = await asyncio.to_thread(generate_latest, self.registry)
        request.respond(200, body, b"Content-Type: text/plain; version=0.0.4\r\n")


def _admit(request: Request) -> int | None:
    """Nobody who asks has anything to say: whoever sends slowly would take the place of a probe."""
    if request.size or b"transfer-encoding" in request.headers:
        request.respond(413)
        return None
    return 0


def _tell(request: Request, trouble: str | None) -> None:
    """200, or 503 with what is wrong."""
    respond_text(request, 503 if trouble else 200, trouble or "ok")
