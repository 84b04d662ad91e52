"""Cold starts by the shape of their pods, each with and without a warm pool of it, beside the start of a plain pod.

`python -m bench.cold_shapes [--claims 50] [--image URI]`: prints one line a shape, p50 and p95 in milliseconds.
"""

import argparse
import hashlib
import http.server
import io
import itertools
import os
import statistics
import threading
import time
import zipfile
from collections.abc import Iterator
from typing import Any

from bench import cluster, load

VPC = {"subnetIds": ["bench"], "securityGroupIds": ["bench"]}
LAYERS = [f"bench-{index}:1" for index in range(5)]
LAYER_BYTES = 10_000_000
type Specs = list[dict[str, Any]]
"""What the functions of a shape have, one after the other."""
SHAPES: dict[str, Specs] = {
    "generic": [{}],
    "layers held": [{"layers": LAYERS}],
    # Another order is other layers, and nobody holds them yet.
    "layers, first": [{"layers": list(order)} for order in itertools.permutations(LAYERS)],
    "own /tmp": [{"ephemeralStorage": {"size": 1024}}],
    "file system": [{"fileSystemConfigs": [{"arn": "bench", "localMountPath": "/mnt/data"}]}],
    "vpcConfig": [{"vpcConfig": VPC}],
}
IDLE = 3
PAUSE_S = {"layers held": 3.0}
"""Between a refilled pool and the next start: its pods unpack what was claimed last."""
RUNTIME = {"runtime": "python3.13", "handler": "index.handler"}
CODE = {"inline": "def handler(event, context):\n    return {'hello': event.get('name', 'world')}"}


def main() -> None:
    """Measures all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--claims", type=int, default=50)
    parser.add_argument("--image", help="a function's image that the node has, as its imageUri")
    parser.add_argument("--only", help="names of shapes, with commas between them")
    arguments = parser.parse_args()
    cluster.prepare()
    try:
        requisites()
        print(f"{'shape':<14}{'pool p50':>10}{'p95':>8}{'none p50':>10}{'p95':>8}   ms, {arguments.claims} claims each")
        shapes = dict(SHAPES)
        if arguments.image:
            shapes["image"] = [{"packageType": "Image", "code": {"imageUri": arguments.image}}]
        for name in arguments.only.split(",") if arguments.only else shapes:
            print(f"{name:<14}{both(shapes[name], arguments.claims, PAUSE_S.get(name, 0.3))}", flush=True)
        print(f"{'plain pod':<14}{'':>18}{figures(list(plain_pods(arguments.claims)))}")
    finally:
        cluster.drop()


def requisites() -> None:
    """A network, a file system and layers that functions name."""
    kind = "kubelambda.dev/v1alpha1"
    for each in ("Subnet", "SecurityGroup"):
        cluster.apply({"apiVersion": kind, "kind": each, "metadata": {"name": "bench"}, "spec": {}})
    claim = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    cluster.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "bench"}, "spec": claim})
    point = {"persistentVolumeClaim": "bench"}
    cluster.apply({"apiVersion": kind, "kind": "AccessPoint", "metadata": {"name": "bench"}, "spec": point})
    publish_layers()


def publish_layers() -> None:
    """Layers whose content cannot be packed any smaller, from an address of this machine."""
    contents: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = contents[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = http.server.ThreadingHTTPServer((cluster.node_address(), 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for layer in LAYERS:
        name = layer.partition(":")[0]
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as folder:
            for part in range(100):
                folder.writestr(f"python/{name}/part{part}.bin", os.urandom(LAYER_BYTES // 100))
        contents[f"/{name}"] = data = archive.getvalue()
        host, port = server.server_address[:2]
        content = {"url": f"http://{host!s}:{port}/{name}", "sha256": hashlib.sha256(data).hexdigest()}
        spec = {"content": content}
        cluster.apply(
            {"apiVersion": "kubelambda.dev/v1alpha1", "kind": "Layer", "metadata": {"name": name}, "spec": spec}
        )


def both(specs: Specs, claims: int, pause_s: float) -> str:
    """With a warm pool of the shape, and without."""
    function("keeper", specs[0])
    pool = pool_of_keeper(specs[0])
    cluster.set_pool(IDLE, pool)
    address = cluster.frontend()
    load.one(address, cluster.path("keeper"))  # whatever comes with the first one only
    pooled = list(starts(specs, claims, pool, pause_s))
    annotation = f"pool-size.kubelambda.dev/{pool}=0"
    cluster.kubectl("annotate", "namespace", cluster.NAMESPACE, annotation, "--overwrite")
    cluster.wait(lambda: not cluster.pods(f"kubelambda.dev/pool={pool}"), what="an empty pool")
    bare = list(starts(specs, claims, None, 0.3))
    cluster.delete_function("keeper")
    return figures(pooled) + figures(bare)


def pool_of_keeper(spec: dict[str, Any]) -> str:
    """The id of the only pool that its function uses."""
    found: list[str] = []

    def there() -> bool:
        listed = cluster.kubectl_json("--namespace", cluster.NAMESPACE, "get", "deployments")["items"]
        names = [item["metadata"]["labels"].get("kubelambda.dev/pool", "") for item in listed]
        found[:] = [name for name in names if name and ("_" in name) == bool(spec.keys() - {"layers"})]
        return len(found) == 1

    cluster.wait(there, what="the pool of a shape")
    return found[0]


def starts(specs: Specs, claims: int, pool: str | None, pause_s: float) -> Iterator[float]:
    """Milliseconds of the first invocation of functions that never ran."""
    address = cluster.frontend()
    for index in range(claims):
        name = f"cold-{index}"
        function(name, specs[index % len(specs)])
        if pool is not None:
            cluster.wait(lambda: cluster.idle_pool(pool) >= IDLE, what="a refilled pool")
        time.sleep(pause_s)
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
