"""Whether forecasting the demand for pools is worth it: a replay of two weeks, `python -m bench.forecast`. No cluster.

The load is our own generator's, with the shape of the Azure Functions trace of 2021 as its authors describe it: some
four hundred functions over fourteen days, few of which are called often and most of which are rare; timers, office
hours, bursts; most invocations shorter than a second. Pools are sized by the very code that frontends run.
"""

import heapq
import math
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from kubelambda.core.pool.pool_forecast import DemandPattern
from kubelambda.core.pool.pool_size import PoolDemand, PoolRange

FUNCTIONS = 424
NAMESPACES = 12
DAYS = 14
JUDGED_FROM = 7
"""The days before it are what the forecast learns from."""
DAY, HOUR = 86_400.0, 3600.0
IDLE_S = 600.0
"""An environment that is idle for so long is retired."""
START_S = 2.5
"""From the claim of a pool's pod to the readiness of its successor."""
LOOK_S = 10.0
MEMORY_MB = 48
POLICIES = (
    ("claims alone", 2, False),
    ("with forecast", 2, True),
    ("claims alone", 3, False),
    ("claims alone", 4, False),
)
"""What a pool follows, and its minimum: whoever pays for more idle environments may as well keep more at all times."""
POOL_MAX = 10
_PERIODS = (60.0, 300.0, 900.0, HOUR, DAY)


@dataclass
class Replay:
    """What a policy made of the claims of the judged days."""

    claims: int = 0
    missed: int = 0
    idle_s: float = 0.0

    def add(self, other: "Replay") -> None:
        """Sums."""
        self.claims += other.claims
        self.missed += other.missed
        self.idle_s += other.idle_s


def arrivals(chance: random.Random) -> list[float]:
    """When one function is called, in seconds of the fourteen days, in order."""
    daily = min(20_000.0, 10 ** chance.gauss(1.8, 1.1))
    kind = chance.choices(("timer", "office", "steady", "burst", "batch"), (30, 25, 20, 15, 10))[0]
    if kind == "timer":
        period, phase = chance.choice(_PERIODS), chance.random() * DAY
        return [phase % period + index * period for index in range(int(DAYS * DAY / period))]
    if kind in ("office", "steady"):
        return list(_poisson(chance, daily, by_day=kind == "office"))
    return sorted(_bursts(chance, daily, nightly=kind == "batch"))


def _poisson(chance: random.Random, daily: float, *, by_day: bool) -> Iterator[float]:
    """A random stream; with office hours it is three times as dense at noon, and a tenth in nights and at weekends."""
    now, most = 0.0, 3.0 * daily / DAY
    while (now := now + chance.expovariate(most)) < DAYS * DAY:
        share = 1 / 3
        if by_day:
            hour, weekday = now % DAY / HOUR, int(now // DAY) % 7
            share = max(0.1 / 3, math.sin(math.pi * (hour - 7) / 12)) if 7 <= hour <= 19 and weekday < 5 else 0.1 / 3
        if chance.random() < share:
            yield now


def _bursts(chance: random.Random, daily: float, *, nightly: bool) -> Iterator[float]:
    """Many at once: at the same time every day, or at any."""
    size = max(5, min(60, int(daily / 4)))
    begins = [day * DAY + chance.uniform(0, 300) for day in range(DAYS)]
    hour = chance.randrange(24) * HOUR
    for begin in begins:
        at = begin + (hour if nightly else chance.random() * DAY)
        yield from (at + chance.expovariate(0.5) for _ in range(size))


def claims_of(chance: random.Random) -> list[float]:
    """When a function needs an environment that it does not have."""
    found = []
    free: list[float] = []  # when each environment became or becomes free
    for at in arrivals(chance):
        free = [since for since in free if at - since <= IDLE_S]
        idle = max((since for since in free if since <= at), default=None)
        if idle is None:
            found.append(at)
        else:
            free.remove(idle)
        free.append(at + min(60.0, chance.lognormvariate(-1.2, 1.2)))
    return found


def replay(claims: list[float], minimum: int, *, forecast: bool) -> Replay:
    """One pool over all days; what it did on those that are judged."""
    demand, pattern, found = PoolDemand(), DemandPattern(), Replay()
    size = PoolRange(minimum, POOL_MAX)
    idle, coming, before = minimum, list[float](), 0.0
    looks = (index * LOOK_S for index in range(int(DAYS * DAY / LOOK_S)))
    for at, is_claim in heapq.merge(((at, True) for at in claims), ((at, False) for at in looks)):
        while coming and coming[0] <= at:
            heapq.heappop(coming)
            idle += 1
        judged = at >= JUDGED_FROM * DAY
        found.idle_s += idle * (at - before) if judged else 0.0
        before = at
        if is_claim:
            demand.claimed(at)
            found.claims += judged
            found.missed += judged and idle == 0
            idle = max(0, idle - 1)
        pattern.observe(at, demand.latest(at))
        wanted = demand.wanted(size, at, expected=pattern.expected(at) if forecast else 0)
        for _ in range(wanted - idle - len(coming)):
            heapq.heappush(coming, at + START_S)
        idle = min(idle, wanted)
    return found


def main() -> None:
    """Both policies on the same claims."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 2021
    chance = random.Random(seed)
    pools: list[list[float]] = [[] for _ in range(NAMESPACES)]
    for index in range(FUNCTIONS):
        pools[index % NAMESPACES] += claims_of(chance)
    days = DAYS - JUDGED_FROM
    print(f"{FUNCTIONS} functions in {NAMESPACES} namespaces, seed {seed}; days {JUDGED_FROM + 1} to {DAYS}")
    for policy, minimum, forecast in POLICIES:
        total = Replay()
        for claims in pools:
            total.add(replay(sorted(claims), minimum, forecast=forecast))
        mean = total.idle_s / (days * DAY)
        print(
            f"{policy:13}, at least {minimum}: {total.claims} claims, {total.missed} found the pool empty "
            f"({total.missed / total.claims:.2%}); {mean:.1f} idle environments on average, {mean * MEMORY_MB:.0f} MB"
        )


if __name__ == "__main__":
    main()
