"""`make chaos-events`: numbered events and records while what carries them is killed at random; whether one is lost.

The function keeps nothing itself: it tells a ledger, a pod of its own that is never killed, what it was given.
Frontends, the event queue, pollers, environments, operators and brokers are killed without notice, one after the other.
At the end, `kubelambda events redrive` has what waits for a retry tried at once.
"""

import argparse
import random
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from installation.account import Account, drop_namespace, make_account
from installation.kubectl import kubectl
from installation.release import RELEASE, SYSTEM_NAMESPACE, platform_pods, rolled_out
from traffic.chaos_ledger import Told, start_ledger, told
from traffic.chaos_sources import FAULTS, NAMES, ChaosSource, ChaosSources
from traffic.jetstream import NAMESPACE, events_in_jetstream, nats_pods

PYTHON = Path(__file__).parent.parent.parent / ".venv" / "bin" / "python"
VICTIMS = ("events", "frontend", "pollers", "operator")
RESTARTING = ("broker", "nats server")
"""Kinds that die in their pods, and come back there to what they have written (`e2e/images/restarting.sh`): a deleted
pod's successor may run on the same volume before its predecessor has ended, which no server of this kind bears."""
ENGINES = ("sqlite", "jetstream")


@dataclass
class Load:
    """What sends."""

    slowest: float = 0.0
    stopping: threading.Event = field(default_factory=threading.Event)

    def send(self, source: ChaosSource, per_second: float) -> None:
        """Sends numbers, one after the other, until it is told to stop."""
        for number in count():
            if self.stopping.is_set():
                return
            started = time.monotonic()
            try:
                source.send(number)
                source.promised.add(number)
            except FAULTS:
                source.refused += 1
            took = time.monotonic() - started
            if source.name == "events":
                self.slowest = max(self.slowest, took)
            time.sleep(max(0.0, 1 / per_second - took))


def victims(account: Account, engine: str, brokers: Sequence[str] = ()) -> dict[str, list[tuple[str, str]]]:
    """Pods that may be killed, by what they are: namespace and name."""
    found = {name: [(SYSTEM_NAMESPACE, pod) for pod in platform_pods(name)] for name in VICTIMS}
    found["environment"] = [(account.namespace, pod["metadata"]["name"]) for pod in account.environments("teller")]
    if engine == "jetstream":
        found["nats server"] = [(NAMESPACE, pod) for pod in nats_pods()]
    if brokers:
        found["broker"] = [(account.namespace, name) for name in brokers]
    return found


def kill_at_random(
    account: Account,
    seconds: float,
    pause: float,
    killed: Counter[str],
    *,
    engine: str,
    brokers: Sequence[str] = (),
    together: Sequence[str] = (),
) -> None:
    """One pod after the other, each kind in turn in a random order, with a `pause` before it and one to come back in.

    All pods of the kinds in `together` die at once: any of them may be the one at work. Goes on beyond `seconds`, for
    three minutes at most, until each kind of the release has been killed: a busy machine is slow to kill, too.
    """
    deadline, kinds = time.monotonic() + seconds, []
    last = deadline + 180
    time.sleep(pause)
    while time.monotonic() < deadline or (not killed.keys() >= set(VICTIMS) and time.monotonic() < last):
        found = victims(account, engine, brokers)
        kinds = kinds or random.sample(list(found), len(found))
        kind = kinds.pop()
        if found[kind]:
            end = kill_inside if kind in RESTARTING else delete
            end(found[kind] if kind in together else [random.choice(found[kind])])
            killed[kind] += 1
        if killed.total() % 10 == 0:
            print(
                f"  {killed.total()} deaths, {max(0, round(deadline - time.monotonic()))} s to go",
                file=sys.stderr,
                flush=True,
            )
        time.sleep(min(pause, max(0.5, deadline - time.monotonic())))


def kill_inside(pods: Sequence[tuple[str, str]]) -> None:
    """Ends all processes of some pods but the one that starts them again."""
    for namespace, name in pods:
        kubectl("--namespace", namespace, "exec", name, "--", "/bin/sh", "-c", "kill -9 -1")


def delete(pods: Sequence[tuple[str, str]]) -> None:
    """Ends some pods of one namespace without notice."""
    names = [name for _, name in pods]
    now = ("--grace-period=0", "--force", "--wait=false", "--ignore-not-found")
    kubectl("--namespace", pods[0][0], "delete", "pod", *names, *now)


