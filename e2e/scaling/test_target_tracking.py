"""Provisioned concurrency follows its utilization on the real cluster: by a real Prometheus, and without one (§8)."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from installation.account import Account
from installation.kubectl import eventually, kubectl, kubectl_json
from installation.load import Load
from installation.release import RELEASE, SYSTEM_NAMESPACE, platform_image, rolled_out

ROOT = Path(__file__).parent.parent.parent
SLEEPER = "import time\ndef handler(event, context):\n    time.sleep(0.3)\n    return context.function_version"
TRACKING = {"targetValue": 0.5, "minCapacity": 1, "maxCapacity": 4}


def aliased(account: Account, name: str) -> None:
    """A published function behind the alias `live`, with one provisioned environment that follows utilization."""
    account.function(name, SLEEPER, publish=True)
    eventually(lambda: account.get("functionversion", f"{name}-1")["status"]["version"] == "1")
    provisioned = {"provisionedConcurrentExecutions": 1, "targetTracking": TRACKING}
    spec = {"functionName": name, "name": "live", "functionVersion": "1", "provisionedConcurrency": provisioned}
    account.apply({"kind": "Alias", "metadata": {"name": f"{name}-live"}, "spec": spec})
    eventually(lambda: status(account, name)["provisionedConcurrency"]["status"] == "READY", timeout=180)


def status(account: Account, name: str) -> Any:
    """What the alias says of itself."""
    return account.get("alias", f"{name}-live").get("status", {})


def active(account: Account, name: str) -> tuple[str, str]:
    """Status and reason of ScalingActive."""
    found = [each for each in status(account, name).get("conditions", []) if each["type"] == "ScalingActive"]
    return (found[0]["status"], found[0]["reason"]) if found else ("", "")


def capacity(account: Account, name: str) -> int:
    """What the scaler asks for."""
    return int(status(account, name).get("scaling", {}).get("capacity", 0))


def scaled_out_and_in(account: Account, name: str) -> None:
    """Three callers on one environment add some; one that pauses much takes some away; nobody gets an error."""

    def grown() -> Any:
        """As it says at that moment: callers that a busy machine is slow to run may have it shrink soon after."""
        found = status(account, name)
        return found if found.get("scaling", {}).get("capacity", 0) >= 3 else None

    with Load(account, f"{name}:live", callers=3) as load:
        found = eventually(grown)
        eventually(lambda: status(account, name)["provisionedConcurrency"]["status"] == "READY", timeout=180)
    assert not load.failed, load.summary()
    assert "is above the target of 0.5" in found["lastScalingActivity"]["cause"]
    high = int(found["scaling"]["capacity"])
    with Load(account, f"{name}:live", callers=1, pause=1.5) as load:
        eventually(lambda: capacity(account, name) < high)
    assert not load.failed, load.summary()


def test_capacity_follows_utilization_without_a_prometheus(account: Account) -> None:
    """The operator reads the frontends by itself."""
    aliased(account, "embedded")
    scaled_out_and_in(account, "embedded")
    eventually(lambda: active(account, "embedded")[0] == "True")


def read_by_the_operator(url: str) -> None:
    """Sets `autoscaling.prometheus.url` where the operator finds it; only that reads it, so only that is restarted."""
    where, name = ("--namespace", SYSTEM_NAMESPACE), f"{RELEASE}-settings"
    settings = json.loads(kubectl_json(*where, "get", "configmap", name)["data"]["settings.json"])
    settings["autoscaling"].pop("prometheus", None)
    if url:
        settings["autoscaling"]["prometheus"] = {"url": url}
    patch = json.dumps({"data": {"settings.json": json.dumps(settings)}})
    kubectl(*where, "patch", "configmap", name, "--type=merge", "--patch", patch)
    kubectl(*where, "rollout", "restart", f"deployment/{RELEASE}-operator")
    rolled_out("deployment", "operator")


@pytest.fixture
def prometheus() -> Iterator[str]:
    """A running Prometheus, which the operator reads meanwhile."""
    program = str(ROOT / "e2e" / "cluster")
    subprocess.run(["python3", program, "images", "--for-tests", "prometheus"], check=True, env=os.environ)
    image = platform_image().replace("/platform:", "/prometheus:")
    manifests = (Path(__file__).parent / "prometheus.yaml").read_text()
    manifests = manifests.replace("kubelambda-system", SYSTEM_NAMESPACE).replace("$IMAGE", image)
    kubectl("apply", "--filename", "-", stdin=manifests)
    where = ("--namespace", "kubelambda-monitoring")
    kubectl(*where, "rollout", "status", "deployment/prometheus", "--timeout=240s", timeout=270)
    read_by_the_operator("http://prometheus.kubelambda-monitoring.svc:9090")
    yield "deployment/prometheus"
    read_by_the_operator("")
    kubectl("delete", "--filename", "-", "--wait=false", stdin=manifests)


@pytest.mark.exclusive
def test_capacity_follows_a_real_prometheus_and_freezes_without_it(account: Account, prometheus: str) -> None:
    """Killed in the middle: the capacity stays, the condition says so, and goes on when it is back."""
    aliased(account, "tracked")
    scaled_out_and_in(account, "tracked")
    eventually(lambda: active(account, "tracked")[0] == "True")
    where = ("--namespace", "kubelambda-monitoring")
    with Load(account, "tracked:live", callers=3) as load:
        eventually(lambda: capacity(account, "tracked") >= 3)
        kubectl(*where, "scale", prometheus, "--replicas=0")
        eventually(lambda: active(account, "tracked") == ("False", "MetricsUnavailable"))
        frozen = capacity(account, "tracked")
        kubectl(*where, "scale", prometheus, "--replicas=1")
        eventually(lambda: active(account, "tracked")[0] == "True")
        assert capacity(account, "tracked") >= frozen
    assert not load.failed, load.summary()
