"""The cluster as the measurements use it: kubectl, Functions, addresses."""

import json
import subprocess
import time
from collections.abc import Callable
from typing import Any

NAMESPACE = "kubelambda-bench"
SYSTEM_NAMESPACE = "kubelambda-system"
RELEASE = "kubelambda"


def kubectl(*arguments: str, stdin: str | None = None) -> str:
    """Runs kubectl; raises with what it said."""
    finished = subprocess.run(["kubectl", *arguments], input=stdin, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise RuntimeError(f"kubectl {' '.join(arguments)}: {finished.stderr.strip()}")
    return finished.stdout


def kubectl_json(*arguments: str) -> Any:
    """What `kubectl … --output json` printed."""
    return json.loads(kubectl(*arguments, "--output", "json"))


def apply(manifest: dict[str, Any]) -> None:
    """Applies one manifest in the namespace of the measurements."""
    kubectl("--namespace", NAMESPACE, "apply", "--filename", "-", stdin=json.dumps(manifest))


def wait(predicate: Callable[[], bool], *, what: str, seconds: float = 120) -> None:
    """Returns once `predicate` holds."""
    deadline = time.monotonic() + seconds
    while not predicate():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not within {seconds} s")
        time.sleep(0.1)


def prepare() -> None:
    """A fresh namespace, on a cluster whose pods and Services this machine reaches."""
    nodes = kubectl_json("get", "nodes")["items"]
    if any(node["spec"].get("providerID", "").startswith("kind://") for node in nodes):
        raise RuntimeError("measurements need the node of our own: this machine does not reach kind's addresses")
    drop()
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    kubectl("apply", "--filename", "-", stdin=json.dumps(manifest))


def drop() -> None:
    """Removes the namespace with everything in it."""
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait", "--timeout=180s")


def function(
    name: str, *, memory: int = 1769, runtime: str = "python3.13", code: str | None = None, **more: Any
) -> None:
    """Applies a hello-world Function, by default with the CPU of one core, and waits until it is Ready."""
    body = code or "def handler(event, context):\n    return {'hello': event.get('name', 'world')}"
    spec = {
        "runtime": runtime,
        "handler": "index.handler",
        "memorySize": memory,
        "timeout": 30,
        "code": {"inline": body},
        **more,
    }
    apply({"apiVersion": "kubelambda.dev/v1alpha1", "kind": "Function", "metadata": {"name": name}, "spec": spec})
    kubectl("--namespace", NAMESPACE, "wait", "--for=condition=Ready", f"function/{name}", "--timeout=120s")


def delete_function(name: str) -> None:
    """Deletes a Function."""
    kubectl("--namespace", NAMESPACE, "delete", "function", name, "--wait")


def account_id() -> str:
    """The account id of the namespace, written there with its first Function."""
    return str(kubectl_json("get", "namespace", NAMESPACE)["metadata"]["annotations"]["kubelambda.dev/account-id"])


def path(name: str) -> str:
    """URL path that invokes a function of the namespace."""
    return f"/2015-03-31/functions/arn:aws:lambda:us-east-1:{account_id()}:function:{name}/invocations"


def service_address(name: str, namespace: str = SYSTEM_NAMESPACE) -> tuple[str, int]:
    """Cluster IP and port of a Service."""
    spec = kubectl_json("--namespace", namespace, "get", "service", name)["spec"]
    return spec["clusterIP"], spec["ports"][0]["port"]


def frontend() -> tuple[str, int]:
    """Address of the chart's frontend."""
    return service_address(f"{RELEASE}-frontend")


def frontends() -> list[tuple[str, int]]:
    """Address of each of the two frontends."""
    return sorted((pod["status"]["podIP"], 8080) for pod in frontend_pods())


def frontend_pods() -> list[Any]:
    """The pods of the frontends."""
    return [pod for pod in pods("app.kubernetes.io/component=frontend", SYSTEM_NAMESPACE) if ready(pod)]


def pods(selector: str, namespace: str = NAMESPACE) -> list[Any]:
    """Pods that are not on their way out."""
    found = kubectl_json("--namespace", namespace, "get", "pods", "--selector", selector)["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def ready(pod: Any) -> bool:
    """Whether a pod is Ready."""
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))


def idle_pool(runtime: str = "python3.13") -> int:
    """Ready pods of a pool."""
    return sum(ready(pod) for pod in pods(f"kubelambda.dev/pool={runtime}"))


def set_pool(size: int, runtime: str = "python3.13") -> None:
    """Sets the size of the namespace's pool and waits for it."""
    kubectl("annotate", "namespace", NAMESPACE, f"pool-size.kubelambda.dev/{runtime}={size}", "--overwrite")
    wait(lambda: idle_pool(runtime) == size == len(pods(f"kubelambda.dev/pool={runtime}")), what=f"a pool of {size}")
