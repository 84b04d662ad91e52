"""The release as a platform team handles it: upgrade under load, uninstall, install with Helm 3 and with Helm 4."""

import os
import time
from pathlib import Path

import pytest

from installation.account import Account, lambda_client
from installation.kubectl import KubectlError, eventually, kubectl, kubectl_json, staying
from installation.load import Load
from installation.release import CHART, RELEASE, SYSTEM_NAMESPACE, find_endpoint, helm

pytestmark = pytest.mark.exclusive
VALUES = Path(__file__).parent.parent / "values.yaml"
CODE = "def handler(event, context):\n    return event"


def install(*more: str, program: str = "helm") -> None:
    """Installs or upgrades the release as `make install` does."""
    command = ["upgrade", "--install", RELEASE, str(CHART), "--wait", "--timeout", "5m", "--values", str(VALUES), *more]
    helm(*command, program=program)


@pytest.mark.parametrize("program", ["helm4", "helm"])
def test_an_upgrade_under_load_loses_no_request(account: Account, program: str) -> None:
    """Every component is rolled, and nothing is lost or answered twice; each Helm goes on from the other's release."""
    account.function("steady", CODE)
    account.invoke("steady", {})
    with Load(account, "steady", callers=2) as load:
        time.sleep(1)
        install("--set", "environments.idleTimeoutSeconds=599", program=program)
        time.sleep(1)
    install(program=program)
    assert not load.failed, load.summary()


def test_an_upgrade_keeps_the_key_of_the_agents(account: Account) -> None:
    """Environments from before the upgrade still obey the frontends after it."""
    secret = kubectl_json("--namespace", SYSTEM_NAMESPACE, "get", "secret", f"{RELEASE}-key")["data"]["key"]
    install()
    assert kubectl_json("--namespace", SYSTEM_NAMESPACE, "get", "secret", f"{RELEASE}-key")["data"]["key"] == secret


def test_annotations_for_environments_replace_idle_ones_only(account: Account) -> None:
    """An environment of a function goes on as it is; the pool behind it is made anew."""
    account.function("goes-on", CODE)
    account.invoke("goes-on", {})
    eventually(lambda: len(account.environments("goes-on")) == 1)
    (before,) = account.environments("goes-on")
    install("--set-string", "environments.podAnnotations.example=new")

    def replaced() -> bool:
        idle = [pod["metadata"] for pod in staying(account.pods("kubelambda.dev/pool=python3.13"))]
        return bool(idle) and all(pod.get("annotations", {}).get("example") == "new" for pod in idle)

    eventually(replaced)
    assert account.invoke("goes-on", {"on": True})["Payload"] == {"on": True}
    (after,) = account.environments("goes-on")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    install()


def test_an_upgrade_brings_the_definitions_up_to_date() -> None:
    """The hook restores a column that an older definition lacks."""
    name = "functions.kubelambda.dev"
    patch = '[{"op": "remove", "path": "/spec/versions/0/additionalPrinterColumns"}]'
    kubectl("patch", "customresourcedefinition", name, "--type=json", "--patch", patch)
    install()
    version = kubectl_json("get", "customresourcedefinition", name)["spec"]["versions"][0]
    assert "additionalPrinterColumns" in version


@pytest.mark.parametrize("program", ["helm4", "helm"])
def test_the_release_can_be_removed_and_installed_again(account: Account, program: str) -> None:
    """Uninstall leaves Functions and definitions; the next install serves them again."""
    install()
    account.function("kept", CODE)
    helm("uninstall", RELEASE, "--wait", "--timeout", "3m")

    def removed() -> bool:
        kinds = "pods,deployments,statefulsets,services"
        ours = ("--selector", "!kubelambda-test")
        left = kubectl_json("--namespace", SYSTEM_NAMESPACE, "get", kinds, *ours)["items"]
        assert not left, [item["metadata"]["name"] for item in left]
        return True

    eventually(removed, timeout=120)
    with pytest.raises(KubectlError):
        kubectl("get", "clusterrole", f"{SYSTEM_NAMESPACE}-{RELEASE}-operator")
    assert account.get("function", "kept")
    install(program=program)
    os.environ["ENDPOINT"] = find_endpoint()
    account.client = lambda_client()
    account.wait_ready("kept", timeout=90)
    assert account.invoke("kept", {"again": program})["Payload"] == {"again": program}
