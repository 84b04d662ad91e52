"""Provisioned environments on the cluster: warm times beside those on demand, cold callers, and edits of an alias."""

import http.client
import json
import statistics
import subprocess
import time
from collections.abc import Callable
from typing import Any

from bench import cluster, load

CALLERS = 10_000
EDITS = 30
_INIT_S = 2.0
_SECONDS = 4
_RUNS = 5
_SLOW_MS = 1000 * _INIT_S / 2
_HELLO = "def handler(event, context):\n    return {'hello': event.get('name', 'world')}"


def alias(name: str, version: int, environments: int = 0) -> None:
    """The alias `live` of a function, once callers get that version and its environments are there."""
    spec: dict[str, Any] = {"functionName": name, "name": "live", "functionVersion": str(version)}
    if environments:
        spec["provisionedConcurrency"] = {"provisionedConcurrentExecutions": environments}
    kind = {"apiVersion": "kubelambda.dev/v1alpha1", "kind": "Alias"}
    cluster.apply({**kind, "metadata": {"name": f"{name}-live"}, "spec": spec})
    awaited = "ProvisionedConcurrencyReady" if environments else "Ready"
    where = ("--namespace", cluster.NAMESPACE)
    cluster.kubectl(*where, "wait", f"--for=condition={awaited}", f"alias/{name}-live", "--timeout=180s")


def published(name: str, version: int, code: str) -> None:
    """A function whose change is published under that number."""
    cluster.function(name, code=code, publish=True)
    where = ("--namespace", cluster.NAMESPACE)
    cluster.wait(
        lambda: f"{name}-{version}" in cluster.kubectl(*where, "get", "functionversions", "--output", "name"),
        what=f"version {version} of {name}",
    )


def warm() -> dict[str, float]:
    """Warm invocations of a provisioned environment and of one on demand, of the same version, in turn."""
    published("warm-both", 1, _HELLO)
    alias("warm-both", 1, environments=1)
    address = cluster.frontends()[0]
    paths = cluster.path("warm-both:live"), cluster.path("warm-both:1")
    for path in paths:
        load.one(address, path)
    runs = [[load.wrk(address, path, connections=1, seconds=_SECONDS) for path in paths] for _ in range(_RUNS)]
    provisioned, on_demand = (load.median(each) for each in zip(*runs, strict=True))
    ratios = [first.p50_ms / second.p50_ms for first, second in runs]
    cluster.delete_function("warm-both")
    return {
        "provisioned_p50_ms": provisioned.p50_ms,
        "on_demand_p50_ms": on_demand.p50_ms,
        "provisioned_over_on_demand": statistics.median(ratios),
    }


def cold_callers() -> dict[str, float]:
    """Callers with new connections who would have to wait for an INIT of two seconds if they saw one."""
    published("slow-init", 1, f"import time\ntime.sleep({_INIT_S})\n{_HELLO}")
    alias("slow-init", 1, environments=2)
    address, path = cluster.frontend(), cluster.path("slow-init:live")
    slow, worst = 0, 0.0
    for _ in range(CALLERS):
        elapsed = load.one(address, path)
        slow += elapsed > _SLOW_MS
        worst = max(worst, elapsed)
    pods = len(cluster.pods("kubelambda.dev/function=slow-init"))
    cluster.delete_function("slow-init")
    return {
        "provisioned_callers": CALLERS,
        "provisioned_callers_init": slow,
        "provisioned_callers_max_ms": worst,
        "provisioned_callers_extra_environments": pods - 2,
    }


def edits() -> dict[str, float]:
    """From the write of an alias to the first invocation on its new version."""
    for version in (1, 2):
        published("edited", version, f"VERSION = {version}\n{_HELLO}")
    alias("edited", 1)
    address = cluster.frontend()
    for version in (1, 2):
        load.one(address, cluster.path(f"edited:{version}"))
    connection = http.client.HTTPConnection(*address, timeout=30)
    path = cluster.path("edited:live")

    def executed() -> str | None:
        connection.request("POST", path, b"{}")
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"an invocation while the alias moves answered {answer.status}")
        return answer.getheader("X-Amz-Executed-Version")

    took = [_edit(str(2 - number % 2), executed) for number in range(EDITS)]
    cluster.delete_function("edited")
    took.sort()
    return {"alias_edit_p50_ms": statistics.median(took), "alias_edit_p95_ms": took[int(len(took) * 0.95)]}


def _edit(version: str, executed: Callable[[], str | None]) -> float:
    """Milliseconds, those included that kubectl needs to say when the API server had taken it."""
    patch = json.dumps({"spec": {"functionVersion": version}})
    command = [
        "kubectl",
        "--namespace",
        cluster.NAMESPACE,
        "patch",
        "alias",
        "edited-live",
        "--type=merge",
        "--patch",
        patch,
    ]
    begun = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as patching:
        while executed() != version:
            if time.perf_counter() - begun > 30:
                raise RuntimeError("the edit of the alias is not there after 30 s")
        took = (time.perf_counter() - begun) * 1000
        patching.wait()
    time.sleep(0.5)
    return took


def main() -> None:
    """These alone: `python -m bench.provisioned`."""
    cluster.prepare()
    try:
        for measure in (warm, cold_callers, edits):
            for name, value in measure().items():
                print(f"{name:40} {value:>12.3f}", flush=True)
    finally:
        cluster.drop()


if __name__ == "__main__":
    load.require_wrk()
    main()
