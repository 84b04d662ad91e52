"""Three NATS servers in pods, and the release with its events in them, for as long as a chaos run lasts."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from installation.kubectl import kubectl, kubectl_json, staying
from installation.release import CHART, RELEASE, helm, platform_image, rolled_out

NAMESPACE = "kubelambda-messaging"
_SERVERS = 3
_CLUSTER = Path(__file__).parent.parent / "cluster"
_MANIFESTS = Path(__file__).parent / "nats.yaml"


def nats_pods() -> list[str]:
    """Names of the servers' pods that are not on their way out."""
    return [pod["metadata"]["name"] for pod in staying(kubectl_json("--namespace", NAMESPACE, "get", "pods")["items"])]


@contextmanager
def events_in_jetstream() -> Iterator[None]:
    """The release keeps events in JetStream, and in its file again afterwards."""
    subprocess.run([sys.executable, str(_CLUSTER), "images", "--for-tests", "nats"], check=True, timeout=600)
    manifests = _MANIFESTS.read_text().replace("$IMAGE", platform_image().replace("/platform:", "/nats:"))
    kubectl("apply", "--filename", "-", stdin=manifests)
    try:
        whole = ("rollout", "status", "statefulset/nats", "--timeout=180s")
        kubectl("--namespace", NAMESPACE, *whole, timeout=200)
        servers = ",".join(f"nats://nats-{index}.nats.{NAMESPACE}.svc:4222" for index in range(_SERVERS))
        _upgrade("events.engine=jetstream", f"events.jetstream.servers={{{servers}}}")
        rolled_out("statefulset", "events-jetstream")
        yield
    finally:
        _upgrade("events.engine=sqlite", "events.jetstream.servers=null")
        kubectl("delete", "--filename", "-", "--wait=false", stdin=manifests)


def _upgrade(*values: str) -> None:
    sets = [argument for value in values for argument in ("--set", value)]
    helm("upgrade", RELEASE, str(CHART), "--reuse-values", "--wait", "--timeout", "5m", *sets)
