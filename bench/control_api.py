"""The control API over thousands of Functions: lists, account settings, creates, memory. No cluster is needed.

`python -m bench.control_api [NUMBER]` runs a control API against a real etcd and kube-apiserver. Operator and code
store run too, so that one function is deployed; all others get a status like that one's. The component finds the API
server by a kubeconfig here, whose reader is 12 MB that no pod loads: what idles in a cluster is smaller by so much.
"""

import asyncio
import base64
import json
import os
import statistics
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from io import BytesIO
from typing import Any

from tests.integration.control_api.control_api import DOMAIN, Api
from tests.integration.control_plane import ADMIN_TOKEN, ControlPlane
from tests.integration.processes import Installation

from bench.local_installation import local_installation
from bench.memory import process_pss_mb
from kubelambda.core.account.identity import account_id
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import FUNCTIONS, NAMESPACES

NAMESPACE = "many"
CALLERS = 4
_AT_ONCE = 32
_IDLE_S = 10
_LARGE_BYTES = 50_000_000


async def fill(client: KubeClient, model: Object, number: int) -> None:
    """`number` functions with a status like that of `model`."""
    free = asyncio.Semaphore(_AT_ONCE)

    async def one(index: int) -> None:
        async with free:
            body = {
                "apiVersion": FUNCTIONS.api_version,
                "kind": FUNCTIONS.kind,
                "metadata": {"name": f"function-{index:05}", "namespace": NAMESPACE},
                "spec": model["spec"],
            }
            await client.create(FUNCTIONS, body, NAMESPACE)
            await client.patch(
                FUNCTIONS,
                f"function-{index:05}",
                {"status": {**model["status"], "observedGeneration": 1}},
                NAMESPACE,
                subresource="status",
            )

    await asyncio.gather(*map(one, range(number)))


def milliseconds(call: Callable[[], Any]) -> float:
    """How long a call takes."""
    started = time.monotonic()
    call()
    return (time.monotonic() - started) * 1000


def pages(api: Api) -> list[float]:
    """Durations of all pages of one list, in ms."""
    found, marker = [], ""
    while True:
        started = time.monotonic()
        page = api.call("GET", f"/2015-03-31/functions?MaxItems=50{marker}")
        found.append((time.monotonic() - started) * 1000)
        assert page.status == 200, page
        if "NextMarker" not in page.body:
            return found
        marker = f"&Marker={page.body['NextMarker']}"


def at_once(api: Api) -> list[float]:
    """Durations of the pages of several callers who list at the same time."""
    found: list[float] = []
    threads = [threading.Thread(target=lambda: found.extend(pages(api))) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def share(values: list[float], part: float) -> float:
    """The value that `part` of all do not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def large_archive() -> bytes:
    """Just under what Lambda takes, of bytes that nothing compresses."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("data"), os.urandom(_LARGE_BYTES))
    return buffer.getvalue()


async def measure(control_plane: ControlPlane, installation: Installation, number: int) -> dict[str, float]:
    """The figures."""
    client = await KubeClient.connect(str(control_plane.kubeconfig(ADMIN_TOKEN)))
    try:
        created = await client.create(NAMESPACES, {"metadata": {"name": NAMESPACE}})
        installation.code_store()
        operator, _ = installation.operator()
        component, address = installation.control_api()
        await asyncio.sleep(_IDLE_S)
        idle = process_pss_mb(component.process.pid)
        api = Api(address, NAMESPACE, account_id(created["metadata"]["uid"]))
        await asyncio.to_thread(api.active, "model")
        model = await client.get(FUNCTIONS, "model", NAMESPACE)
        operator.stop()
        print(f"  creating {number} functions", file=sys.stderr, flush=True)
        await fill(client, model, number)
        await asyncio.sleep(2)
        settings = [milliseconds(lambda: api.call("GET", "/2016-08-19/account-settings")) for _ in range(20)]
        alone = await asyncio.to_thread(pages, api)
        together = await asyncio.to_thread(at_once, api)
        full = process_pss_mb(component.process.pid)
        code = base64.b64encode(large_archive()).decode()
        uploaded = await asyncio.to_thread(api.call, "PUT", "/2015-03-31/functions/model/code", {"ZipFile": code})
        assert uploaded.status == 200, json.dumps(uploaded.body)
        return {
            "functions": number,
            "idle_pss_mb": idle,
            "full_pss_mb": full,
            "peak_rss_mb": component.peak_mb,
            "account_settings_p50_ms": statistics.median(settings),
            "account_settings_max_ms": max(settings),
            "list_page_p50_ms": statistics.median(alone),
            "list_page_p99_ms": share(alone, 0.99),
            f"list_page_{CALLERS}_callers_p50_ms": statistics.median(together),
            f"list_page_{CALLERS}_callers_p99_ms": share(together, 0.99),
        }
    finally:
        await client.close()


def main() -> None:
    """Measures, prints, and leaves nothing behind."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with local_installation(endpointDomain=DOMAIN) as (control_plane, installation):
        for name, value in asyncio.run(measure(control_plane, installation, number)).items():
            print(f"{name:32} {value:>10.1f}")


if __name__ == "__main__":
    main()
