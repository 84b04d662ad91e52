"""Cold starts by the shape of their pods, each with and without a warm pool of it, beside the start of a plain pod.

`python -m bench.cold_shapes [--claims 50] [--image URI]`: prints one line a shape, p50 and p95 in milliseconds.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from typing import Any

from bench import cluster, load

VPC = {"subnetIds": ["bench"], "securityGroupIds": ["bench"]}
SHAPES: dict[str, dict[str, Any]] = {
    "generic": {},
    "own /tmp": {"ephemeralStorage": {"size": 1024}},
    "file system": {"fileSystemConfigs": [{"arn": "bench", "localMountPath": "/mnt/data"}]},
    "vpcConfig": {"vpcConfig": VPC},
}
IDLE = 3
RUNTIME = {"runtime": "python3.13", "handler": "index.handler"}
CODE = {"inline": "def handler(event, context):\n    return {'hello': event.get('name', 'world')}"}


def main() -> None:
    """Measures all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--claims", type=int, default=50)
    parser.add_argument("--image", help="a function's image that the node has, as its imageUri")
    arguments = parser.parse_args()
    cluster.prepare()
    try:
        requisites()
        print(f"{'shape':<14}{'pool p50':>10}{'p95':>8}{'none p50':>10}{'p95':>8}   ms, {arguments.claims} claims each")
        shapes = dict(SHAPES)
        if arguments.image:
            shapes["image"] = {"packageType": "Image", "code": {"imageUri": arguments.image}}
        for name, spec in shapes.items():
            print(f"{name:<14}{both(spec, arguments.claims)}", flush=True)
        print(f"{'plain pod':<14}{'':>18}{figures(list(plain_pods(arguments.claims)))}")
    finally:
        cluster.drop()


def requisites() -> None:
    """A network and a file system that functions name."""
    kind = "kubelambda.dev/v1alpha1"
    for each in ("Subnet", "SecurityGroup"):
        cluster.apply({"apiVersion": kind, "kind": each, "metadata": {"name": "bench"}, "spec": {}})
    claim = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    cluster.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "bench"}, "spec": claim})
    point = {"persistentVolumeClaim": "bench"}
    cluster.apply({"apiVersion": kind, "kind": "AccessPoint", "metadata": {"name": "bench"}, "spec": point})


def both(spec: dict[str, Any], claims: int) -> str:
    """With a warm pool of the shape, and without."""
    function("keeper", spec)
    pool = pool_of_keeper(spec)
    cluster.set_pool(IDLE, pool)
    pooled = list(starts(spec, claims, pool))
    annotation = f"pool-size.kubelambda.dev/{pool}=0"
    cluster.kubectl("annotate", "namespace", cluster.NAMESPACE, annotation, "--overwrite")
    cluster.wait(lambda: not cluster.pods(f"kubelambda.dev/pool={pool}"), what="an empty pool")
    bare = list(starts(spec, claims, None))
    cluster.delete_function("keeper")
    return figures(pooled) + figures(bare)


def pool_of_keeper(spec: dict[str, Any]) -> str:
    """The id of the only pool that its function uses."""
    found: list[str] = []

    def there() -> bool:
        listed = cluster.kubectl_json("--namespace", cluster.NAMESPACE, "get", "deployments")["items"]
        names = [item["metadata"]["labels"].get("kubelambda.dev/pool", "") for item in listed]
        found[:] = [name for name in names if name and ("_" in name) == bool(spec)]
        return len(found) == 1

    cluster.wait(there, what="the pool of a shape")
    return found[0]


def starts(spec: dict[str, Any], claims: int, pool: str | None) -> Iterator[float]:
    """Milliseconds of the first invocation of functions that never ran."""
    address = cluster.frontend()
    for index in range(claims):
        name = f"cold-{index}"
        function(name, spec)
        if pool is not None:
            cluster.wait(lambda: cluster.idle_pool(pool) >= IDLE, what="a refilled pool")
        time.sleep(0.3)
        yield load.one(address, cluster.path(name))
        cluster.kubectl("--namespace", cluster.NAMESPACE, "delete", "function", name, "--wait=false")


def plain_pods(claims: int) -> Iterator[float]:
    """Milliseconds from the creation of a pod to its readiness, as `kubectl wait` sees it."""
    deployment = cluster.kubectl_json(
        "--namespace", cluster.SYSTEM_NAMESPACE, "get", "deployment", f"{cluster.RELEASE}-frontend"
    )
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    command = ["/usr/bin/python3", "-c", "import time; time.sleep(3600)"]
    container = {"name": "plain", "image": image, "imagePullPolicy": "IfNotPresent", "command": command}
    for index in range(claims):
        name = f"plain-{index}"
        spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
        began = time.monotonic()
        cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
        cluster.kubectl(
            "--namespace", cluster.NAMESPACE, "wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s"
        )
        yield (time.monotonic() - began) * 1000
        cluster.kubectl("--namespace", cluster.NAMESPACE, "delete", "pod", name, "--wait=false")


def function(name: str, spec: dict[str, Any]) -> None:
    """Applies a hello-world function of a shape, and waits until it is Ready."""
    zipped = {} if "packageType" in spec else {**RUNTIME, "code": CODE}
    whole = {"memorySize": 1769, "timeout": 30, **zipped, **spec}
    manifest = {"apiVersion": "kubelambda.dev/v1alpha1", "kind": "Function", "metadata": {"name": name}, "spec": whole}
    cluster.apply(manifest)
    cluster.kubectl(
        "--namespace", cluster.NAMESPACE, "wait", "--for=condition=Ready", f"function/{name}", "--timeout=120s"
    )


def figures(values: list[float]) -> str:
    """p50 and p95."""
    ordered = sorted(values)
    return f"{statistics.median(ordered):>10.0f}{ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]:>8.0f}"


if __name__ == "__main__":
    main()
