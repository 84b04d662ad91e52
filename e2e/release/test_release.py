"""The release as a platform team handles it: upgrade under load, uninstall, install with Helm 3 and with Helm 4."""

import os
import time

import pytest

from installation.account import Account, lambda_client
from installation.kubectl import KubectlError, eventually, kubectl, kubectl_json, staying
from installation.load import Load
from installation.release import RELEASE, SYSTEM_NAMESPACE, find_endpoint, helm, install

pytestmark = pytest.mark.exclusive
DEFINITION = "functions.kubelambda.dev"
CODE = "def handler(event, context):\n    return event"


def key_of_the_agents() -> str:
    """What environments know a frontend by."""
    found: str = kubectl_json("--namespace", SYSTEM_NAMESPACE, "get", "secret", f"{RELEASE}-key")["data"]["key"]
    return found


@pytest.mark.parametrize(("program", "seconds"), [("helm4", 599), ("helm", 598)])
def test_an_upgrade_under_load_loses_no_request(account: Account, program: str, seconds: int) -> None:
    """Every component is rolled, and nothing is lost or answered twice; each Helm goes on from the other's release.

    Environments from before still obey the frontends after it, and definitions get back a column that they had lost.
    """
    account.function("steady", CODE)
    account.invoke("steady", {})
    key = key_of_the_agents()
    patch = '[{"op": "remove", "path": "/spec/versions/0/additionalPrinterColumns"}]'
    kubectl("patch", "customresourcedefinition", DEFINITION, "--type=json", "--patch", patch)
    with Load(account, "steady", callers=2) as load:
        time.sleep(1)
        install("--set", f"environments.idleTimeoutSeconds={seconds}", program=program)
        time.sleep(1)
    assert not load.failed, load.summary()
    assert key_of_the_agents() == key
    version = kubectl_json("get", "customresourcedefinition", DEFINITION)["spec"]["versions"][0]
    assert "additionalPrinterColumns" in version


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


@pytest.mark.parametrize("program", ["helm4", "helm"])
def test_the_release_can_be_removed_and_installed_again(account: Account, program: str) -> None:
    """Uninstall leaves Functions and definitions; the next install serves them again."""
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
