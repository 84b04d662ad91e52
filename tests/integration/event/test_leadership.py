"""Of processes that share a queue each accepts events and one tries them; another one goes on when it is gone."""

import asyncio
import time
from pathlib import Path
from typing import Any, cast

import pytest
from tests.eventually import eventually
from tests.integration.event.nats_servers import NatsServers

from kubelambda.core.event.delivery import AttemptOutcome, accepted
from kubelambda.core.event.destination_record import LastAttempt
from kubelambda.events.attempt import AttemptResult, Attempts
from kubelambda.events.destinations import Destinations
from kubelambda.events.event_ends import EventEnds
from kubelambda.events.event_metrics import EventMetrics
from kubelambda.events.event_worker import EventWorker
from kubelambda.events.function_policies import EventPolicy, FunctionPolicies
from kubelambda.events.leadership import Leadership
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.lease import LeaderLease
from kubelambda.store.event import jetstream_queue
from kubelambda.store.event.event_queue import InvokedFunction, QueuedEvent
from kubelambda.store.event.jetstream_queue import JetStreamQueue

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Function:
    """Takes every event, and says nothing of how."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    async def attempt(self, event: QueuedEvent) -> AttemptResult:
        """One run."""
        self.ran.append(event.request_id)
        return AttemptResult(AttemptOutcome.SUCCEEDED, LastAttempt(200, "$LATEST", None, b"{}"))

    async def of(self, *_: str) -> EventPolicy:
        """The defaults."""
        return EventPolicy()

    async def synced(self) -> None:
        """At once."""

    async def run(self) -> None:
        """Nothing changes."""
        await asyncio.sleep(3600)


def process(client: KubeClient, namespace: str, queue: JetStreamQueue, function: Function, name: str) -> Leadership:
    """A process of the event queue, as far as it tries events."""
    metrics, policies = EventMetrics(), cast("FunctionPolicies", function)
    ends = EventEnds(queue, cast("Destinations", None), metrics)
    found = Leadership(EventWorker(queue, cast("Attempts", function), policies, ends, metrics), policies, queue)
    found.lease = LeaderLease(client, namespace=namespace, name="events", identity=name)
    return found


def event(number: int) -> QueuedEvent:
    """A new event."""
    headers = {"x-kubelambda-arn": "arn:aws:lambda:us-east-1:000000000000:function:f"}
    return QueuedEvent(InvokedFunction("shop", "f", ""), f"id-{number}", b"{}", accepted(time.time()), headers)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is slow answers all the same."""
    monkeypatch.setattr(jetstream_queue, "_CALL_S", 20.0)


async def test_one_tries_what_all_accept_and_another_goes_on_after_it(
    client: KubeClient, namespace: str, tmp_path: Path
) -> None:
    """No event is lost between the two, and none runs again that had ended."""
    servers = NatsServers(tmp_path)
    servers.start()
    first, second = Function(), Function()
    running: list[asyncio.Task[Any]] = []
    try:
        async with (
            JetStreamQueue(servers.urls, max_bytes=10**8) as one,
            JetStreamQueue(servers.urls, max_bytes=10**8) as two,
        ):
            leaders = [process(client, namespace, one, first, "a"), process(client, namespace, two, second, "b")]
            running.append(asyncio.create_task(leaders[0].run()))
            await eventually(leaders[0].leads)
            running.append(asyncio.create_task(leaders[1].run()))
            accepted_by_both = [await (one, two)[number % 2].append(event(number)) for number in range(10)]

            async def ended() -> bool:
                """What ran is written down as finished a moment after it."""
                return not await two.read(accepted_by_both)

            await eventually(ended)
            assert len(first.ran) == 10
            running[0].cancel()
            await asyncio.gather(running[0], return_exceptions=True)
            for number in range(10, 15):
                await two.append(event(number))
            assert not leaders[1].leads()
            await eventually(lambda: len(second.ran) == 5)
        assert sorted(first.ran + second.ran) == sorted(f"id-{number}" for number in range(15))
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        servers.stop()
