"""Servers of sources as processes, and a queue and a function of its own for every test."""

import asyncio
import json
import re
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from aiobotocore.session import AioSession
from aiohttp import web
from tests.leftovers import show_leftovers
from tests.pollers.elastic_mq import ElasticMq
from tests.pollers.kafka_broker import KafkaBroker

from kubelambda.core.environment.component_callers import CALLER, CallerRole, ComponentCallers, caller_proof
from kubelambda.core.mapping import sqs_batch
from kubelambda.core.mapping.mapping_source import mapping_source
from kubelambda.core.mapping.sqs_batch import BatchRules
from kubelambda.outbound.aws_client import ServicePlace
from kubelambda.outbound.service_credentials import ServiceCredentials
from kubelambda.pollers.batch_room import BatchRoom
from kubelambda.pollers.function_invoker import FunctionInvoker
from kubelambda.pollers.mapping_report import MappingReport
from kubelambda.pollers.mapping_view import MappingView
from kubelambda.pollers.poller import MappingWork
from kubelambda.pollers.poller_metrics import PollerMetrics
from kubelambda.pollers.share_ledger import ShareLedger
from kubelambda.pollers.sources.source_unreachable import SourceUnreachable
from kubelambda.pollers.sources.sqs import sqs_queue
from kubelambda.pollers.sqs_poller import SqsPoller

KEY = b"k" * 32
VISIBILITY_S = 8
"""Longer than a batch takes on a busy machine: whose batch outlasts it is sent the whole of it again."""
MOTO = """
import threading, time
from moto.server import main
from moto.sqs.models import SQSBackend

receiving, receive = threading.Lock(), SQSBackend.receive_message

def received_by_one(self, queue_name, count, wait_seconds_timeout, visibility_timeout, *more, **named):
    end = time.monotonic() + wait_seconds_timeout
    while True:
        with receiving:
            found = receive(self, queue_name, count, 0, visibility_timeout, *more, **named)
        if found or time.monotonic() >= end:
            return found
        time.sleep(0.05)

SQSBackend.receive_message = received_by_one
main()
"""
"""moto's server, in which two receives at once do not get the same message: nobody but a test of that expects it."""
_LONG = ("test_sqs_poller.py", "test_mq_poller.py", "test_kafka_poller.py", "test_sqs_outages.py")
"""Files that take the longest, by what they take."""
type Answer = tuple[int, bool, Any]
"""Status, whether the function failed, and what it returned."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long comes first: whoever runs files side by side would wait for it at the end."""
    items.sort(key=lambda item: _LONG.index(item.path.name) if item.path.name in _LONG else len(_LONG))
    show_leftovers(items, "pollers")


