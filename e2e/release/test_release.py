"""The release as a platform team handles it: upgrade under load, uninstall, install with Helm 3 and with Helm 4."""

import base64
import os
import time
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError

from installation.account import Account, lambda_client
from installation.archives import zipped
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


def idle_pods_are_annotated(account: Account, value: str) -> bool:
    """Whether all environments that wait for a function have the annotation `example`."""
    idle = [pod["metadata"] for pod in staying(account.pods("kubelambda.dev/pool=python3.13"))]
    return bool(idle) and all(pod.get("annotations", {}).get("example") == value for pod in idle)


@pytest.mark.parametrize("program", ["helm4", "helm"])
def test_an_upgrade_under_load_loses_no_request(account: Account, program: str) -> None:
    """Every component is rolled, and nothing is lost or answered twice; each Helm goes on from the other's release.

    Environments from before still obey the frontends after it, one that nobody calls goes on as it is, and the pool
    is made anew with its annotations. Definitions get back a column that they had lost.
    """
    for name in ("steady", "uncalled"):
        account.function(name, CODE)
        account.invoke(name, {})
    before = account.environment("uncalled")
    key = key_of_the_agents()
    patch = '[{"op": "remove", "path": "/spec/versions/0/additionalPrinterColumns"}]'
    kubectl("patch", "customresourcedefinition", DEFINITION, "--type=json", "--patch", patch)
    with Load(account, "steady", callers=2) as load:
        time.sleep(1)
        install("--set-string", f"environments.podAnnotations.example={program}", program=program)
        time.sleep(1)
    assert not load.failed, load.summary()
    assert all(outcome.payload == {"number": outcome.number} for outcome in load.outcomes)
    assert key_of_the_agents() == key
    version = kubectl_json("get", "customresourcedefinition", DEFINITION)["spec"]["versions"][0]
    assert "additionalPrinterColumns" in version
    eventually(lambda: idle_pods_are_annotated(account, program))
    assert account.invoke("uncalled", {"on": True})["Payload"] == {"on": True}
    after = account.environment("uncalled")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]


def test_the_release_can_be_removed_and_installed_again(account: Account) -> None:
    """Uninstall leaves Functions and definitions; the next install, by the other Helm, serves them again.

    Also what nobody could bring again: code that was uploaded, and versions of layers.
    """
    account.function("kept", CODE)
    words = base64.b64encode(zipped({"python/kept.py": "word = 'layer'"})).decode()
    account.apply({"kind": "Layer", "metadata": {"name": "kept"}, "spec": {"content": {"zipFile": words}}})
    eventually(lambda: account.get("layer", "kept")["status"]["latestVersion"] == 1)
    uploaded = {"ZipFile": zipped({"index.py": "import kept\n\ndef handler(event, context):\n    return kept.word"})}
    account.client.create_function(
        FunctionName=account.arn("uploaded"),
        Runtime="python3.13",
        Handler="index.handler",
        Timeout=30,
        Role="arn:aws:iam::123456789012:role/lambda",
        Code=uploaded,
        Layers=[f"{account.arn('kept')}:1".replace(":function:", ":layer:")],
    )
    account.wait_ready("uploaded")
    key = key_of_the_agents()
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
    install(program="helm4")
    os.environ["ENDPOINT"] = find_endpoint()
    account.client = lambda_client(connect_timeout=10)
    assert key_of_the_agents() == key
    account.wait_ready("kept")

    def answered() -> Any:
        """The Service is a new one: nodes know its address a moment later."""
        try:
            return account.invoke("kept", {"again": "helm4"})
        except (ConnectTimeoutError, EndpointConnectionError) as error:
            raise AssertionError(str(error)) from error

    assert eventually(answered)["Payload"] == {"again": "helm4"}
    account.client.update_function_configuration(FunctionName=account.arn("uploaded"), Timeout=20)
    account.client.get_waiter("function_updated_v2").wait(FunctionName=account.arn("uploaded"))
    assert account.invoke("uploaded")["Payload"] == "layer"
