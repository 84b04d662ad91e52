"""Runs the same load three times: capacity that follows its utilization, a fixed one, and none; keeps what was seen.

`python -m bench.scaling.measure`; Prometheus is the one of the end-to-end tests, whose time constants are used too: its
two seconds are a minute of production.
"""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from bench import cluster
from bench.scaling.callers import Callers
from bench.scaling.phases import PHASES, callers_at

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "bench" / "results" / "scaling.json"
MONITORING = "kubelambda-monitoring"
SECONDS = 0.5
"""What one invocation takes."""
CODE = f"import time\ndef handler(event, context):\n    time.sleep({SECONDS})\n    return context.function_version"
RESERVED = 60
"""Of the function: with fewer callers than that, only a slow start can keep one waiting."""
FIXED = 20
TRACKING = {"targetValue": 0.7, "minCapacity": 2, "maxCapacity": RESERVED}
FUNCTION: dict[str, Any] = {
    "runtime": "python3.13",
    "handler": "index.handler",
    "memorySize": 128,
    "timeout": 30,
    "code": {"inline": CODE},
    "publish": True,
    "reservedConcurrentExecutions": RESERVED,
}
RUNS: dict[str, dict[str, Any] | None] = {
    "tracking": {"targetTracking": TRACKING},
    "fixed": {"provisionedConcurrentExecutions": FIXED},
    "none": None,
}
_GAUGES = ("utilization", "allocated", "available", "executing")


@contextmanager
def prometheus() -> Iterator[None]:
    """A running Prometheus that the release reads meanwhile."""
    subprocess.run(
        ["python3", str(ROOT / "e2e" / "cluster"), "images", "--for-tests", "prometheus"], check=True, env=os.environ
    )
    frontend = cluster.kubectl_json("--namespace", cluster.SYSTEM_NAMESPACE, "get", "deployment", "kubelambda-frontend")
    image = frontend["spec"]["template"]["spec"]["containers"][0]["image"].replace("/platform:", "/prometheus:")
    manifests = (ROOT / "e2e" / "scaling" / "prometheus.yaml").read_text().replace("$IMAGE", image)
    cluster.kubectl("apply", "--filename", "-", stdin=manifests)
    cluster.kubectl("--namespace", MONITORING, "rollout", "status", "deployment/prometheus", "--timeout=120s")
    upgrade(f"http://prometheus.{MONITORING}.svc:9090")
    try:
        yield
    finally:
        upgrade("")
        cluster.kubectl("delete", "--filename", "-", "--wait=false", stdin=manifests)


def upgrade(url: str) -> None:
    """Has the release read that Prometheus."""
    command = ["helm", "upgrade", cluster.RELEASE, str(ROOT / "charts" / "kubelambda"), "--reuse-values", "--wait"]
    command += [
        "--namespace",
        cluster.SYSTEM_NAMESPACE,
        "--timeout",
        "3m",
        "--set",
        f"autoscaling.prometheus.url={url}",
    ]
    subprocess.run(command, check=True, capture_output=True)


def make(name: str, provisioned: dict[str, Any] | None) -> None:
    """A published function and its alias `live`, with all of its environments there."""
    kind = {"apiVersion": "kubelambda.dev/v1alpha1"}
    cluster.apply(kind | {"kind": "Function", "metadata": {"name": name}, "spec": FUNCTION})
    alias: dict[str, Any] = {"functionName": name, "name": "live", "functionVersion": "1"}
    alias |= {"provisionedConcurrency": provisioned} if provisioned else {}
    cluster.apply(kind | {"kind": "Alias", "metadata": {"name": f"{name}-live"}, "spec": alias})
    awaited = "ProvisionedConcurrencyReady" if provisioned else "Ready"
    where = ("--namespace", cluster.NAMESPACE)
    cluster.kubectl(*where, "wait", f"--for=condition={awaited}", f"alias/{name}-live", "--timeout=300s")


def series(name: str, addresses: list[tuple[str, int]]) -> dict[str, float]:
    """What the frontends say of an alias."""

    def metrics() -> Iterator[str]:
        for host, _ in addresses:
            with urllib.request.urlopen(f"http://{host}:9090/metrics", timeout=5) as answer:
                yield answer.read().decode()

    return parse_series(name, metrics())


def parse_series(name: str, texts: Iterable[str]) -> dict[str, float]:
    """The gauges of an alias, and its counter of spill-over, out of what some frontends say."""
    found = dict.fromkeys((*_GAUGES, "spillovers"), 0.0)
    names = {f"kubelambda_provisioned_concurrency_{gauge}": gauge for gauge in _GAUGES}
    names["kubelambda_spillover_invocations_total"] = "spillovers"
    for text in texts:
        lines = [line for line in text.splitlines() if line.startswith(tuple(names))]
        for family in text_string_to_metric_families("\n".join(lines) + "\n"):
            for sample in family.samples:
                if sample.labels.get("function") == name and sample.name in names:
                    found[names[sample.name]] = max(found[names[sample.name]], sample.value)
    return found


def run(address: tuple[str, int], path: str, look: Callable[[], dict[str, float]]) -> list[dict[str, float]]:
    """The load on an alias; a look at everything each second."""
    callers = Callers(address, path, max(phase.callers for phase in PHASES))
    callers.start()
    samples: list[dict[str, float]] = []
    begun, spilled = time.monotonic(), 0.0
    try:
        while (wanted := callers_at(time.monotonic() - begun)) is not None:
            callers.wanted = wanted
            time.sleep(1.0)
            seen, found = callers.take(), look()
            spilled_before, spilled = spilled, max(spilled, found.pop("spillovers"))
            samples.append(
                {
                    "at": round(time.monotonic() - begun, 1),
                    "callers": wanted,
                    "answered": seen.answered,
                    "throttled": seen.throttled,
                    "failed": seen.failed,
                    "slowest_ms": round(seen.slowest_ms, 1),
                    "spillover": spilled - spilled_before,
                    **{gauge: round(value, 3) for gauge, value in found.items()},
                }
            )
    finally:
        callers.wanted = 0
        callers.stop()
    return samples


def described(where: str) -> dict[str, Any]:
    """What was run, before its results."""
    return {
        "where": where,
        "seconds": SECONDS,
        "reserved": RESERVED,
        "fixed": FIXED,
        "tracking": TRACKING,
        "runs": {},
    }


def environments(name: str) -> int:
    """Pods of a function."""
    return len(cluster.pods(f"kubelambda.dev/function={name}"))


def main() -> None:
    """All three."""
    results = described("the cluster")
    cluster.prepare()
    try:
        with prometheus():
            addresses = cluster.frontends()
            for kind, provisioned in RUNS.items():
                print(f"  {kind} …", end="", flush=True, file=sys.stderr)
                name = f"load-{kind}"
                make(name, provisioned)
                path = cluster.path(f"{name}:live")
                results["runs"][kind] = run(
                    cluster.frontend(),
                    path,
                    lambda name=name: series(name, addresses),  # type: ignore[misc]
                )
                print(f" {environments(name)} environments at the end", file=sys.stderr)
                cluster.delete_function(name)
                cluster.wait(lambda name=name: not environments(name), what="the environments' end", seconds=300)  # type: ignore[misc]
    finally:
        cluster.drop()
    RESULTS.write_text(json.dumps(results) + "\n")


if __name__ == "__main__":
    main()
