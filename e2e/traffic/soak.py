"""Mixed traffic over all runtimes while everything is replaced, restarted and changed: whether anything is ever lost.

`make soak MINUTES=60` runs it. Every fault is a graceful one, so every request must get its own answer; only the
function with reserved concurrency may be throttled. Ends with 1 when a request was lost, answered wrongly, or never
answered.
"""

import argparse
import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from installation.account import Account, drop_namespace, lambda_client, make_account
from installation.api_server import NotAnsweredError
from installation.kubectl import KubectlError, kubectl
from installation.release import SYSTEM_NAMESPACE, platform_pods, rolled_out

REPORT_S = 30
LONGER_S = 240
"""A run goes on for so long at most until each fault was there once: a busy machine is slow to break, too."""
PAUSE_S = (4.0, 9.0)
"""Between two faults, from and to."""
PYTHON = """
import time

def handler(event, context):
    time.sleep(event["seconds"])
    return {"number": event["number"]}
"""
NODE = """
export const handler = async (event) => {
  await new Promise((done) => setTimeout(done, event.seconds * 1000));
  return { number: event.number };
};
"""
BOOTSTRAP = """#!/bin/bash
api=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation
while true; do
  event=$(curl -sS -D /tmp/head "$api/next")
  id=$(sed -n 's/^lambda-runtime-aws-request-id: *\\([^[:space:]]*\\).*/\\1/Ip' /tmp/head)
  curl -sS -o /tmp/answer -X POST --data-binary "$event" "$api/$id/response"
done
"""


@dataclass(frozen=True)
class Traffic:
    """A function, and who calls it how: `callers` at once, each pausing up to `pause` seconds between its calls."""

    name: str
    source: str
    callers: int
    seconds: float
    """The longest that the handler takes."""
    pause: float
    spec: dict[str, Any] = field(default_factory=dict)


TRAFFIC = (
    Traffic("quick", PYTHON, 6, 0.0, 0.1),
    Traffic("slow", PYTHON, 6, 1.0, 1.0),
    Traffic("reserved", PYTHON, 4, 0.1, 0.3, {"reservedConcurrentExecutions": 2}),
    Traffic("node", NODE, 3, 0.02, 0.3, {"runtime": "nodejs20.x"}),
    Traffic("shell", BOOTSTRAP, 2, 0.0, 0.4, {"runtime": "provided.al2023", "handler": "bootstrap"}),
)


@dataclass
class Soak:
    """Callers, faults, and what came of every request."""

    account: Account
    outcomes: dict[str, Counter[str]] = field(default_factory=lambda: {each.name: Counter() for each in TRAFFIC})
    slowest: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    pause: tuple[float, float] = PAUSE_S
    lock: threading.Lock = field(default_factory=threading.Lock)
    stop: threading.Event = field(default_factory=threading.Event)

    def call(self, traffic: Traffic) -> None:
        """One caller, until the end."""
        account = Account(self.account.namespace, lambda_client(), self.account.account_id)
        count = 0
        while not self.stop.is_set():
            count += 1
            number = f"{threading.get_ident()}-{count}"
            seconds = random.uniform(0, traffic.seconds)
            started = time.monotonic()
            outcome = invoke(account, traffic.name, number, seconds)
            took = time.monotonic() - started
            with self.lock:
                self.outcomes[traffic.name][outcome] += 1
                self.slowest[traffic.name] = max(self.slowest[traffic.name], took)
                if lost(traffic, outcome):
                    self.failures.append(f"{time.strftime('%H:%M:%S')} {traffic.name} after {took:.2f} s: {outcome}")
            time.sleep(random.uniform(0, traffic.pause))

    def break_things(self) -> None:
        """A fault after every pause, until the end: each of them once, in any order, and again."""
        left: list[str] = []
        while not self.stop.wait(random.uniform(*self.pause)):
            left = left or random.sample(list(FAULTS), len(FAULTS))
            name = left.pop()
            try:
                FAULTS[name](self.account)
            except (KubectlError, NotAnsweredError) as error:  # what cannot be broken now may be broken later
                name = f"refused: {error}"
            with self.lock:
                self.faults[name] += 1

    def report(self) -> str:
        """One line: requests, of which not answered by the handler, and the slowest one, by function."""
        with self.lock:
            parts = []
            for name, outcomes in self.outcomes.items():
                throttled = sum(count for outcome, count in outcomes.items() if outcome.startswith("TooManyRequests"))
                parts.append(f"{name} {outcomes.total()} ({throttled} throttled, slowest {self.slowest[name]:.1f} s)")
            return f"{time.strftime('%H:%M:%S')} lost {len(self.failures)} · {' · '.join(parts)}"


