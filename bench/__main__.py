"""Runs every measurement on the cluster of $KUBECONFIG, prints the table, and writes `bench/results/latest.json`."""

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import baseline, clients, cluster, events, images, load, memory, provisioned
from bench.frontend import throughput
from bench.scaling import loop

RESULTS = Path(__file__).parent / "results" / "latest.json"
COLD_STARTS = 50
SECONDS = 8


@contextmanager
def step(title: str) -> Iterator[None]:
    """Progress: what is measured now, and how long it took."""
    print(f"  {title} …", end="", flush=True, file=sys.stderr)
    started = time.monotonic()
    yield
    print(f" {time.monotonic() - started:.0f} s", file=sys.stderr)


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of all values do not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def warm(results: dict[str, Any]) -> None:
    """Warm invocations at 1 and at 32 connections, each beside the baseline."""
    address = cluster.frontend()
    cluster.function("warm")
    path = cluster.path("warm")
    load.one(address, path)
    plain = baseline.start()
    with step("warm, 1 connection to each frontend, and the baseline in turn"):
        owner, forwarding, theirs = one_connection(path, plain)
    results |= {
        "warm_p50_ms": statistics.mean([owner.p50_ms, forwarding.p50_ms]),
        "warm_p99_ms": statistics.mean([owner.p99_ms, forwarding.p99_ms]),
        "warm_owner_p50_ms": owner.p50_ms,
        "warm_owner_p99_ms": owner.p99_ms,
        "warm_forwarded_p50_ms": forwarding.p50_ms,
        "warm_forwarded_p99_ms": forwarding.p99_ms,
        "baseline_p50_ms": theirs.p50_ms,
        "baseline_p99_ms": theirs.p99_ms,
    }
    with step("burst from 1 to 32 connections on one warm environment"):
        seen = load.burst(address, path, connections=32, seconds=15)
    environments = len(cluster.pods("kubelambda.dev/function=warm"))
    results |= {
        "burst_max_ms": seen.max_ms,
        "burst_errors": seen.errors,
        "burst_environments": environments,
        "burst_calm_s": seen.calm_s,
    }
    with step("32 connections until no environment is added any more"):
        settle(address, path)
    with step("warm, 32 connections, 32 official clients alone, and the baseline in turn"):
        many, theirs, alone = many_connections(address, path, plain)
    with step("4 connections"):
        few = load.wrk(address, path, connections=4, seconds=SECONDS)
    results |= {
        "warm_rps_c4": few.rps,
        "warm_rps_c32": many.rps,
        "warm_p50_ms_c32": many.p50_ms,
        "warm_p99_ms_c32": many.p99_ms,
        "warm_errors_c32": many.errors,
        "clients_alone_rps_c32": alone,
        "baseline_rps_c32": theirs.rps,
        "baseline_p99_ms_c32": theirs.p99_ms,
    }
    cluster.kubectl("--namespace", cluster.NAMESPACE, "delete", "deployment", "baseline")


def one_connection(path: str, plain: tuple[str, int]) -> tuple[load.Measured, load.Measured, load.Measured]:
    """At the frontend that owns the account, at the one that forwards to it, and the baseline.

    A Service gives half of all connections to each. The medians of three runs each, in turn, since a shared machine
    changes its speed.
    """
    one, other = cluster.frontends()
    runs: list[tuple[load.Measured, load.Measured, load.Measured]] = []
    for _ in range(3):
        seconds = SECONDS // 2
        found = [load.wrk(address, path, connections=1, seconds=seconds) for address in (one, other)]
        runs.append((found[0], found[1], load.wrk(plain, "/", connections=1, seconds=seconds)))
    first, second, theirs = (load.median(each) for each in zip(*runs, strict=True))
    return (first, second, theirs) if first.p50_ms <= second.p50_ms else (second, first, theirs)


def many_connections(
    address: tuple[str, int], path: str, plain: tuple[str, int]
) -> tuple[load.Measured, load.Measured, float]:
    """32 at once, the baseline, and what 32 official clients do alone: medians of three runs each, in turn.

    The first run is that of environments a few seconds old, whose node still works on what their creation left it.
    """
    runs = [
        (
            load.wrk(address, path, connections=32, seconds=SECONDS),
            clients.measure(32, seconds=SECONDS),
            load.wrk(plain, "/", connections=32, seconds=SECONDS),
        )
        for _ in range(3)
    ]
    many, alone, theirs = zip(*runs, strict=True)
    return load.median(many), load.median(theirs), statistics.median(alone)


def settle(address: tuple[str, int], path: str, *, seconds: float = 90) -> None:
    """Keeps up the load until every connection has an environment of its own, so that none is made while we measure."""
    before, deadline = 0, time.monotonic() + seconds
    while time.monotonic() < deadline:
        load.wrk(address, path, connections=32, seconds=5)
        now = len(cluster.pods("kubelambda.dev/function=warm"))
        if now == before:
            return
        before = now