@pytest.fixture(scope="session")
def aws_url() -> Iterator[str]:
    """A server that speaks the protocols of AWS's services, at a port that it chooses itself."""
    command = [sys.executable, "-u", "-c", MOTO, "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            if found is not None:
                break
        else:
            pytest.fail(f"moto's server does not answer: {''.join(lines)}")
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield found[0]
        process.kill()


@pytest.fixture(scope="session")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A broker of Kafka that all tests share."""
    found = KafkaBroker(tmp_path_factory.mktemp("kafka"))
    found.start()
    yield found
    found.kill()


@pytest.fixture(scope="session")
def elastic_mq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ElasticMq]:
    """A server of queues that all tests share."""
    found = ElasticMq(tmp_path_factory.mktemp("elasticmq"))
    found.start()
    yield found
    found.kill()


@pytest.fixture
def queues_url(request: pytest.FixtureRequest) -> str:
    """The server that queues are made at: moto, unless a test names ElasticMQ."""
    if getattr(request, "param", "moto") == "moto":
        found: str = request.getfixturevalue("aws_url")
        return found
    server: ElasticMq = request.getfixturevalue("elastic_mq")
    return server.url


class Function:
    """A function behind a stub of the Invoke API: it answers as the test says, and keeps what it was given."""

    def __init__(self) -> None:
        self.url = ""
        self.events: list[Any] = []
        self.traces: list[str] = []
        self.arns: list[str] = []
        """What each invocation was of."""
        self.answer: Callable[[Any], Answer] = lambda _: (200, False, None)
        self.pause = asyncio.Event()
        self.pause.set()
        self.running = 0
        self.most = 0

    async def handle(self, request: web.Request) -> web.Response:
        """One invocation, by a poller that says so."""
        assert ComponentCallers(KEY).role(request.headers[CALLER].encode()) is CallerRole.POLLERS
        event = json.loads(await request.read())
        self.events.append(event)
        self.traces.append(request.headers.get("X-Amzn-Trace-Id", ""))
        self.arns.append(request.match_info["arn"])
        self.running += 1
        self.most = max(self.most, self.running)
        await self.pause.wait()
        await asyncio.sleep(0.02)
        self.running -= 1
        status, failed, payload = self.answer(event)
        headers = {"X-Amz-Function-Error": "Unhandled"} if failed else {}
        return web.json_response(payload, status=status, headers=headers)

    @property
    def records(self) -> list[Any]:
        """All records, in the order in which they came."""
        return [record for event in self.events for record in event["Records"]]


class SilentReport(MappingReport):
    """Stands in for the mapping's status."""

    def __init__(self) -> None:
        self.result: str | None = None
        self.note = ""
        self.pollers = 0

    async def polling(self, note: str, *, pollers: int, lag: int | None = None, result: str | None = None) -> None:
        """Keeps how the last batch ended, and how many pollers there are."""
        self.note, self.pollers, self.result = note, pollers, result


def mapping_work(
    view: MappingView,
    invoker: FunctionInvoker,
    report: MappingReport,
    metrics: PollerMetrics,
    room: BatchRoom | None = None,
) -> MappingWork:
    """A mapping whose function may take a second. Without a `room` it is the only one of its process."""
    return MappingWork(view, invoker, report, metrics, lambda: 1, (room or BatchRoom()).of(view, metrics))


class Source:
    """A queue, the poller of its mapping, and the function."""

    def __init__(self, client: Any, url: str, aws_url: str, function_url: str, function: Function) -> None:
        self.client = client
        self.url = url
        self.function = function
        self.arn = f"arn:aws:sqs:us-east-1:123456789012:{url.rpartition('/')[2]}"
        self.place = ServicePlace("us-east-1", aws_url, ServiceCredentials("tests", "tests"))
        """Where pollers look for it."""
        self._function_url = function_url
        self._tasks: list[asyncio.Task[None]] = []
        self._pollers: list[SqsPoller] = []
        self.ledger = ShareLedger()
        self.room = BatchRoom()
        self.metrics = PollerMetrics()
        self.reports: list[SilentReport] = []
        self.faults: list[SourceUnreachable] = []
        self._closing = False

    def poll(self, *, again: bool = False, **changed: Any) -> asyncio.Task[None]:
        """Begins a poller of a mapping that differs by `changed`; `again`, as a supervisor does, when it failed."""
        view = {
            "uid": "uid",
            "namespace": "shop",
            "name": "orders",
            "generation": 1,
            "enabled": True,
            "source": mapping_source(self.arn),
            "function": "hello",
            "function_arn": "arn:aws:lambda:us-east-1:123456789012:function:hello",
            "endpoint_url": None,
            "credentials_secret": "aws",
            "rules": BatchRules(),
            "patterns": (),
            "reports_failures": False,
            "maximum_concurrency": None,
            **changed,
        }
        self._tasks.append(asyncio.create_task(self._poll(MappingView(**view), again=again)))
        return self._tasks[-1]

    async def _poll(self, view: MappingView, *, again: bool) -> None:
        while True:
            try:
                return await self._run(view)
            except SourceUnreachable as fault:
                self.faults.append(fault)
                if not again or self._closing:
                    raise
                await asyncio.sleep(0.2)

    async def _run(self, view: MappingView) -> None:
        calls = FunctionInvoker(self._function_url, caller_proof(KEY, CallerRole.POLLERS))
        async with calls as invoker, sqs_queue(AioSession(), self.arn, self.place) as queue:
            self.reports.append(SilentReport())
            work = mapping_work(view, invoker, self.reports[-1], self.metrics, self.room)
            poller = SqsPoller(work, queue, self.ledger)
            self._pollers.append(poller)
            await poller.run()

    @property
    def ended(self) -> int:
        """Pollers that begin nothing new."""
        return sum(poller._ended.is_set() for poller in self._pollers)

    def stop(self) -> None:
        """Asks the pollers to end."""
        for poller in self._pollers:
            poller.stop()

    async def close(self) -> None:
        """Ends everything."""
        self._closing = True
        self.function.pause.set()
        self.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def send(self, *bodies: str, **more: Any) -> None:
        """Sends messages, one after the other."""
        for number, body in enumerate(bodies):
            group = {"MessageGroupId": "g", "MessageDeduplicationId": f"{body}-{number}"} if "fifo" in self.arn else {}
            await self.client.send_message(QueueUrl=self.url, MessageBody=body, **{**group, **more})

    async def left(self) -> tuple[int, int]:
        """Messages that wait, and messages that were received and are not deleted."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = (await self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=names))["Attributes"]
        return int(found[names[0]]), int(found[names[1]])

    async def until_empty(self, seconds: float = 60) -> None:
        """Returns once the queue has nothing, and the function something."""
        await eventually(lambda: bool(self.function.events), seconds)
        deadline = time.monotonic() + seconds
        while await self.left() != (0, 0):
            assert time.monotonic() < deadline, await self.left()
            await asyncio.sleep(0.1)


async def eventually(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Returns once `holds`."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.02)


@pytest.fixture
async def function() -> AsyncIterator[Function]:
    """The function, behind a stub of the Invoke API."""
    found = Function()
    application = web.Application(client_max_size=8 << 20)
    application.router.add_post("/2015-03-31/functions/{arn}/invocations", found.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


@pytest.fixture
async def make_source(
    queues_url: str, function: Function, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[..., Any]]:
    """Makes a source, of a standard queue unless told otherwise; with attributes of the queue, if any."""
    monkeypatch.setattr(sqs_batch, "RECEIVE_WAIT_MAX_S", 1)  # a poller ends when its last receive does
    made = []
    who = {"aws_access_key_id": "tests", "aws_secret_access_key": "tests", "region_name": "us-east-1"}
    async with AioSession().create_client("sqs", endpoint_url=queues_url, **who) as client:

        async def make(*, fifo: bool = False, **more: str) -> Source:
            name = f"q-{uuid.uuid4().hex[:8]}" + (".fifo" if fifo else "")
            attributes = {"VisibilityTimeout": str(VISIBILITY_S)} | ({"FifoQueue": "true"} if fifo else {}) | more
            url = (await client.create_queue(QueueName=name, Attributes=attributes))["QueueUrl"]
            made.append(Source(client, url, queues_url, function.url, function))
            return made[-1]

        yield make
        for source in made:
            await source.close()


@pytest.fixture
async def source(make_source: Callable[..., Any]) -> Source:
    """A source of a standard queue."""
    found: Source = await make_source()
    return found