def invoke(account: Account, function: str, number: str, seconds: float) -> str:
    """`ok`, or what came instead."""
    try:
        answer = account.invoke(function, {"number": number, "seconds": seconds})
    except ClientError as error:
        return f"{error.response['Error']['Code']}: {error.response['Error']['Message']}"
    except BotoCoreError as error:
        return type(error).__name__
    if answer.get("FunctionError"):
        return f"{answer['Payload'].get('errorType')}: {answer['Payload'].get('errorMessage')}"
    return "ok" if answer["Payload"]["number"] == number else "the answer of another request"


def lost(traffic: Traffic, outcome: str) -> bool:
    """Whether that may never happen to a request of this function."""
    return outcome != "ok" and not ("reservedConcurrentExecutions" in traffic.spec and "TooManyRequests" in outcome)


def delete_one(namespace: str, pods: Sequence[str]) -> None:
    """Deletes one of some pods, gracefully."""
    if pods:
        name = random.choice(pods)
        kubectl("--namespace", namespace, "delete", "pod", name, "--wait=false", "--ignore-not-found")


def replace(component: str, kind: str = "deployment") -> None:
    """One pod of a component of the release, once the component is whole: two at a time is an outage."""
    rolled_out(kind, component)
    delete_one(SYSTEM_NAMESPACE, platform_pods(component))


def delete_environment(account: Account) -> None:
    """An environment of any function."""
    pods = account.pods("kubelambda.dev/function")
    delete_one(account.namespace, [pod["metadata"]["name"] for pod in pods])


def update(account: Account, spec: dict[str, Any]) -> None:
    """Changes a function under its callers."""
    name = random.choice(TRAFFIC).name
    patch = json.dumps({"spec": spec})
    kubectl("--namespace", account.namespace, "patch", "function", name, "--type=merge", "--patch", patch)


FAULTS: dict[str, Callable[[Account], None]] = {
    "environment deleted": delete_environment,
    "frontend replaced": lambda _: replace("frontend"),
    "operator replaced": lambda _: replace("operator"),
    "code store replaced": lambda _: replace("code-store", "statefulset"),
    "function updated": lambda account: update(account, {"environment": {"variables": {"NOW": str(time.time())}}}),
    "memory changed": lambda account: update(account, {"memorySize": random.choice([512, 768, 1024])}),
}


def run(soak: Soak, minutes: float) -> bool:
    """Traffic and faults for `minutes`; whether nothing was lost."""
    for traffic in TRAFFIC:
        soak.account.function(traffic.name, traffic.source, memorySize=512, timeout=20, **traffic.spec)
    callers = [threading.Thread(target=soak.call, args=(each,)) for each in TRAFFIC for _ in range(each.callers)]
    faults = threading.Thread(target=soak.break_things, daemon=True)
    for thread in (faults, *callers):
        thread.start()
    deadline = time.monotonic() + minutes * 60
    last = deadline + LONGER_S
    while (left := deadline - time.monotonic()) > 0:
        time.sleep(min(REPORT_S, left))
        print(soak.report(), flush=True)
    while not set(soak.faults) >= set(FAULTS) and time.monotonic() < last:
        time.sleep(0.5)
    soak.stop.set()
    for thread in (faults, *callers):
        thread.join(timeout=180)
    hung = sum(thread.is_alive() for thread in callers)
    print(f"faults: {', '.join(f'{name} {count} times' for name, count in sorted(soak.faults.items()))}")
    print("\n".join([*soak.failures, f"lost {len(soak.failures)} requests; {hung} were never answered"]))
    return not soak.failures and not hung


def main() -> None:
    """Makes a namespace, soaks, and takes the namespace away."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=10, help="how long (default: 10)")
    arguments = parser.parse_args()
    account = make_account("soak")
    try:
        sys.exit(0 if run(Soak(account), arguments.minutes) else 1)
    finally:
        drop_namespace(account.namespace)


if __name__ == "__main__":
    main()
