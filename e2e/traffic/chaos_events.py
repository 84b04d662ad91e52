"""`make chaos-events`: numbered events while what carries them is killed at random; whether one of them is lost.

The function keeps nothing itself: it tells a ledger, a pod of its own that is never killed, what it was given.
Frontends, the event queue, environments and operators are killed without notice, one after the other. At the end,
`kubelambda events redrive` has what waits for a retry tried at once.
"""

import argparse
import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from installation.account import Account, drop_namespace, lambda_client, make_account
from installation.kubectl import kubectl
from installation.release import RELEASE, SYSTEM_NAMESPACE, platform_image, platform_pods, rolled_out

LEDGER = """
import http.server, json
seen = {}
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        number = self.rfile.read(int(self.headers["Content-Length"])).decode()
        seen[number] = seen.get(number, 0) + 1
        self.send_response(200); self.end_headers()
    def do_GET(self):
        body = json.dumps(seen).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *arguments): pass
http.server.ThreadingHTTPServer(("0.0.0.0", 8000), Handler).serve_forever()
"""
TELLER = """
import os, urllib.request
def handler(event, context):
    data = str(event["number"]).encode()
    urllib.request.urlopen(urllib.request.Request(os.environ["LEDGER"], data), timeout=3).read()
"""
PYTHON = Path(__file__).parent.parent.parent / ".venv" / "bin" / "python"


@dataclass
class Load:
    """What was sent and what was promised."""

    promised: set[int] = field(default_factory=set)
    refused: int = 0
    slowest: float = 0.0
    stopping: threading.Event = field(default_factory=threading.Event)

    def send(self, arn: str, numbers: Iterator[int], per_second: float) -> None:
        """Sends numbered events until it is told to stop."""
        client = lambda_client()
        while not self.stopping.is_set():
            number, started = next(numbers), time.monotonic()
            try:
                client.invoke(FunctionName=arn, InvocationType="Event", Payload=json.dumps({"number": number}))
                self.promised.add(number)
            except (ClientError, BotoCoreError):
                self.refused += 1
            self.slowest = max(self.slowest, time.monotonic() - started)
            time.sleep(max(0.0, 1 / per_second - (time.monotonic() - started)))


def ledger(account: Account) -> None:
    """The pod that is told."""
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "ledger",
        "image": platform_image(),
        "imagePullPolicy": "Never",
        "command": ["python3", "-u", "-c", LEDGER],
        "ports": [{"containerPort": 8000}],
        "readinessProbe": {"tcpSocket": {"port": 8000}, "periodSeconds": 1},
        "securityContext": security,
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "ledger", "labels": {"app": "ledger"}},
        "spec": {
            "containers": [container],
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 993,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "ledger"},
        "spec": {"selector": {"app": "ledger"}, "ports": [{"port": 8000}]},
    }
    for manifest in (pod, service):
        kubectl("--namespace", account.namespace, "apply", "--filename", "-", stdin=json.dumps(manifest))
    kubectl("--namespace", account.namespace, "wait", "--for=condition=Ready", "pod/ledger", "--timeout=60s")


def told(account: Account) -> dict[int, int]:
    """How often each number came."""
    program = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8000').read().decode())"
    found = kubectl("--namespace", account.namespace, "exec", "ledger", "--", "python3", "-c", program)
    return {int(number): count for number, count in json.loads(found).items()}


def victims(account: Account) -> dict[str, list[tuple[str, str]]]:
    """Pods that may be killed, by what they are: namespace and name."""
    ours = {
        name: [(SYSTEM_NAMESPACE, pod) for pod in platform_pods(name)] for name in ("frontend", "events", "operator")
    }
    environments = [(account.namespace, pod["metadata"]["name"]) for pod in account.environments("teller")]
    return {**ours, "environment": environments}


def kill_at_random(account: Account, seconds: float, pause: float, killed: Counter[str]) -> None:
    """One pod after the other, each kind in turn in a random order, with a `pause` in which it comes back.

    Goes on beyond `seconds`, for a minute at most, until three have been killed: a busy machine is slow to kill, too.
    """
    deadline, kinds = time.monotonic() + seconds, []
    last = deadline + 60
    while time.monotonic() < deadline or (killed.total() < 3 and time.monotonic() < last):
        kinds = kinds or random.sample(["events", "frontend", "environment", "operator"], 4)
        kind, found = kinds.pop(), victims(account)
        if found[kind]:
            namespace, pod = random.choice(found[kind])
            kubectl(
                "--namespace",
                namespace,
                "delete",
                "pod",
                pod,
                "--grace-period=0",
                "--force",
                "--wait=false",
                "--ignore-not-found",
            )
            killed[kind] += 1
        time.sleep(min(pause, max(0.0, deadline - time.monotonic())))


def redrive(account: Account) -> None:
    """Has what waits for a retry tried now."""
    command = [str(PYTHON), "-m", "kubelambda.cli", "events", "--system-namespace", SYSTEM_NAMESPACE]
    command += ["--release", RELEASE, "redrive", "--namespace", account.namespace]
    subprocess.run(command, check=False, timeout=60)


def run(seconds: float, *, per_second: float = 20, callers: int = 4, pause: float = 6) -> dict[str, Any]:
    """The whole of it; its figures."""
    account = make_account("chaos-events")
    try:
        ledger(account)
        variables = {"LEDGER": f"http://ledger.{account.namespace}.svc:8000"}
        account.function("teller", TELLER, environment={"variables": variables}, timeout=5)
        account.client.invoke(FunctionName=account.arn("teller"), Payload=b'{"number": -1}')
        load, killed = Load(), Counter[str]()
        with ThreadPoolExecutor(callers) as pool:
            for caller in range(callers):
                numbers = iter(range(caller, 1 << 40, callers))
                pool.submit(load.send, account.arn("teller"), numbers, per_second / callers)
            try:
                kill_at_random(account, seconds, pause, killed)
            finally:
                load.stopping.set()
        ended = time.monotonic()
        for kind, component in (("statefulset", "events"), ("deployment", "frontend"), ("deployment", "operator")):
            rolled_out(kind, component)

        def all_there() -> bool:
            if load.promised <= told(account).keys():
                return True
            redrive(account)
            return False

        deadline = time.monotonic() + 240
        while not all_there() and time.monotonic() < deadline:
            time.sleep(1)
        counts = told(account)
        return {
            "seconds": round(seconds),
            "killed": dict(killed),
            "promised": len(load.promised),
            "refused": load.refused,
            "lost": len(load.promised - counts.keys()),
            "came twice or more": sum(count > 1 for number, count in counts.items() if number in load.promised),
            "all there after (s)": round(time.monotonic() - ended, 1),
            "slowest 202 (s)": round(load.slowest, 2),
        }
    finally:
        drop_namespace(account.namespace)


def main() -> int:
    """Prints a table; fails when something that had a 202 never came."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--per-second", type=float, default=20)
    parser.add_argument("--callers", type=int, default=4)
    arguments = parser.parse_args()
    figures = run(arguments.minutes * 60, per_second=arguments.per_second, callers=arguments.callers)
    for name, value in figures.items():
        print(f"{name:<22}{value}")
    return 1 if figures["lost"] else 0


if __name__ == "__main__":
    sys.exit(main())
