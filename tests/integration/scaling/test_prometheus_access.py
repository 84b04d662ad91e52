"""A Prometheus behind TLS that wants to know who asks, as those of large clusters are."""

import ssl
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from tests.ports import free_port

from kubelambda.api.settings import PrometheusSettings
from kubelambda.autoscaler.prometheus_reader import PrometheusReader
from kubelambda.autoscaler.utilization import ScalableTarget, UtilizationUnavailable
from kubelambda.core.scaling.target_tracking import Alarms

ALIAS = ScalableTarget("team", "f", "live")
LABELS = {"namespace": "team", "function": "f", "qualifier": "live"}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 that nobody signed; its key is beside it."""
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=prometheus"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "tls.crt"


@asynccontextmanager
async def guarded(certificate: Path, tokens: set[str]) -> AsyncIterator[str]:
    """URL of a server that answers as Prometheus does whoever brings one of the tokens."""

    async def answer(request: web.Request) -> web.Response:
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in tokens:
            return web.Response(status=401, text="Unauthorized\n")
        if (await request.post())["query"] == "time()":
            return _success("scalar", [time.time(), repr(time.time())])
        if request.path.endswith("query_range"):
            return _success("matrix", [])
        return _success("vector", [{"metric": LABELS, "value": [0, "4"]}])

    app = web.Application()
    app.router.add_post("/api/v1/{kind}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    tls, port = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), free_port()
    tls.load_cert_chain(certificate, certificate.with_suffix(".key"))
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls).start()
    yield f"https://127.0.0.1:{port}"
    await runner.cleanup()


def _success(kind: str, result: object) -> web.Response:
    return web.json_response({"status": "success", "data": {"resultType": kind, "result": result}})


async def test_its_authority_and_a_token_are_files_that_may_change(certificate: Path, tmp_path: Path) -> None:
    """A token of Kubernetes is another one every hour: what the file has now counts."""
    token, tokens = tmp_path / "token", {"first"}
    token.write_text("first\n")
    async with guarded(certificate, tokens) as url:
        settings = PrometheusSettings(url=url, bearer_token_file=str(token), ca_file=str(certificate))
        async with PrometheusReader(settings, Alarms()) as reader:
            assert (await reader.read(time.time()))[ALIAS].allocated == 4
            tokens.clear()
            tokens.add("second")
            with pytest.raises(UtilizationUnavailable, match=r"^Prometheus answers 401: Unauthorized$"):
                await reader.read(time.time())
            token.write_text("second\n")
            assert (await reader.read(time.time()))[ALIAS].allocated == 4


async def test_a_server_that_nobody_vouches_for_is_not_believed(certificate: Path) -> None:
    """An answer that could be anybody's moves nothing."""
    async with guarded(certificate, {""}) as url, PrometheusReader(PrometheusSettings(url=url), Alarms()) as reader:
        with pytest.raises(UtilizationUnavailable, match=r"does not answer.*certificate"):
            await reader.read(time.time())
