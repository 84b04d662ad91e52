"""What mappings cost that have nothing to do: memory and processor time of a poller with none, 1, 50 and 200 of them.

`PYTHONPATH=. .venv-pollers/bin/python -m bench.idle_mappings sqs|kafka [COUNT…]`. Queues are moto's, topics a real
broker's; each number of mappings is measured in a process of its own.
"""

import argparse
import asyncio
import gc
import re
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, cast, override

import uvloop
from aiobotocore.session import AioSession
from tests.pollers.kafka_broker import KafkaBroker

from kubelambda.kube.kube_client import KubeClient
from kubelambda.outbound.record_sender import RecordSender
from kubelambda.pollers.function_invoker import FunctionInvoker
from kubelambda.pollers.mapping_report import MappingReport
from kubelambda.pollers.mapping_view import MappingView, mapping_view
from kubelambda.pollers.poller_factory import PollerFactory
from kubelambda.pollers.poller_metrics import PollerMetrics
from kubelambda.pollers.schemas.reading_processes import ReadingProcesses

_SETTLE_S = 45.0
"""Until idle slots are as few as they become."""
_MEASURED_S = 30.0
_ARN = "arn:aws:lambda:us-east-1:123456789012:function:hello"
_SECRET = {"AWS_ACCESS_KEY_ID": "dGVzdHM=", "AWS_SECRET_ACCESS_KEY": "dGVzdHM="}


class _Secrets:
    """The API server, as far as a poller asks it for Secrets."""

    async def find(self, _resource: object, _name: str, _namespace: str) -> Any:
        return {"data": _SECRET}

    get = find


class _Report(MappingReport):
    """Says when its mapping is polled."""

    def __init__(self) -> None:
        self.polled = asyncio.Event()

    @override
    async def polling(self, note: str, *, pollers: int, lag: int | None = None, result: str | None = None) -> None:
        """It is."""
        self.polled.set()

    @override
    async def trouble(self, reason: object, message: str, *, result: str | None = None) -> None:
        """Ends the measurement."""
        raise SystemExit(message)


def view(kind: str, number: int, address: str) -> MappingView:
    """A mapping of a source of its own."""
    spec: dict[str, Any] = {"functionName": "hello"}
    if kind == "kafka":
        spec |= {
            "selfManagedEventSource": {"endpoints": {"KAFKA_BOOTSTRAP_SERVERS": [address]}},
            "topics": [f"idle-{number}"],
            "startingPosition": "TRIM_HORIZON",
        }
    else:
        spec |= {
            "eventSourceArn": f"arn:aws:sqs:us-east-1:123456789012:idle-{number}",
            "connection": {"endpointUrl": address, "credentialsSecret": {"name": "aws"}},
        }
    metadata = {"uid": f"u{number}", "namespace": "shop", "name": f"m{number}", "generation": 1}
    status = {"observedGeneration": 1, "state": "Enabled", "functionArn": _ARN}
    created = {"creationTimestamp": "2026-01-02T03:04:05Z"}
    found = mapping_view({"metadata": metadata | created, "spec": spec, "status": status})
    assert found is not None
    return found


async def measure(kind: str, count: int, address: str) -> None:
    """Prints what this process costs with so many mappings."""
    async with AsyncExitStack() as stack:
        client = cast("KubeClient", _Secrets())
        invoker = await stack.enter_async_context(FunctionInvoker("http://127.0.0.1:1", "nobody"))
        sender = await stack.enter_async_context(RecordSender(client, "us-east-1", ()))
        factory = PollerFactory(
            client, invoker, sender, PollerMetrics(), identity="bench", processes=ReadingProcesses()
        )
        running, reports = [], [_Report() for _ in range(count)]
        for number, report in enumerate(reports):
            poller = await stack.enter_async_context(factory.open(view(kind, number, address), report, lambda: 3))
            running.append(asyncio.create_task(poller.run()))
        async with asyncio.timeout(600):
            await asyncio.gather(*(report.polled.wait() for report in reports))
        await asyncio.sleep(_SETTLE_S if count else 1)
        gc.collect()
        begun, used = time.monotonic(), _used_s()
        await asyncio.sleep(_MEASURED_S if count else 1)
        share = (_used_s() - used) / (time.monotonic() - begun)
        print(f"{kind} {count}: PSS {_pss_kb()} KB, {share * 1000:.1f} ms a second", flush=True)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _used_s() -> float:
    found = resource.getrusage(resource.RUSAGE_SELF)
    return found.ru_utime + found.ru_stime


def _pss_kb() -> int:
    found = re.search(r"Pss:\s+(\d+) kB", Path("/proc/self/smaps_rollup").read_text())
    assert found is not None
    return int(found[1])


async def _queues(address: str, count: int) -> None:
    who = {"aws_access_key_id": "tests", "aws_secret_access_key": "tests", "region_name": "us-east-1"}
    async with AioSession().create_client("sqs", endpoint_url=address, **who) as client:
        for number in range(count):
            await client.create_queue(QueueName=f"idle-{number}")


def main() -> None:
    """Starts the server of the sources, and measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("sqs", "kafka"))
    parser.add_argument("counts", type=int, nargs="*", default=[0, 1, 50, 200])
    parser.add_argument("--address", help="of a server that has the sources, for one number of mappings")
    arguments = parser.parse_args()
    if arguments.address:
        uvloop.run(measure(arguments.kind, arguments.counts[0], arguments.address))
        return
    with tempfile.TemporaryDirectory() as folder:
        if arguments.kind == "kafka":
            broker = KafkaBroker(Path(folder))
            broker.start()
            for number in range(max(arguments.counts)):
                asyncio.run(broker.create_topic(f"idle-{number}"))
            _measure_all(arguments.kind, arguments.counts, broker.server())
            broker.kill()
            return
        program = "from moto.server import main; main()"
        command = [sys.executable, "-c", program, "--host", "127.0.0.1", "--port", "0"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as server:
            assert server.stderr is not None
            address = next(found[0] for line in server.stderr if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
            subprocess.Popen(["cat"], stdin=server.stderr, stdout=subprocess.DEVNULL)
            asyncio.run(_queues(address, max(arguments.counts)))
            _measure_all(arguments.kind, arguments.counts, address)
            server.kill()


def _measure_all(kind: str, counts: list[int], address: str) -> None:
    for count in counts:
        command = [sys.executable, "-m", "bench.idle_mappings", kind, str(count), f"--address={address}"]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
