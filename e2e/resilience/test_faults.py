"""What is killed under load, and that nothing but its own invocations in flight is lost (DESIGN §5)."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from installation.account import Account
from installation.kubectl import KubectlError, eventually, kubectl, kubectl_json
from installation.load import COUNT, Load, Outcome
from installation.release import RELEASE, SYSTEM_NAMESPACE, platform_pods, restart_of_the_cluster, rolled_out

HANGS_S = 50
"""What takes so long ends with the function's timeout only; starts take some seconds where much is killed at once."""

SLEEPY = """
import time

def handler(event, context):
    if event:
        print("sleeps")
        time.sleep(event)
    return "alive"
"""


@pytest.fixture(scope="module")
def counted(account: Account) -> str:
    """A function that notices when it gets an event twice."""
    account.function("counted", COUNT, timeout=60)
    account.invoke("counted", {"number": -1})
    return "counted"


def test_environments_killed_under_load_cost_only_their_own_invocations(account: Account, counted: str) -> None:
    """Each kill may cost the one request in flight there, which gets a Lambda error at once and never hangs."""
    kills = 0
    with Load(account, counted, callers=3) as load:
        for _ in range(4):
            time.sleep(1)
            for pod in account.environments(counted)[:1]:
                name = pod["metadata"]["name"]
                kubectl(
                    "--namespace",
                    account.namespace,
                    "delete",
                    "pod",
                    name,
                    "--grace-period=0",
                    "--force",
                    "--wait=false",
                    "--ignore-not-found",
                )
                kills += 1
        eventually(lambda: len(load.outcomes) > 100)
    assert all(outcome.function_error == "Unhandled" for outcome in load.failed), load.summary()
    assert len(load.failed) <= kills, load.summary()
    assert max(outcome.seconds for outcome in load.outcomes) < HANGS_S, load.summary()
    assert load.nothing_duplicated


def test_environments_deleted_gracefully_lose_nothing(account: Account, counted: str) -> None:
    """A drain finishes what runs and takes nothing new: zero errors."""
    with Load(account, counted, callers=3) as load:
        for _ in range(4):
            time.sleep(1)
            for pod in account.environments(counted)[:1]:
                kubectl(
                    "--namespace",
                    account.namespace,
                    "delete",
                    "pod",
                    pod["metadata"]["name"],
                    "--wait=false",
                    "--ignore-not-found",
                )
        time.sleep(1)
    assert not load.failed, load.summary()
    assert load.nothing_duplicated


def died_with_a_frontend(outcome: Outcome) -> bool:
    """Whether a request was lost with the frontend that had it, its caller's own or the one that ran it for that."""
    error = outcome.error or ""
    return "Connect" in error or "the frontend that ran the request ended" in error or bool(outcome.function_error)


@pytest.mark.exclusive
def test_a_frontend_killed_under_load_costs_only_its_connections(account: Account, counted: str) -> None:
    """Callers see their own connection break, at most one request each; the other frontend goes on."""
    # The cluster may send new connections there for a moment: nothing of a request was sent then.
    with Load(account, counted, callers=4, connects=600) as load:
        eventually(lambda: len(load.outcomes) > 20)
        there = platform_pods("frontend")
        now = ("--grace-period=0", "--force", "--wait=false")
        kubectl("--namespace", SYSTEM_NAMESPACE, "delete", "pod", there[0], *now)
        eventually(lambda: set(platform_pods("frontend")) - set(there))
        rolled_out("deployment", "frontend")
    assert len(load.failed) <= 8, load.summary()
    assert all(died_with_a_frontend(outcome) for outcome in load.failed), load.summary()
    assert load.nothing_duplicated


@pytest.mark.exclusive
def test_pods_that_fill_the_cluster_do_not_keep_a_frontend_out(account: Account, counted: str) -> None:
    """Everything that environments may be gives way to the replacement, though more of it waits for the same room."""
    fill_the_cluster(account)
    try:
        with Load(account, counted, callers=2) as load:
            there = platform_pods("frontend")
            kubectl("--namespace", SYSTEM_NAMESPACE, "delete", "pod", there[0], "--wait=false")
            eventually(lambda: set(platform_pods("frontend")) - set(there))
            rolled_out("deployment", "frontend")
        assert not load.failed, load.summary()
    finally:
        kubectl("--namespace", account.namespace, "delete", "deployment", "filler", "--wait=false")


