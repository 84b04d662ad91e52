"""What an API server of the tests has before any test: our definitions, a runtime, and what the chart lets us do."""

import subprocess
from pathlib import Path

import yaml
from tests.integration.control_plane import BINARIES, SYSTEM_NAMESPACE, ControlPlane

from kubelambda.kube.kube_client import Object

ROOT = Path(__file__).parent.parent.parent
RUNTIME = {
    "apiVersion": "kubelambda.dev/v1alpha1",
    "kind": "Runtime",
    "metadata": {"name": "python3.13"},
    "spec": {"image": "localhost/python:1", "prestart": "python", "inlineFileName": "index.py", "pool": {"size": 2}},
}


def start(control_plane: ControlPlane) -> None:
    """Starts an API server and gives it what an installation needs."""
    control_plane.start()
    applied = control_plane.kubectl("apply", "--server-side", "--filename", str(ROOT / "crds"))
    assert applied.returncode == 0, applied.stderr
    for kind in (
        "functions",
        "functionversions",
        "aliases",
        "layers",
        "layerversions",
        "accesspoints",
        "codesigningconfigs",
        "signingprofiles",
        "runtimes",
        "invokeendpoints",
        "subnets",
        "securitygroups",
        "eventsourcemappings",
        "eventtargets",
    ):
        control_plane.kubectl("wait", "--for=condition=Established", f"crd/{kind}.kubelambda.dev", "--timeout=90s")
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM_NAMESPACE}}
    applied = control_plane.apply([namespace, RUNTIME, *access_manifests()])
    assert applied.returncode == 0, applied.stderr


def access_manifests() -> list[Object]:
    """The roles of our service accounts and the policy that keeps them to our objects, as the chart renders them."""
    command = [str(BINARIES / "helm"), "template", "kubelambda", str(ROOT / "charts" / "kubelambda")]
    command += ["--namespace", SYSTEM_NAMESPACE, "--kube-version", "1.36.0"]
    for template in ("rbac", "awsapi-rbac", "code-fetcher-rbac", "pollers-rbac", "events-rbac", "admission-policy"):
        command += ["--show-only", f"templates/{template}.yaml"]
    rendered = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = [manifest for manifest in yaml.safe_load_all(rendered) if manifest]
    for manifest in found:
        if manifest["kind"] in ("Role", "RoleBinding", "ServiceAccount"):
            manifest["metadata"]["namespace"] = SYSTEM_NAMESPACE
    return found
