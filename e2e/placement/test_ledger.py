"""The ledger of the frontends agrees with the agents, and is put right where it does not (DESIGN §5, rule 5)."""

import re
import time
import uuid

import pytest

from installation import api_server
from installation.account import Account
from installation.kubectl import eventually, kubectl
from installation.load import Load
from installation.release import SYSTEM_NAMESPACE, platform_pods, rolled_out

COMPARED = "kubelambda_ledger_reconciliations_total"
SLEEP = "import time\ndef handler(event, context):\n    time.sleep(event.get('sleep', 0))\n    return event"
STRAY = """
import sys, http.client, pathlib
from kubelambda.core.environment import tokens
ip, uid, request_id = sys.argv[1:]
key = pathlib.Path("/etc/kubelambda-key/key").read_bytes().strip()
headers = {"Authorization": "Bearer " + tokens.environment_token(key, uid), "X-Amzn-RequestId": request_id}
connection = http.client.HTTPConnection(ip, 9010)
connection.request("POST", "/invoke", b'{"sleep": 100}', headers)
print("sent")
"""


def samples(name: str) -> list[float]:
    """A metric, with its labels if it has any, of every frontend that has it."""
    found: list[float] = []
    for pod in platform_pods("frontend"):
        path = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/pods/{pod}:9090/proxy/metrics"
        line = re.search(rf"^{re.escape(name)} (\S+)$", api_server.text(path), re.MULTILINE)
        found += [float(line[1])] if line else []
    return found


def metric(name: str) -> float:
    """A metric that every frontend has, summed."""
    found = samples(name)
    assert len(found) == len(platform_pods("frontend")), f"not every frontend has {name}"
    return sum(found)


def test_the_ledger_does_not_drift_under_load(account: Account) -> None:
    """However quickly requests come and go while it is compared."""
    account.function("steady", SLEEP)
    account.invoke("steady", {})
    with Load(account, "steady", callers=4, pause=0.005) as load:
        eventually(lambda: len(load.outcomes) > 20)
        before = samples(COMPARED)

        def compared() -> bool:
            assert metric("kubelambda_ledger_drift") == 0
            return all(now > then for now, then in zip(samples(COMPARED), before, strict=True))

        eventually(compared)
    assert not load.failed, load.summary()


def test_an_environment_that_runs_what_it_was_not_given_is_retired(account: Account) -> None:
    """Somebody with the environment's token went around the frontends: seen, counted, and put right."""
    account.function("stray", SLEEP, timeout=120)
    account.invoke("stray", {})
    pod = account.environment("stray")
    frontend = platform_pods("frontend")[0]
    place = pod["status"]["podIP"], pod["metadata"]["uid"], str(uuid.uuid4())
    command = ("exec", frontend, "--", "/usr/bin/python3", "-P", "-c", STRAY, *place)
    assert kubectl("--namespace", SYSTEM_NAMESPACE, *command).strip() == "sent"
    eventually(lambda: metric("kubelambda_ledger_drift") == 1)
    eventually(lambda: not account.environments("stray"))
    assert account.invoke("stray", {"again": 1})["Payload"] == {"again": 1}
    eventually(lambda: metric("kubelambda_ledger_drift") == 0)


@pytest.mark.exclusive
def test_a_frontend_rolled_under_load_loses_nothing_and_the_new_one_knows_every_environment(account: Account) -> None:
    """A graceful end drains: zero errors. What nobody calls is known, too: else nobody would ever retire it."""
    for name in ("kept", "called"):
        account.function(name, SLEEP)
        account.invoke(name, {})
    before = account.environment("kept")
    series = f'kubelambda_environments{{function="kept",namespace="{account.namespace}"}}'
    eventually(lambda: sum(samples(series)) == 1)
    with Load(account, "called", callers=3) as load:
        eventually(lambda: len(load.outcomes) > 20)
        kubectl("--namespace", SYSTEM_NAMESPACE, "rollout", "restart", "deployment/kubelambda-frontend")
        rolled_out("deployment", "frontend")
        time.sleep(2)  # those from before still drain
    assert not load.failed, load.summary()
    assert all(outcome.payload == {"number": outcome.number} for outcome in load.outcomes)
    eventually(lambda: sum(samples(series)) == 1)
    after = account.environment("kept")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
