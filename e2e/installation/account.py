"""A namespace of a test's own, and the Lambda client of a caller in it; manifests as Python values."""

import json
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config

from installation import api_server
from installation.kubectl import eventually, kubectl, staying

os.environ.setdefault("AWS_ACCESS_KEY_ID", "none")
os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "none")
os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")


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
        spec.setdefault("timeout", 30)  # three seconds, the default, are short where many share few processors
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

    def wait_ready(self, name: str, timeout: int = 180) -> None:
        """Waits as GitOps tools do: for the Ready condition of the current generation."""

        def current() -> bool:
            found = self.get("function", name)
            status = found.get("status", {})
            observed = status.get("observedGeneration") == found["metadata"]["generation"]
            ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", []))
            if not (observed and ready):
                raise AssertionError(f"{name} is not Ready: {json.dumps(status)}")
            return True

        eventually(current, timeout=timeout)

    def get(self, kind: str, name: str) -> Any:
        """One object."""
        return api_server.found(kind, name, namespace=self.namespace)

    def pods(self, selector: str = "app.kubernetes.io/component=environment") -> list[Any]:
        """Pods by label."""
        found: list[Any] = api_server.found("pods", namespace=self.namespace, selector=selector)["items"]
        return found

    def environments(self, name: str) -> list[Any]:
        """Environments of a function that are not on their way out."""
        return staying(self.pods(f"kubelambda.dev/function={name}"))

    def environment(self, name: str) -> Any:
        """The environment of a function that has one. Kubernetes may hear of it after the first answer has come.

        Until then it may show another: the pod that a start made for itself before one of the pool was there. Such a
        pod is not ready yet, and goes.
        """

        def only() -> Any:
            (found,) = self.environments(name)
            (ready,) = (each["status"] for each in found["status"]["conditions"] if each["type"] == "Ready")
            assert ready == "True", f"{found['metadata']['name']} is not ready"
            return found

        return eventually(only)

    def in_one_environment(self, name: str, attempt: Callable[[], object]) -> None:
        """Makes calls that all have to reach the same environment of a function; a failure counts if it has only one.

        Nothing is given to an idle environment that is slow to say how it is, and another one starts beside it: the
        calls are made anew then, a few times at most. One that has ended is no excuse.
        """
        for _ in range(4):
            try:
                attempt()
            except AssertionError:
                if len(self.environments(name)) < 2:
                    raise
            else:
                return
        attempt()

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
    settings = Config(**{"retries": {"max_attempts": 0}, "read_timeout": 240, "max_pool_connections": 64, **config})
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
        metadata = api_server.found("namespace", account.namespace)["metadata"]
        return str(metadata["annotations"]["kubelambda.dev/account-id"])

    found = eventually(annotated)
    kubectl("--namespace", account.namespace, "delete", "function", "account-id")
    return found


def drop_namespace(namespace: str) -> None:
    """Deletes a namespace without waiting for it."""
    kubectl("delete", "namespace", namespace, "--wait=false")
