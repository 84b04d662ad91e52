"""The listener that Prometheus asks."""

import gzip
import time
import urllib.error
import urllib.request
from asyncio import to_thread
from collections.abc import AsyncIterator

import pytest
from tests.ports import free_port

from kubelambda.metrics import metrics_text
from kubelambda.metrics.metric_registry import MetricRegistry
from kubelambda.metrics.metrics_server import MetricsServer
from kubelambda.metrics.process_series import add_process_series


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Where the metrics of this process are served."""
    registry = MetricRegistry()
    add_process_series(registry)
    found = free_port()
    server = await MetricsServer.listen(registry, found)
    yield found
    server.close()


async def ask(port: int, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str, bytes]:
    """Status, encoding and body."""

    def asked() -> tuple[int, str, bytes]:
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.headers.get("Content-Encoding", ""), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, "", error.read()

    return await to_thread(asked)


async def test_a_process_tells_of_itself(port: int) -> None:
    """Under the names of prometheus-client, with values that can be."""
    status, encoding, body = await ask(port, "/metrics")
    assert (status, encoding) == (200, "")
    found = {name: value for name, _, value in metrics_text.samples(body.decode().splitlines())}
    assert found["process_resident_memory_bytes"] > 1 << 20
    assert found["process_virtual_memory_bytes"] >= found["process_resident_memory_bytes"]
    assert found["process_cpu_seconds_total"] > 0
    assert 3 < found["process_open_fds"] < found["process_max_fds"]
    assert time.time() - 7 * 86_400 < found["process_start_time_seconds"] < time.time()


async def test_the_text_is_packed_for_who_can_read_it(port: int) -> None:
    """Thousands of series say nearly the same."""
    status, encoding, body = await ask(port, "/metrics?x=1", None, **{"Accept-Encoding": "gzip, deflate"})
    assert (status, encoding) == (200, "gzip")
    assert b"process_open_fds" in gzip.decompress(body)


async def test_nothing_else_is_served(port: int) -> None:
    """And nobody has anything to say here."""
    assert (await ask(port, "/"))[0] == 404
    assert (await ask(port, "/metrics", b"x"))[0] == 413
