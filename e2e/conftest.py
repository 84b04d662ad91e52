"""A namespace of its own for every test module, real clients, and manifests as Python values."""

import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

SYSTEM_NAMESPACE = os.environ.get("SYSTEM_NAMESPACE", "kubelambda-system")
RELEASE = os.environ.get("RELEASE", "kubelambda")

os.environ.setdefault("AWS_ACCESS_KEY_ID", "none")
os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "none")
os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the release itself come last: they take it away from under the others."""
    items.sort(key=lambda item: "test_release" in item.nodeid)


class KubectlError(AssertionError):
    """kubectl refused; the message is what it said."""


def kubectl(*arguments: str, stdin: str | None = None, timeout: float = 120) -> str:
    """Runs kubectl and returns what it printed."""
    finished = subprocess.run(
        ["kubectl", *arguments], input=stdin, capture_output=True, text=True, timeout=timeout, check=False
    )
    if finished.returncode:
        raise KubectlError(finished.stderr.strip())
    return finished.stdout


def kubectl_json(*arguments: str) -> Any:
    """What `kubectl … --output json` printed."""
    return json.loads(kubectl(*arguments, "--output", "json"))


def eventually[T](attempt: Callable[[], T], *, timeout: float = 60, interval: float = 0.25) -> T:
    """The first true result of `attempt`; its last assertion error, or False result, after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            result = attempt()
            if result:
                return result
            failure: Exception = AssertionError(f"{attempt} stayed {result!r} for {timeout} s")
        except (AssertionError, KeyError, IndexError) as error:
            failure = error
        if time.monotonic() > deadline:
            raise failure
        time.sleep(interval)


def staying(pods: list[Any]) -> list[Any]:
    """Those that are not on their way out."""
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def platform_pods(component: str) -> list[str]:
    """Names of a component's pods that are not on their way out."""
    selector = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component={component}"
    found = kubectl_json("--namespace", SYSTEM_NAMESPACE, "get", "pods", "--selector", selector)["items"]
    return [pod["metadata"]["name"] for pod in staying(found)]


def rolled_out(kind: str, component: str) -> None:
    """Waits until a component is whole again."""
    name = f"{kind}/{RELEASE}-{component}"
    kubectl("--namespace", SYSTEM_NAMESPACE, "rollout", "status", name, "--timeout=120s", timeout=150)


@contextmanager
def forwarded(pod: str, port: int) -> Iterator[str]:
    """URL on this machine that leads to one pod of the release, whose own address may be for the cluster only."""
    command = ["kubectl", "--namespace", SYSTEM_NAMESPACE, "port-forward", f"pod/{pod}", f":{port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forwarding:
        try:
            assert forwarding.stdout is not None
            said = forwarding.stdout.readline()
            assert said.startswith("Forwarding from "), said
            yield f"http://{said.split()[2]}"
        finally:
            forwarding.terminate()


def find_endpoint() -> str:
    """URL of the frontend as reachable from this machine, of the release as it is installed now."""
    program = str(Path(__file__).parent / "cluster")
    command = ["python3", program, "endpoint", "--namespace", SYSTEM_NAMESPACE, "--service", f"{RELEASE}-frontend"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.strip()


@dataclass
class Account:
    """A namespace with functions, and the Lambda client of a caller in it."""

    namespace: str
    client: Any
    account_id: str = ""
    _names: list[str] = field(default_factory=list)

    def function(self, name: str, source: str = "", *, ready: bool = True, **spec: Any) -> str:
        """Applies a Function; `source` is inline Python unless `spec` says otherwise. Returns its ARN."""
        spec.setdefault("runtime", "python3.13")
        spec.setdefault("handler", "index.handler")
        spec.setdefault("memorySize", 256)
        if source:
            spec.setdefault("code", {"inline": source})
        self.apply({"kind": "Function", "metadata": {"name": name}, "spec": spec})
        if ready:
            self.wait_ready(name)
        return self.arn(name)

    def apply(self, manifest: dict[str, Any]) -> None:
        """Applies one manifest in this namespace."""
        manifest = {"apiVersion": "kubelambda.dev/v1alpha1", **manifest}
        kubectl("--namespace", self.namespace, "apply", "--filename", "-", stdin=json.dumps(manifest))

    def wait_ready(self, name: str, timeout: int = 60) -> None:
        """Waits as GitOps tools do: for the Ready condition of the current generation."""

        def current() -> bool:
            status = self.get("function", name).get("status", {})
            observed = status.get("observedGeneration") == self.get("function", name)["metadata"]["generation"]
            ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", []))
            if not (observed and ready):
                raise AssertionError(f"{name} is not Ready: {json.dumps(status)}")
            return True

        eventually(current, timeout=timeout)

    def get(self, kind: str, name: str) -> Any:
        """One object."""
        return kubectl_json("--namespace", self.namespace, "get", kind, name)

    def pods(self, selector: str = "app.kubernetes.io/component=environment") -> list[Any]:
        """Pods by label."""
        found: list[Any] = kubectl_json("--namespace", self.namespace, "get", "pods", "--selector", selector)["items"]
        return found

    def environments(self, name: str) -> list[Any]:
        """Environments of a function that are not on their way out."""
        return staying(self.pods(f"kubelambda.dev/function={name}"))

    def arn(self, name: str) -> str:
        """ARN of a function here."""
        return f"arn:aws:lambda:us-east-1:{self.account_id}:function:{name}"

    def invoke(self, name: str, event: Any = None, **more: Any) -> Any:
        """Invokes with boto3 and decodes the payload into `["Payload"]`."""
        answer = self.client.invoke(FunctionName=self.arn(name), Payload=json.dumps(event), **more)
        body = answer["Payload"].read()
        answer["Payload"] = json.loads(body) if body else None
        return answer


def lambda_client(**config: Any) -> Any:
    """A boto3 client that never retries by itself, so that tests see every answer."""
    settings = Config(retries={"max_attempts": 0}, read_timeout=120, max_pool_connections=64, **config)
    return boto3.client("lambda", endpoint_url=os.environ["ENDPOINT"], config=settings)


def make_account(prefix: str) -> Account:
    """A new namespace under the `restricted` Pod Security standard."""
    namespace = f"{prefix}-{uuid.uuid4().hex[:6]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "kubelambda-test": "true"}
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}
    kubectl("apply", "--filename", "-", stdin=json.dumps(manifest))
    account = Account(namespace, lambda_client())
    account.account_id = account_id_of(account)
    return account


def account_id_of(account: Account) -> str:
    """The account id of a namespace, which appears on it with its first Function."""
    inert = {"runtime": "none", "handler": "none", "code": {"inline": "none"}}
    account.apply({"kind": "Function", "metadata": {"name": "account-id"}, "spec": inert})

    def annotated() -> str:
        metadata = kubectl_json("get", "namespace", account.namespace)["metadata"]
        return str(metadata["annotations"]["kubelambda.dev/account-id"])

    found = eventually(annotated)
    kubectl("--namespace", account.namespace, "delete", "function", "account-id")
    return found


def drop_namespace(namespace: str) -> None:
    """Deletes a namespace without waiting for it."""
    kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture(scope="module")
def account(request: pytest.FixtureRequest) -> Iterator[Account]:
    """A namespace for the tests of one module."""
    made = make_account(request.module.__name__.rpartition(".")[2].replace("_", "-").removeprefix("test-"))
    yield made
    drop_namespace(made.namespace)


@pytest.fixture(scope="module")
def other_account() -> Iterator[Account]:
    """A second namespace."""
    made = make_account("other")
    yield made
    drop_namespace(made.namespace)