def fill_the_cluster(account: Account) -> None:
    """Asks for half more of processor time than there is."""
    nodes = kubectl_json("get", "nodes")["items"]
    portion = sum(millicores(node["status"]["allocatable"]["cpu"]) for node in nodes) // 20
    security = {
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    image = kubectl_json("get", "runtime", "python3.13")["spec"]["image"]
    container = {
        "name": "filler",
        "image": image,
        "command": ["sleep", "3600"],
        "resources": {"requests": {"cpu": f"{portion}m"}},
        "securityContext": security,
    }
    labels = {"app": "filler"}
    template = {"metadata": {"labels": labels}, "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]}}
    spec = {"replicas": 30, "selector": {"matchLabels": labels}, "template": template}
    account.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "filler"}, "spec": spec})

    def full() -> bool:
        conditions = [each for pod in account.pods("app=filler") for each in pod["status"].get("conditions", [])]
        return any(each.get("reason") == "Unschedulable" for each in conditions)

    eventually(full)


def millicores(quantity: str) -> int:
    """Kubernetes' notation of processor time."""
    return int(quantity.removesuffix("m")) if quantity.endswith("m") else int(quantity) * 1000


@pytest.mark.exclusive
def test_the_operator_is_never_on_the_path_of_a_request(account: Account, counted: str) -> None:
    """With every operator gone, invocations and cold starts go on."""
    account.function("cold-without-operator", COUNT)
    with Load(account, counted, callers=2) as load:
        kubectl("--namespace", SYSTEM_NAMESPACE, "scale", f"deployment/{RELEASE}-operator", "--replicas=0")
        eventually(lambda: not platform_pods("operator"))
        assert account.invoke("cold-without-operator", {"number": 1})["Payload"]["number"] == 1
        time.sleep(1)
        kubectl("--namespace", SYSTEM_NAMESPACE, "scale", f"deployment/{RELEASE}-operator", "--replicas=2")
    rolled_out("deployment", "operator")
    assert not load.failed, load.summary()


@pytest.mark.exclusive
def test_a_killed_operator_leader_is_replaced(account: Account) -> None:
    """The other replica takes the lease, and a new Function becomes Ready."""

    def leader() -> str | None:
        lease = kubectl_json("--namespace", SYSTEM_NAMESPACE, "get", "lease", f"{RELEASE}-operator")
        identity = lease["spec"].get("holderIdentity", "")
        return next((name for name in platform_pods("operator") if name in identity), None)

    holder = eventually(leader)
    assert holder is not None
    kubectl("--namespace", SYSTEM_NAMESPACE, "delete", "pod", holder, "--grace-period=0", "--force", "--wait=false")
    account.function("after-failover", COUNT, ready=False)
    account.wait_ready("after-failover")
    rolled_out("deployment", "operator")


@pytest.mark.exclusive
def test_a_restarted_api_server_does_not_disturb_warm_invocations(account: Account, counted: str) -> None:
    """Frontends serve from what they know while the API server is away."""
    with Load(account, counted, callers=2) as load:
        time.sleep(1)
        restart_of_the_cluster("apiserver")
        time.sleep(3)
    assert not load.failed, load.summary()
    account.function("after-restart", COUNT)
    assert account.invoke("after-restart", {"number": 5})["Payload"]["number"] == 5


@pytest.mark.exclusive
def test_a_lost_code_store_stops_no_environment(account: Account, counted: str) -> None:
    """Environments that run go on without it, and it comes back by itself."""
    with Load(account, counted, callers=2) as load:
        pod = platform_pods("code-store")[0]
        kubectl("--namespace", SYSTEM_NAMESPACE, "delete", "pod", pod, "--grace-period=0", "--force", "--wait=false")
        time.sleep(2)
    rolled_out("statefulset", "code-store")
    assert not load.failed, load.summary()


