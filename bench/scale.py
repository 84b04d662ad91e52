"""Thousands of Functions against a real etcd and kube-apiserver: time and memory of the operator, memory of a frontend.

No cluster is needed: `python -m bench.scale [NUMBER]`. Definitions, roles and processes are those of the tests.
"""

import asyncio
import sys
import time

from tests.integration.control_plane import ADMIN_TOKEN, ControlPlane
from tests.integration.processes import Installation

from bench.local_installation import local_installation
from bench.memory import process_pss_mb
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import FUNCTIONS, NAMESPACES

NAMESPACE_COUNT = 20
_CREATED_AT_ONCE = 32
_MOST_S = 1200


def namespace_of(index: int) -> str:
    """Functions are spread evenly."""
    return f"scale-{index % NAMESPACE_COUNT}"


def manifest(index: int) -> dict[str, object]:
    """One of many small Functions."""
    return {
        "apiVersion": FUNCTIONS.api_version,
        "kind": FUNCTIONS.kind,
        "metadata": {"name": f"function-{index}", "namespace": namespace_of(index)},
        "spec": {"runtime": "python3.13", "handler": "index.handler", "code": {"inline": f"number = {index}"}},
    }


async def create(client: KubeClient, number: int) -> None:
    """Namespaces and Functions, before anybody looks at them."""
    for index in range(NAMESPACE_COUNT):
        await client.create(NAMESPACES, {"metadata": {"name": namespace_of(index)}})
    free = asyncio.Semaphore(_CREATED_AT_ONCE)

    async def one(index: int) -> None:
        async with free:
            await client.create(FUNCTIONS, manifest(index), namespace_of(index))

    await asyncio.gather(*map(one, range(number)))


async def ready(client: KubeClient) -> int:
    """How many Functions are Ready."""
    count = 0
    async for body in client.each(FUNCTIONS):
        conditions = body.get("status", {}).get("conditions", [])
        count += any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return count


async def measure(control_plane: ControlPlane, installation: Installation, number: int) -> dict[str, float]:
    """The figures."""
    client = await KubeClient.connect(str(control_plane.kubeconfig(ADMIN_TOKEN)))
    try:
        watching = installation.frontend().process.pid
        empty = process_pss_mb(watching)
        installation.code_store()
        started = time.monotonic()
        await create(client, number)
        print(f"  {number} Functions created in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
        started, most = time.monotonic(), 0.0
        operator, _ = installation.operator()
        while (done := await ready(client)) < number:
            most = max(most, operator.resident_mb)
            elapsed = time.monotonic() - started
            print(f"  {done} Ready after {elapsed:.0f} s, operator {most:.0f} MB", file=sys.stderr, flush=True)
            if elapsed > _MOST_S:
                raise RuntimeError(f"{done} of {number} Functions are Ready after {_MOST_S} s")
            await asyncio.sleep(5)
        took = time.monotonic() - started
        await asyncio.sleep(5)
        full = process_pss_mb(watching)
        return {
            "functions": number,
            "ready_s": took,
            "operator_max_rss_mb": max(most, operator.resident_mb),
            "frontend_empty_pss_mb": empty,
            "frontend_kb_per_function": (full - empty) * 1024 / number,
        }
    finally:
        await client.close()


def main() -> None:
    """Measures, prints, and leaves nothing behind."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with local_installation() as (control_plane, installation):
        for name, value in asyncio.run(measure(control_plane, installation, number)).items():
            print(f"{name:28} {value:>12.2f}")


if __name__ == "__main__":
    main()
