"""Tries every flow, times changes of rules, attachments and cold starts, and writes docs/network-flows.md.

`make network-flows` runs it. It ends with 1, and writes nothing, when a flow is not as the table says.
"""

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from installation.account import Account, drop_namespace, make_account
from installation.kubectl import eventually, kubectl, kubectl_json
from network.attacks import attack_table
from network.flow_peers import Peers, flow_peers
from network.flow_table import FUNCTIONS, OTHERS, PODS, Flow, changed_groups, flows, subnet, table

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "network-flows.md"
CHANGES = 16
REPAIRS = 5
ATTACHED = 8
COLD_STARTS = 16
HUNDRED = 100
HELLO = "def handler(event, context):\n    return 1"
_POOL = "python3.13"
_IDLE = 3


def main() -> None:
    """All of it, in two namespaces of its own."""
    account, other = make_account("flows"), make_account("far")
    try:
        with flow_peers(account, other) as peers:
            with _step("every flow, before and after a change of rules"):
                wanted = flow_verdicts(peers)
            with _step(f"{CHANGES} changes of rules"):
                changes = {**times_of_changes(peers), **times_of_repairs(account)}
        with _step("attachments"):
            attachments = times_of_attachments(account)
    finally:
        for each in (account, other):
            drop_namespace(each.namespace)
    times = {**changes, **attachments}
    DOCUMENT.write_text(document(wanted, times))  # cold starts take longest: what there is by now is kept
    account = make_account("cold")
    try:
        with _step(f"{COLD_STARTS} pairs of cold starts"):
            times |= times_of_cold_starts(account)
    finally:
        drop_namespace(account.namespace)
    DOCUMENT.write_text(document(wanted, times))
    print(DOCUMENT.read_text())


def flow_verdicts(peers: Peers) -> list[Flow]:
    """The flows that were tried; raises AssertionError for one that is not as the table says."""
    wanted = [flow for flow in flows() if flow.target in peers.addresses]

    def settled(expected: Callable[[Flow], str]) -> bool:
        found = peers.tried(wanted)
        wrong = {flow.name: found[flow.name] for flow in wanted if found[flow.name] != expected(flow)}
        assert not wrong
        return True

    eventually(lambda: settled(lambda flow: flow.before))
    for group in changed_groups():
        peers.account.apply(group)
    peers.account.apply(subnet("outside", internet=False))
    eventually(lambda: settled(lambda flow: flow.after))
    return wanted


def times_of_changes(peers: Peers) -> dict[str, list[float]]:
    """Milliseconds from the start of `kubectl apply` to the first packet that passes, or that does not any more."""
    flow = next(each for each in flows() if (each.source, each.target, each.port) == ("app", "db", 5432))
    rule = {"ipProtocol": "tcp", "fromPort": 5432, "toPort": 5432, "to": [{"securityGroup": "db"}]}
    found: dict[str, list[float]] = {"opened": [], "closed": [], "kubectl": []}
    with ThreadPoolExecutor(1) as watching:
        for number in range(CHANGES):
            opens = number % 2 == 0
            seen = watching.submit(peers.watch, flow, "reached" if opens else "blocked")
            time.sleep(1)
            began = time.time()
            spec = {"egress": [rule]} if opens else {}
            peers.account.apply({"kind": "SecurityGroup", "metadata": {"name": "app"}, "spec": spec})
            found["kubectl"].append((time.time() - began) * 1000)
            at = seen.result()
            assert at is not None, f"the change had no effect: {spec}"
            found["opened" if opens else "closed"].append((at - began) * 1000)
    return {
        "a rule added → the first packet passes": found["opened"],
        "a rule removed → the first packet does not": found["closed"],
        "of which `kubectl apply` itself": found["kubectl"],
    }