def processes(pod_uid: str) -> list[int]:
    """Process ids of a pod's containers as this machine numbers them, the agent's first; none if it is not the node."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            group, command = (process / "cgroup").read_text(), (process / "cmdline").read_bytes()
            status = (process / "status").read_text()
        except OSError:
            continue
        if (pod_uid in group or pod_uid.replace("-", "_") in group) and b"kubelambda/agent" in command:
            # By their numbers in the pod: those of this machine begin anew now and then.
            inside = next(line for line in status.splitlines() if line.startswith("NSpid:"))
            found.append((int(inside.split()[-1]), int(process.name)))
    return [process for _, process in sorted(found)]


def test_agents_killed_under_load_cost_only_their_own_invocations(account: Account, counted: str) -> None:
    """Process 1 dies without a word: the request in flight there gets a Lambda error, and no event is sent twice."""
    account.invoke(counted, {"number": -2})
    there = eventually(lambda: account.environments(counted))
    if not any(processes(pod["metadata"]["uid"]) for pod in there):
        pytest.skip("the pods do not run on this machine, so their processes cannot be killed from here")
    kills = 0
    with Load(account, counted, callers=4) as load:
        until = time.monotonic() + 180
        while kills < 8 and time.monotonic() < until:
            time.sleep(1)
            # Of those that run: an environment whose agent is gone stays for a moment.
            agents = [processes(pod["metadata"]["uid"])[:1] for pod in account.environments(counted)]
            for (agent,) in [found for found in agents if found][:2]:
                with suppress(ProcessLookupError):
                    os.kill(agent, signal.SIGKILL)
                    kills += 1
        eventually(lambda: len(load.outcomes) > 100)
        time.sleep(1)
    assert kills >= 5
    assert len(load.failed) <= kills, load.summary()
    assert all(outcome.function_error == "Unhandled" for outcome in load.failed), load.summary()
    assert {outcome.payload["errorType"] for outcome in load.failed} <= {"Sandbox.Failure"}, load.summary()
    assert max(outcome.seconds for outcome in load.outcomes) < HANGS_S, load.summary()
    assert load.nothing_duplicated


def test_an_agent_that_says_nothing_any_more_is_given_up(account: Account) -> None:
    """A frozen process 1: five seconds after the function's timeout the platform answers in its place."""
    account.function("frozen", SLEEPY, timeout=15)
    with ThreadPoolExecutor(1) as background:
        started = time.monotonic()
        call = background.submit(account.invoke, "frozen", 60)
        # Where it runs already: an idle one that is slow to say how it is would be given nothing.
        pod = eventually(lambda: where_it_sleeps(account, "frozen"))
        found = processes(pod["metadata"]["uid"])
        if not found:
            pytest.skip("the pods do not run on this machine, so their processes cannot be stopped from here")
        os.kill(found[0], signal.SIGSTOP)
        answer = call.result()
    assert answer["Payload"]["errorType"] == "Sandbox.Failure", answer
    assert answer["FunctionError"] == "Unhandled"
    assert "did not answer in time" in answer["Payload"]["errorMessage"]
    assert 15 < time.monotonic() - started < 75
    assert account.invoke("frozen", 0)["Payload"] == "alive"
    eventually(lambda: pod["metadata"]["name"] not in {each["metadata"]["name"] for each in account.pods()})


def where_it_sleeps(account: Account, function: str) -> Any:
    """The environment whose function has said that it sleeps; None while none has."""
    for pod in account.environments(function):
        with suppress(KubectlError):  # one that is only about to start, or goes, has no log
            if "sleeps" in kubectl("--namespace", account.namespace, "logs", pod["metadata"]["name"]):
                return pod
    return None


def test_user_code_cannot_kill_its_agent(account: Account) -> None:
    """Process 1 of a container is out of reach of the signals of its children."""
    code = "import os, signal\ndef handler(event, context):\n    os.kill(1, signal.SIGKILL)\n    return 'alive'"
    account.function("suicidal", code, timeout=10)
    for _ in range(2):
        assert account.invoke("suicidal", {})["Payload"] == "alive"