def cold(results: dict[str, Any]) -> None:
    """First invocations of functions that never ran: out of the pool, and without one."""
    address = cluster.frontend()
    cluster.delete_function("warm")
    cluster.function("keeps-the-pool")
    pooled, missing = [], []
    with step(f"{COLD_STARTS} cold starts from the pool"):
        for index in range(COLD_STARTS):
            cluster.function(f"cold-{index}")
            cluster.wait(lambda: cluster.idle_pool() >= 3, what="a refilled pool")
            time.sleep(0.5)
            pooled.append(load.one(address, cluster.path(f"cold-{index}")))
            cluster.delete_function(f"cold-{index}")
    with step(f"{COLD_STARTS} cold starts without a pool pod"):
        cluster.set_pool(0)
        for index in range(COLD_STARTS):
            cluster.function(f"bare-{index}")
            time.sleep(0.5)
            missing.append(load.one(address, cluster.path(f"bare-{index}")))
            cluster.delete_function(f"bare-{index}")
    results |= {
        "cold_pool_p50_ms": statistics.median(pooled),
        "cold_pool_p95_ms": percentile(pooled, 0.95),
        "cold_pool_claims": len(pooled),
        "cold_nopool_p50_ms": statistics.median(missing),
        "cold_nopool_p95_ms": percentile(missing, 0.95),
    }


def idle(results: dict[str, Any]) -> None:
    """Memory of an idle environment beyond its runtime process."""
    with step("memory of an idle environment"):
        address = cluster.frontend()
        cluster.function("idle")
        load.one(address, cluster.path("idle"))
        time.sleep(1)
        sizes = memory.environment_pss_mb(cluster.pods("kubelambda.dev/function=idle")[0])
        frontends = [memory.pod_pss_mb(pod) for pod in cluster.frontend_pods()]
        platform_mb = {component: component_pss_mb(component) for component in CONTROL_PLANE}
    results |= {f"{component.replace('-', '_')}s_pss_mb": size for component, size in platform_mb.items()}
    results["control_plane_pss_mb"] = sum(size for size in platform_mb.values() if size)
    results |= {
        "env_pss_mb": sizes and sizes[0],
        "env_runtime_pss_mb": sizes and sizes[1],
        "frontend_pss_mb": min((size for size in frontends if size is not None), default=None),
    }


def versions(results: dict[str, Any]) -> None:
    """Provisioned environments and aliases."""
    cluster.function("keeps-the-pool-too")
    with step("warm: provisioned and on demand, in turn"):
        results |= provisioned.warm()
    with step(f"{provisioned.CALLERS} callers of an alias with provisioned environments"):
        results |= provisioned.cold_callers()
    with step(f"{provisioned.EDITS} edits of an alias"):
        results |= provisioned.edits()


def component_pss_mb(component: str) -> float | None:
    """PSS in MB of all pods of a component of the release, after everything that was measured before."""
    pods = cluster.pods(f"app.kubernetes.io/component={component}", cluster.SYSTEM_NAMESPACE)
    return sum(memory.pod_pss_mb(pod) or 0 for pod in pods) or None


def machine() -> str:
    """What the figures were measured on."""
    return f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, {platform.machine()}"


CONTROL_PLANE = ("operator", "frontend", "code-store")
"""The five pods that serve invocations and keep objects; control API, events and pollers come beside them."""
BUDGETS = {
    "warm_p50_ms": 0.6,
    "warm_p99_ms": 3,
    "warm_rps_c32": 5000,
    "warm_p99_ms_c32": 20,
    "frontend_rps_one_core": 15_000,
    "cold_pool_p50_ms": 60,
    "cold_pool_p95_ms": 100,
    "burst_max_ms": 1000,
    "burst_errors": 0,
    "provisioned_over_on_demand": 1.05,
    "provisioned_callers_init": 0,
    "alias_edit_p95_ms": 1000,
    "scaling_loop_cpu_s": 2,
    "scaling_loop_embedded_cpu_s": 2,
    "event_start_p50_ms": 5,
    "env_pss_mb": 12,
    "frontend_pss_mb": 45,
    "control_plane_pss_mb": 150,
}


def table(results: dict[str, Any]) -> str:
    """The results as people read them, each beside its budget."""
    lines = [
        f"Measured on {results['machine']}, {results['time']}",
        "",
        f"{'figure':38} {'measured':>12} {'budget':>10}",
    ]
    for name, value in results.items():
        if isinstance(value, int | float):
            budget = BUDGETS.get(name)
            at_least = name.startswith(("warm_rps", "frontend_rps"))
            shown = "" if budget is None else f"{'≥' if at_least else '≤'} {budget:g}"
            lines.append(f"{name:38} {value:>12.2f} {shown:>10}")
    lines += [f"{'image ' + name:38} {size:>9.1f} MB" for name, size in results.get("images_mb", {}).items()]
    return "\n".join(lines)


def main() -> None:
    """Everything, in an order in which nothing disturbs the next."""
    load.require_wrk()
    results: dict[str, Any] = {"time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "machine": machine()}
    with step("frontend on one core with stub environments"):
        runs = [throughput.measure(seconds=SECONDS // 2) for _ in range(3)]
        results["frontend_rps_one_core"] = statistics.median(run.rps for run in runs)
        results["frontend_cpu_us"] = statistics.median(run.cpu_us for run in runs)
    with step("the scaling loop with a thousand aliases"):
        results |= loop.run()
    with step("a fresh namespace"):
        cluster.prepare()
    try:
        warm(results)
        cold(results)
        versions(results)
        with step("events on an idle installation"):
            results |= events.measure()
        idle(results)
        results["images_mb"] = images.sizes_mb()
    finally:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=2) + "\n")
        print(table(results), flush=True)
        with step("clean up"):
            cluster.drop()


if __name__ == "__main__":
    main()