def redrive(account: Account) -> None:
    """Has what waits for a retry tried now."""
    command = [str(PYTHON), "-m", "kubelambda.cli", "events", "--system-namespace", SYSTEM_NAMESPACE]
    command += ["--release", RELEASE, "redrive", "--namespace", account.namespace]
    subprocess.run(command, check=False, timeout=180)


def run(
    seconds: float,
    *,
    sources: Sequence[str] = ("events",),
    per_second: float = 20,
    pause: float = 6,
    together: Sequence[str] = (),
    engine: str = "sqlite",
) -> dict[str, Any]:
    """The whole of it: figures of the run, and under `sources` those of each. `together`: kinds that die as a whole."""
    account = make_account("chaos-events")
    with ExitStack() as stack:
        stack.callback(drop_namespace, account.namespace)
        start_ledger(account)
        opening = ChaosSources(account, stack)
        opened = [opening.open(name) for name in sources]
        brokers = [source.broker for source in opened if source.broker]
        load, killed = Load(), Counter[str]()
        with ThreadPoolExecutor(len(opened)) as pool:
            sending = [pool.submit(load.send, source, per_second) for source in opened]
            try:
                kill_at_random(account, seconds, pause, killed, engine=engine, brokers=brokers, together=together)
            finally:
                load.stopping.set()
        for each in sending:
            each.result()
        ended = time.monotonic()
        rolled_out("statefulset", "events-jetstream" if engine == "jetstream" else "events")
        for component in ("frontend", "pollers", "operator"):
            rolled_out("deployment", component)
        deadline = ended + 240
        while _missing(account, opened) and time.monotonic() < deadline:
            redrive(account)
            time.sleep(1)
        return {
            "seconds": round(seconds),
            "events in": engine,
            "killed": dict(killed),
            "all there after (s)": round(time.monotonic() - ended, 1),
            "slowest 202 (s)": round(load.slowest, 2),
            "given up": {why: len(numbers) for why, numbers in told(account)["given up"].by_unit.items()},
            "sources": _figures(account, opened),
        }


def _missing(account: Account, sources: Sequence[ChaosSource]) -> bool:
    found = told(account)
    return any(_lost(source, found) for source in sources)


def _lost(source: ChaosSource, found: defaultdict[str, Told]) -> set[int]:
    """What was taken, never came, and was not given up either."""
    given_up = found["given up"].numbers if source.name == "events" else set()
    return source.promised - found[source.name].numbers - given_up


def _figures(account: Account, sources: Sequence[ChaosSource]) -> dict[str, dict[str, Any]]:
    found = told(account)
    return {
        source.name: {
            "sent": len(source.promised),
            "refused": source.refused,
            "seen": len(source.promised & found[source.name].numbers),
            "lost": len(_lost(source, found)),
            "again": found[source.name].repeated(source.promised),
            "order": ("kept" if found[source.name].in_order else "BROKEN") if source.ordered else "-",
        }
        for source in sources
    }


def table(figures: dict[str, Any]) -> str:
    """The figures, for people."""
    lines = [f"{name:<22}{value}" for name, value in figures.items() if name != "sources"]
    lines.append(f"{'source':<12}{'sent':>8}{'refused':>9}{'seen':>8}{'lost':>6}{'again':>7}  order")
    for name, each in figures["sources"].items():
        counts = f"{each['sent']:>8}{each['refused']:>9}{each['seen']:>8}{each['lost']:>6}{each['again']:>7}"
        lines.append(f"{name:<12}{counts}  {each['order']}")
    return "\n".join(lines)


def main() -> int:
    """Prints a table; fails when something that was taken never came, or came out of order where order is promised."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--per-second", type=float, default=10, help="numbers for each source")
    parser.add_argument("--pause", type=float, default=6, help="seconds between two deaths")
    parser.add_argument("--sources", default=",".join(NAMES))
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0], help="what keeps the events of Event invokes")
    arguments = parser.parse_args()
    with events_in_jetstream() if arguments.engine == "jetstream" else nullcontext():
        figures = run(
            arguments.minutes * 60,
            sources=arguments.sources.split(","),
            per_second=arguments.per_second,
            pause=arguments.pause,
            engine=arguments.engine,
        )
    print(table(figures))
    return int(any(each["lost"] or each["order"] == "BROKEN" for each in figures["sources"].values()))


if __name__ == "__main__":
    sys.exit(main())
