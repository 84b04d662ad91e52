"""An event queue that runs in the test's process: the real engine, worker and HTTP, a stub of the frontends."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from aiohttp import web

from kubelambda.core.event.delivery import accepted
from kubelambda.core.event.destination import OutgoingRecord
from kubelambda.events.attempt import Attempts
from kubelambda.events.dead_letters import DeadLetters
from kubelambda.events.destinations import Destinations
from kubelambda.events.event_admin import EventAdmin
from kubelambda.events.event_ends import EventEnds
from kubelambda.events.event_metrics import EventMetrics
from kubelambda.events.event_worker import EventWorker
from kubelambda.events.function_policies import EventPolicy, FunctionPolicies
from kubelambda.kube.kube_client import KubeClient
from kubelambda.outbound.record_sender import DestinationFailed, RecordSender
from kubelambda.store.event.event_queue import EventQueue, InvokedFunction, QueuedEvent, WaitingEvent
from kubelambda.wire.connections import Bounds, Connections
from kubelambda.wire.protocol import ServerProtocol

ARN = "arn:aws:lambda:us-east-1:000000000000:function:"
KEY = b"k" * 32


class Policies:
    """What each function says of its events; nothing unless a test says so."""

    def __init__(self) -> None:
        self.known: dict[str, EventPolicy | None] = {}

    async def of(self, _namespace: str, function: str, _qualifier: str = "") -> EventPolicy | None:
        """A function's."""
        return self.known.get(function, EventPolicy())

    async def synced(self) -> None:
        """At once."""


class Sender:
    """Keeps records; refuses as long as a test wants that."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, OutgoingRecord]] = []
        self.refuses: set[str] = set()
        self.letters: list[dict[str, Any]] = []

    async def send(self, _namespace: str, destination: str, record: OutgoingRecord) -> None:
        """Takes a record."""
        if destination in self.refuses:
            raise DestinationFailed("it takes nothing")
        self.sent.append((destination, record))

    async def queue_call(self, _namespace: str, _queue: str, operation: str, arguments: dict[str, Any]) -> Any:
        """A queue of dead letters."""
        if operation == "receive_message":
            return {"Messages": self.letters[: arguments["MaxNumberOfMessages"]]}
        self.letters = [each for each in self.letters if each["ReceiptHandle"] != arguments["ReceiptHandle"]]
        return {}


class Objects:
    """The API server, as far as a redrive asks it."""

    async def get(self, _resource: object, name: str, _namespace: str) -> Any:
        """A Function."""
        return {"status": {"functionArn": ARN + name}}


@dataclass
class RunningQueue:
    """The queue, and what surrounds it."""

    queue: EventQueue
    worker: EventWorker
    policies: Policies
    sender: Sender
    admin_url: str
    attempts: list[tuple[str, Any]] = field(default_factory=list)
    """Request id and event of every attempt."""
    answer: Callable[[Any], tuple[int, dict[str, str]]] = lambda _: (200, {})
    """Status and headers of the function's answer to an event."""

    async def accept(self, function: str, event: Any, **headers: str) -> int:
        """Accepts an event as the intake does; its number."""
        known = {"x-kubelambda-arn": ARN + function, **headers}
        count = len(self.attempts)
        made = QueuedEvent(
            InvokedFunction("shop", function, ""),
            f"{function}-{count}-{time.monotonic_ns()}",
            json.dumps(event).encode(),
            accepted(time.time()),
            known,
        )
        number = await self.queue.append(made)
        self.worker.arrived(WaitingEvent(number, made.target, made.progress.due_at))
        return number

    async def left(self) -> list[int]:
        """Numbers of the events that are not finished."""
        return [found.number async for found in self.queue.waiting()]


async def until(holds: Callable[[], Any], seconds: float = 90) -> None:
    """Returns once `holds`."""
    deadline = time.monotonic() + seconds
    while True:
        found = holds()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.02)


@asynccontextmanager
async def running(queue: EventQueue) -> AsyncIterator[RunningQueue]:
    """Works a queue off, what was in it included."""
    loop = asyncio.get_running_loop()
    policies, sender = Policies(), Sender()

    async def invoke(request: web.Request) -> web.Response:
        event = json.loads(await request.read())
        found.attempts.append((request.headers["x-amzn-requestid"], event))
        status, headers = found.answer(event)
        return web.Response(status=status, headers=headers, body=b"{}")

    application = web.Application()
    application.router.add_post("/{path:.*}", invoke)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]

    def on_accepted(number: int, event: QueuedEvent) -> None:
        found.worker.arrived(WaitingEvent(number, event.target, event.progress.due_at))

    async with Attempts(f"http://{host}:{port}", KEY) as attempts:
        sends = cast("RecordSender", sender)
        known = cast("FunctionPolicies", policies)
        metrics = EventMetrics()
        ends = EventEnds(queue, Destinations(queue, sends, on_accepted), metrics)
        worker = EventWorker(queue, attempts, known, ends, metrics)
        letters = DeadLetters(cast("KubeClient", Objects()), queue, known, sends, on_accepted)
        admin = EventAdmin(queue, worker, letters, lambda: True)
        connections = Connections(Bounds(), loop.call_later)
        server = await loop.create_server(
            lambda: ServerProtocol(admin.serve, max_body=0, connections=connections), "127.0.0.1", 0
        )
        admin_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        found = RunningQueue(queue, worker, policies, sender, admin_url)
        await worker.load()
        working = asyncio.create_task(worker.run())
        try:
            yield found
        finally:
            await worker.drain(5)
            working.cancel()
            server.close()
            await runner.cleanup()
