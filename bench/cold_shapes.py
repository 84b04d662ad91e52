"""Cold starts by the shape of their pods, each with and without a warm pool of it, beside the start of a plain pod.

`python -m bench.cold_shapes [--claims 50] [--only "own /tmp" …]`: prints one line a shape, p50 and p95 in milliseconds.
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from e2e.installation.registry import Registry, serving

from bench import cluster, images, load

API = "kubelambda.dev/v1alpha1"
REGISTRY = "10.89.0.1:5005"
"""On the node, where its containerd and the platform speak to it without TLS: `e2e/values.yaml`."""
IDLE = 3
SETTLE_S = 0.3
LAYERS = 5
LAYERS_MB = 50
IMAGE_MB = 200
RUNTIME = {"runtime": "python3.13", "handler": "index.handler"}
CODE = "def handler(event, context):\n    return {'hello': event.get('name', 'world')}"


@dataclass(frozen=True)
class Shape:
    """What functions have that others have not."""

    spec: dict[str, Any] = field(default_factory=dict)
    generic: bool = False
    """Whether their environments come out of the generic pool."""


def main() -> None:
    """Measures all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--claims", type=int, default=50)
    parser.add_argument("--only", nargs="+", help="the names of some shapes")
    arguments = parser.parse_args()
    cluster.prepare()
    try:
        with serving(Registry(REGISTRY)) as registry:
            shapes = prepared(registry)
            head = f"{'shape':<26}{'pool p50':>10}{'p95':>8}{'none p50':>10}{'p95':>8}"
            print(f"{head}   ms, {arguments.claims} claims each", flush=True)
            for name in arguments.only or shapes:
                print(f"{name:<26}{measured(shapes[name], arguments.claims)}", flush=True)
            print(f"{'a plain pod':<26}{'':>18}{figures(list(plain_pods(arguments.claims)))}", flush=True)
    finally:
        cluster.drop()


def prepared(registry: Registry) -> dict[str, Shape]:
    """The shapes, by name, once everything is there that their functions name."""
    for each in ("Subnet", "SecurityGroup"):
        cluster.apply({"apiVersion": API, "kind": each, "metadata": {"name": "bench"}, "spec": {}})
    claim = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    cluster.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "bench"}, "spec": claim})
    point = {"persistentVolumeClaim": "bench"}
    cluster.apply({"apiVersion": API, "kind": "AccessPoint", "metadata": {"name": "bench"}, "spec": point})
    network = {"subnetIds": ["bench"], "securityGroupIds": ["bench"]}
    uri = images.pushed_function(registry, IMAGE_MB)
    return {
        "generic": Shape(generic=True),
        f"{LAYERS} layers of {LAYERS_MB} MB": Shape({"layers": published_layers(registry)}, generic=True),
        "own /tmp": Shape({"ephemeralStorage": {"size": 1024}}),
        "file system": Shape({"fileSystemConfigs": [{"arn": "bench", "localMountPath": "/mnt/data"}]}),
        f"image of {IMAGE_MB} MB": Shape({"packageType": "Image", "code": {"imageUri": uri}}),
        "vpcConfig": Shape({"vpcConfig": network}),
    }


def published_layers(registry: Registry) -> list[str]:
    """Layers that have as much together, each out of the registry; their versions."""
    names = [f"bench-{number}" for number in range(LAYERS)]
    for name in names:
        files = images.library(name.replace("-", "_"), LAYERS_MB * 1_000_000 // LAYERS)
        content = {"oci": {"reference": registry.push(f"bench/{name}", files)}}
        cluster.apply({"apiVersion": API, "kind": "Layer", "metadata": {"name": name}, "spec": {"content": content}})
    for name in names:
        published = "--for=jsonpath={.status.latestVersion}=1"
        cluster.kubectl("--namespace", cluster.NAMESPACE, "wait", published, f"layer/{name}", "--timeout=120s")
    return [f"{name}:1" for name in names]


def measured(shape: Shape, claims: int) -> str:
    """With a warm pool of the shape, and without; what is fetched once on a node is there already."""
    functions(["keeper"], shape.spec)
    load.one(cluster.frontend(), cluster.path("keeper"))
    pool = pool_of_keeper(shape)
    cluster.set_pool(IDLE, pool)
    pooled = list(starts(shape, claims, pool))
    cluster.set_pool(0, pool)
    bare = list(starts(shape, claims, None))
    cluster.delete_function("keeper")
    return figures(pooled) + figures(bare)


def pool_of_keeper(shape: Shape) -> str:
    """The id of the pool that its function uses: nobody else is here."""
    found: list[str] = []

    def there() -> bool:
        listed = cluster.kubectl_json("--namespace", cluster.NAMESPACE, "get", "deployments")["items"]
        names = [item["metadata"]["labels"].get("kubelambda.dev/pool", "") for item in listed]
        found[:] = [name for name in names if name and ("_" not in name) == shape.generic]
        return len(found) == 1

    cluster.wait(there, what="the pool of a shape")
    return found[0]


def starts(shape: Shape, claims: int, pool: str | None) -> Iterator[float]:
    """Milliseconds of the first invocation of functions that never ran, one after the other."""
    address = cluster.frontend()
    names = [f"cold-{index}" for index in range(claims)]
    functions(names, shape.spec)
    for name in names:
        if pool is not None:
            cluster.wait(lambda: cluster.idle_pool(pool) >= IDLE, what="a refilled pool")
        time.sleep(SETTLE_S)
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


def functions(names: list[str], spec: dict[str, Any]) -> None:
    """Applies hello-world functions of a shape, and waits until all are Ready."""
    zipped = {} if "packageType" in spec else {**RUNTIME, "code": {"inline": CODE}}
    whole = {"memorySize": 1769, "timeout": 60, **zipped, **spec}
    items = [{"apiVersion": API, "kind": "Function", "metadata": {"name": name}, "spec": whole} for name in names]
    manifest = {"apiVersion": "v1", "kind": "List", "items": items}
    cluster.kubectl("--namespace", cluster.NAMESPACE, "apply", "--filename", "-", stdin=json.dumps(manifest))
    named = [f"function/{name}" for name in names]
    cluster.kubectl("--namespace", cluster.NAMESPACE, "wait", "--for=condition=Ready", *named, "--timeout=120s")


def figures(values: list[float]) -> str:
    """p50 and p95."""
    ordered = sorted(values)
    return f"{statistics.median(ordered):>10.0f}{ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]:>8.0f}"


if __name__ == "__main__":
    main()
