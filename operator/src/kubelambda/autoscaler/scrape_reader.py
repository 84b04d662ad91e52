"""Reads utilization from the frontends themselves, for clusters without a Prometheus."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from kubelambda.autoscaler.utilization import (
    ALLOCATED,
    INVOCATIONS,
    UTILIZATION,
    ScalableTarget,
    Utilization,
    UtilizationUnavailable,
)
from kubelambda.core.scaling.target_tracking import Alarms
from kubelambda.core.scaling.utilization_window import UtilizationWindow

_TIMEOUT = aiohttp.ClientTimeout(total=5, connect=2)
LOOKS_PER_PERIOD = 6
_READ = (UTILIZATION, ALLOCATED, INVOCATIONS)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Look:
    utilization: float = 0.0
    allocated: float = 0.0
    invocations: float = 0.0


class ScrapeReader:
    """`addresses` gives `host:port` of every frontend's metrics. `run` looks at them until it is cancelled."""

    def __init__(self, addresses: Callable[[], Awaitable[list[str]]], alarms: Alarms) -> None:
        self._addresses = addresses
        self._alarms = alarms
        self._windows: dict[ScalableTarget, UtilizationWindow] = {}
        self._allocated: dict[ScalableTarget, float] = {}
        self._failure: str | None = "the frontends were not looked at yet"

    async def run(self) -> None:
        """Looks several times in every period."""
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
            while True:
                try:
                    await self.look(session, time.time())
                except Exception as error:
                    self._failure = f"the frontends cannot be looked at: {error or type(error).__name__}"
                    log.exception("looking at the frontends failed")
                await asyncio.sleep(self._alarms.period / LOOKS_PER_PERIOD)

    async def look(self, session: aiohttp.ClientSession, now: float) -> None:
        """One look at every frontend. A target is served by one of them at a time."""
        found: dict[ScalableTarget, _Look] = {}
        missing = []
        for address in await self._addresses():
            try:
                async with session.get(f"http://{address}/metrics") as response:
                    response.raise_for_status()
                    _collect((await response.text()).splitlines(), found)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                missing.append(f"{address} ({error or type(error).__name__})")
        for target, look in found.items():
            window = self._windows.get(target)
            if window is None:
                window = self._windows[target] = UtilizationWindow(self._alarms.period, self._alarms.in_datapoints)
            window.observe(now, look.utilization, look.invocations)
        self._allocated = {target: look.allocated for target, look in found.items()}
        self._failure = f"frontends do not answer: {', '.join(missing)}" if missing else None
        if not missing:
            for target in [target for target in self._windows if target not in found]:
                del self._windows[target]

    async def read(self, now: float) -> Mapping[ScalableTarget, Utilization]:
        """As `UtilizationReader.read`."""
        if self._failure is not None:
            raise UtilizationUnavailable(self._failure)
        return {
            target: Utilization(tuple(window.samples(now)), self._allocated.get(target))
            for target, window in self._windows.items()
        }


def _collect(lines: Iterable[str], found: dict[ScalableTarget, _Look]) -> None:
    # Parsing all series of thousands of functions would cost more than everything else that is done here.
    text = "\n".join(line for line in lines if line.startswith(_READ))
    for family in text_string_to_metric_families(text + "\n"):
        for sample in family.samples:
            labels = sample.labels
            target = ScalableTarget(
                labels.get("namespace", ""), labels.get("function", ""), labels.get("qualifier", "")
            )
            look = found.setdefault(target, _Look())
            value = sample.value if math.isfinite(sample.value) else 0.0
            if sample.name == UTILIZATION:
                look.utilization = max(look.utilization, value)
            elif sample.name == ALLOCATED:
                look.allocated = max(look.allocated, value)
            elif sample.name == INVOCATIONS:
                look.invocations += value