def times_of_repairs(account: Account) -> dict[str, list[float]]:
    """Milliseconds until a policy that somebody deletes by hand is there again, as `kubectl` sees it."""
    selector = "kubelambda.dev/network-policy,kubelambda.dev/network-policy!=base"
    space, found = ("--namespace", account.namespace), []
    for _ in range(REPAIRS):
        policy = kubectl_json(*space, "get", "networkpolicies", "--selector", selector)["items"][0]["metadata"]
        kubectl(*space, "delete", "networkpolicy", policy["name"])
        began = time.monotonic()

        def there_again(policy: dict[str, Any] = policy) -> bool:
            listed = kubectl_json(*space, "get", "networkpolicies", "--selector", selector)["items"]
            uids = {each["metadata"]["name"]: each["metadata"]["uid"] for each in listed}
            return uids.get(policy["name"], policy["uid"]) != policy["uid"]

        eventually(there_again, interval=0.02)
        found.append((time.monotonic() - began) * 1000)
    return {"a policy deleted by hand → there again": found}


def times_of_attachments(account: Account) -> dict[str, list[float]]:
    """Milliseconds from the start of `kubectl apply` of a Function until it is Ready."""
    plain, first, second = [], [], []
    before = _policies(account)
    for number in range(ATTACHED):
        plain.append(_ready_after(account, _function(f"plain-{number}")))
        account.apply({"kind": "SecurityGroup", "metadata": {"name": f"set-{number}"}, "spec": {}})
        first.append(_ready_after(account, _function(f"first-{number}", f"set-{number}")))
        # A Function need not wait for its policy: it is there a moment after the first is Ready.
        before = eventually(lambda known=before: found if len(found := _policies(account)) > len(known) else None)
        second.append(_ready_after(account, _function(f"second-{number}", f"set-{number}")))
        assert _policies(account) == before, "a second function of a set made a policy"
    _ready_after(account, *(_function(f"of-many-{number}", "set-0") for number in range(2, HUNDRED - 1)))
    later = [_function(f"of-many-{number}", "set-0") for number in range(HUNDRED, HUNDRED + ATTACHED)]
    hundredth = [_ready_after(account, function) for function in later]
    return {
        "a Function without a vpcConfig → Ready": plain,
        "the first Function of a set → Ready": first,
        "the second Function of a set → Ready": second,
        f"the {HUNDRED}th of a set, and those after it → Ready": hundredth,
    }


def times_of_cold_starts(account: Account) -> dict[str, list[float]]:
    """Milliseconds of the first invocation of functions that never ran, from a pool; with a vpcConfig and without."""
    account.apply(subnet("private", internet=False))
    account.apply({"kind": "SecurityGroup", "metadata": {"name": "cold"}, "spec": {}})
    _ready_after(account, _function("keeper"), _function("closed-keeper", "cold"))
    pools = eventually(lambda: _pools(account))
    for pool in pools.values():
        kubectl("annotate", "namespace", account.namespace, f"pool-size.kubelambda.dev/{pool}={_IDLE}", "--overwrite")
    found: dict[str, list[float]] = {"open": [], "closed": []}
    for number in range(COLD_STARTS):
        for kind, group in (("open", None), ("closed", "cold"))[:: 1 if number % 2 else -1]:
            name = f"{kind}-{number}"
            _ready_after(account, _function(name, group))
            eventually(lambda: all(_idle(account, pool) >= _IDLE for pool in pools.values()))
            time.sleep(0.5)
            found[kind].append(_milliseconds(f"/2015-03-31/functions/{account.arn(name)}/invocations"))
            kubectl("--namespace", account.namespace, "delete", "function", name, "--wait=false")
    return {
        "cold start from the pool, without a vpcConfig": found["open"],
        "cold start from the closed pool, with one": found["closed"],
    }


def _milliseconds(path: str) -> float:
    """Of one invocation, on a connection that was made before the clock started."""
    with closing(HTTPConnection(urlsplit(os.environ["ENDPOINT"]).netloc, timeout=120)) as connection:
        connection.connect()
        started = time.perf_counter()
        connection.request("POST", path, b"{}")
        answer = connection.getresponse()
        answer.read()
        elapsed = (time.perf_counter() - started) * 1000
    if answer.status != 200 or answer.headers["X-Amz-Function-Error"]:
        raise RuntimeError(f"the invocation answered {answer.status}, {answer.headers['X-Amz-Function-Error']}")
    return elapsed


