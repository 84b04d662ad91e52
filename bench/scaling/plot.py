"""Draws what `bench.scaling.measure` kept: one picture for each run, in `docs/images`."""

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "bench" / "results" / "scaling.json"
IMAGES = ROOT / "docs" / "images"
TITLES = {
    "tracking": "Target tracking on Prometheus, target 0.7",
    "fixed": "A fixed number of provisioned environments",
    "none": "No provisioned concurrency",
}


def draw(kind: str, samples: list[dict[str, float]], limits: dict[str, float]) -> None:
    """Load, capacity and utilization above; what callers noticed below."""

    def column(name: str) -> list[float]:
        return [sample[name] for sample in samples]

    at = column("at")
    figure, (above, middle, below) = pyplot.subplots(3, 1, figsize=(9, 8), sharex=True, height_ratios=(3, 2, 2))
    above.plot(at, column("callers"), label="load (callers)", color="black", linewidth=1.5)
    above.step(at, column("allocated"), label="provisioned, allocated", color="tab:blue", where="post")
    above.plot(at, column("available"), label="provisioned, available", color="tab:cyan")
    above.plot(at, column("executing"), label="executing on provisioned", color="tab:green", linewidth=0.8)
    above.set_ylabel("concurrency")
    above.set_ylim(0, limits["callers"])
    middle.plot(at, column("utilization"), color="tab:purple", label="utilization (executing / allocated)")
    if kind == "tracking":
        middle.axhline(0.7, color="grey", linestyle="--", linewidth=0.8, label="target")
    middle.set_ylabel("share")
    middle.set_ylim(0, 1.1)
    below.plot(at, column("spillover"), color="tab:orange", label="spill-over (invocations/s)")
    below.plot(at, column("throttled"), color="tab:red", label="throttles (1/s)")
    below.set_ylabel("1/s")
    below.set_ylim(0, limits["spillover"])
    slow = below.twinx()
    slow.plot(at, column("slowest_ms"), color="grey", linewidth=0.6, label="slowest answer (ms)")
    slow.set_ylim(0, limits["slowest_ms"])
    slow.set_ylabel("ms")
    below.set_xlabel("seconds; 2 s of them are a minute of production")
    for axes in (above, middle, below):
        axes.legend(loc="upper right", fontsize=8)
        axes.grid(alpha=0.3)
    figure.suptitle(TITLES[kind])
    figure.tight_layout()
    figure.savefig(IMAGES / f"scaling-{kind}.png", dpi=100)
    pyplot.close(figure)


def figures(samples: list[dict[str, float]]) -> dict[str, float]:
    """What the page tells of a run."""
    answered = sum(sample["answered"] for sample in samples)
    return {
        "answered": answered,
        "throttled": sum(sample["throttled"] for sample in samples),
        "failed": sum(sample["failed"] for sample in samples),
        "spillover": sum(sample["spillover"] for sample in samples),
        "slowest_ms": max(sample["slowest_ms"] for sample in samples),
        "provisioned_seconds": sum(sample["allocated"] for sample in samples),
        "most_allocated": max(sample["allocated"] for sample in samples),
        "last_allocated": samples[-1]["allocated"],
    }


def main() -> None:
    """Three pictures with the same scales, and the figures on standard output."""
    mpl.use("Agg")
    results: dict[str, Any] = json.loads(RESULTS.read_text())
    every = [sample for samples in results["runs"].values() for sample in samples]
    most = max(max(sample["callers"], sample["allocated"]) for sample in every)
    limits = {
        "callers": 1.1 * most,
        "spillover": 1.1 * max(1.0, *(max(sample["spillover"], sample["throttled"]) for sample in every)),
        "slowest_ms": 1.1 * max(sample["slowest_ms"] for sample in every),
    }
    IMAGES.mkdir(exist_ok=True)
    for kind, samples in results["runs"].items():
        draw(kind, samples, limits)
        print(kind, json.dumps(figures(samples)))


if __name__ == "__main__":
    main()