def document(wanted: list[Flow], times: dict[str, list[float]]) -> str:
    """The whole document."""
    cores, system = os.cpu_count(), f"{platform.system()} {platform.release()}"
    left_out = "" if len(wanted) == len(flows()) else " Flows to the internet were left out: the node had no address."
    timings = [f"| {name} | {len(values)} | {_percentile(values, 0.5):.0f} | {_percentile(values, 0.95):.0f} |"
               for name, values in times.items()]  # fmt: skip
    return f"""# Which packets pass

Written by `make network-flows`, which tries all of it with real packets on the test cluster; `e2e/network` holds every
row of the first two tables. The test cluster's nodes enforce NetworkPolicies with nftables (`e2e/cluster`).

## Flows

{len(wanted)} flows, each at first and once the rules had been changed under environments that run.{left_out}

{table(flows())}

{_legend("From and to", {**FUNCTIONS, **PODS, **OTHERS})}

The rules before and after are in `e2e/network/flow_table.py`.

## Attacks

What user code gets when it tries what is not its own: an HTTP status, or no connection at all.

{attack_table()}

The frontends' ports for InvokeEndpoints are [theirs to open](network.md#invoke-endpoints).

## Times

Measured on {cores} cores, {system}, {datetime.now(UTC):%Y-%m-%d}, in milliseconds.

| from → to | times | p50 | p95 |
|---|---|---|---|
{chr(10).join(timings)}

A second Function of a set makes no object but itself. What a plugin takes to enforce a policy is part of the first two
rows: here it is the test node's own.
"""


def _legend(title: str, meanings: dict[str, str]) -> str:
    return "\n".join([f"{title}:", "", *(f"- **{name}**: {meaning}" for name, meaning in meanings.items())])


def _percentile(values: list[float], share: float) -> float:
    return statistics.median(values) if share == 0.5 else sorted(values)[min(len(values) - 1, int(len(values) * share))]


def _function(name: str, group: str | None = None) -> dict[str, Any]:
    network = {"vpcConfig": {"subnetIds": ["private"], "securityGroupIds": [group]}} if group else {}
    spec = {
        "runtime": "python3.13",
        "handler": "index.handler",
        "memorySize": 1769,
        "code": {"inline": HELLO},
        **network,
    }
    return {"apiVersion": "kubelambda.dev/v1alpha1", "kind": "Function", "metadata": {"name": name}, "spec": spec}


def _ready_after(account: Account, *manifests: dict[str, Any]) -> float:
    """Milliseconds until all of them are Ready."""
    space, began = ("--namespace", account.namespace), time.monotonic()
    listed = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
    kubectl(*space, "apply", "--filename", "-", stdin=json.dumps(listed))
    names = [f"function/{manifest['metadata']['name']}" for manifest in manifests]
    kubectl(*space, "wait", "--for=condition=Ready", *names, "--timeout=110s")
    return (time.monotonic() - began) * 1000


def _policies(account: Account) -> set[str]:
    listed = kubectl_json("--namespace", account.namespace, "get", "networkpolicies")["items"]
    return {each["metadata"]["uid"] for each in listed}


def _pools(account: Account) -> dict[str, str]:
    """The generic pool and that of closed pods, once both are there."""
    listed = kubectl_json("--namespace", account.namespace, "get", "deployments")["items"]
    names = {each["metadata"]["labels"].get("kubelambda.dev/pool", "") for each in listed} - {""}
    closed = names - {_POOL}
    return {"open": _POOL, "closed": closed.pop()} if _POOL in names and closed else {}


def _idle(account: Account, pool: str) -> int:
    pods = account.pods(f"kubelambda.dev/pool={pool}")
    return sum(
        any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", []))
        for pod in pods
        if "deletionTimestamp" not in pod["metadata"]
    )


@contextmanager
def _step(title: str) -> Iterator[None]:
    print(f"  {title} …", end="", flush=True, file=sys.stderr)
    began = time.monotonic()
    yield
    print(f" {time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
