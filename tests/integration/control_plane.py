"""A real etcd and kube-apiserver as processes of the test session, on random ports, in a folder of their own."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from ssl import CERT_NONE, create_default_context
from typing import Any

from tests.ports import free_port

BINARIES = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "kubelambda" / "bin"
ADMIN_TOKEN = "admin"
OPERATOR_TOKEN = "operator"
CONTROL_API_TOKEN = "awsapi"
FRONTEND_TOKEN = "frontend"
CODE_FETCHER_TOKEN = "code-fetcher"
POLLERS_TOKEN = "pollers"
SYSTEM_NAMESPACE = "kubelambda-system"
_WRITES = ("create", "update", "patch", "delete")


def service_account(component: str) -> str:
    """User name of a component."""
    return f"system:serviceaccount:{SYSTEM_NAMESPACE}:kubelambda-{component}"


class ControlPlane:
    """etcd and kube-apiserver. The user `admin` may do everything; the others are our service accounts of the chart."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self._etcd_port = free_port()
        self._audit = folder / "audit.log"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Starts both and returns once the API server is ready."""
        keys = self.folder / "keys"
        keys.mkdir(parents=True)
        (keys / "tokens.csv").write_text(
            f"{ADMIN_TOKEN},admin,1,system:masters\n"
            f"{OPERATOR_TOKEN},{service_account('operator')},2\n"
            f"{FRONTEND_TOKEN},{service_account('frontend')},3\n"
            f"{CONTROL_API_TOKEN},{service_account('awsapi')},4\n"
            f"{CODE_FETCHER_TOKEN},{service_account('code-fetcher')},5\n"
            f"{POLLERS_TOKEN},{service_account('pollers')},6\n"
        )
        make_key = ["openssl", "genrsa", "-out", str(keys / "service-account.key"), "2048"]
        subprocess.run(make_key, check=True, capture_output=True)
        peer = f"http://127.0.0.1:{free_port()}"
        client = f"http://127.0.0.1:{self._etcd_port}"
        self._run(
            "etcd",
            [
                shutil.which("etcd") or "/usr/bin/etcd",
                f"--data-dir={self.folder / 'etcd'}",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
            ],
        )
        self.start_api_server()

    def start_api_server(self) -> None:
        """Starts kube-apiserver on the same port as before."""
        keys = self.folder / "keys"
        rule = {"level": "Metadata", "users": [service_account("operator")], "verbs": _WRITES}
        audit = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [rule]}
        policy = self.folder / "audit-policy.json"
        policy.write_text(json.dumps(audit))
        self._run(
            "kube-apiserver",
            [
                str(BINARIES / "kube-apiserver"),
                f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
                "--bind-address=127.0.0.1",
                f"--secure-port={self.port}",
                f"--cert-dir={keys}",
                f"--token-auth-file={keys / 'tokens.csv'}",
                "--authorization-mode=RBAC",
                "--disable-admission-plugins=ServiceAccount",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={keys / 'service-account.key'}",
                f"--service-account-signing-key-file={keys / 'service-account.key'}",
                "--service-cluster-ip-range=10.0.0.0/24",
                "--watch-cache=true",
                f"--audit-policy-file={policy}",
                f"--audit-log-path={self._audit}",
            ],
        )
        self._wait_ready()

    def operator_writes(self, namespace: str) -> Counter[str]:
        """How often the operator has written in a namespace until now, by verb and resource; also what changed nothing,
        of which no object tells.
        """
        events = map(json.loads, self._audit.read_text().splitlines())
        written = [(event["verb"], event["objectRef"]) for event in events]
        return Counter(f"{verb} {where['resource']}" for verb, where in written if where.get("namespace") == namespace)

    def crash_api_server(self) -> None:
        """Kills kube-apiserver; etcd keeps its data."""
        process = self._processes.pop("kube-apiserver")
        process.kill()
        process.wait()

    def stop(self) -> None:
        """Ends everything."""
        self._end("kube-apiserver")
        self._end("etcd")

    def kubeconfig(self, token: str) -> Path:
        """A kubeconfig for one of the users."""
        path = self.folder / f"{token}.kubeconfig"
        cluster = {"server": self.url, "insecure-skip-tls-verify": True}
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "test",
                    "clusters": [{"name": "test", "cluster": cluster}],
                    "users": [{"name": "test", "user": {"token": token}}],
                    "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
                }
            )
        )
        return path

    def kubectl(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Runs kubectl as admin; the caller looks at the return code."""
        command = [str(BINARIES / "kubectl"), f"--kubeconfig={self.kubeconfig(ADMIN_TOKEN)}", *arguments]
        # It ends at once: collecting garbage would be a fifth of what it costs.
        environment = {**os.environ, "GOGC": "off"}
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, check=False, timeout=180, env=environment
        )

    def apply(self, manifests: Iterable[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
        """`kubectl apply` of some manifests."""
        # One after the other: of a List kubectl asks for all schemas of the server, which costs both a half more.
        stream = "\n".join(json.dumps(manifest) for manifest in manifests)
        # Of our kinds a patch is a merge patch anyhow; to read all schemas first would triple the time of an update.
        return self.kubectl("apply", "--openapi-patch=false", "--filename", "-", stdin=stream)

    def upgrade_definitions(self) -> subprocess.CompletedProcess[str]:
        """`kubelambda crds apply`, as the chart does before an upgrade."""
        command = [sys.executable, "-P", "-m", "kubelambda.cli", "crds", "apply", "--kubeconfig"]
        command.append(str(self.kubeconfig(ADMIN_TOKEN)))
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)

    def _run(self, name: str, command: list[str]) -> None:
        # There is memory enough to collect garbage less often.
        environment = {**os.environ, "GOGC": "400", "GOMEMLIMIT": "1GiB"}
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def _end(self, name: str) -> None:
        process = self._processes.pop(name, None)
        if process is not None:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _wait_ready(self) -> None:
        context = create_default_context()
        context.check_hostname = False
        context.verify_mode = CERT_NONE
        request = urllib.request.Request(f"{self.url}/readyz", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            if self._processes["kube-apiserver"].poll() is not None:
                break
            with contextlib.suppress(OSError), urllib.request.urlopen(request, context=context, timeout=5):
                return
            time.sleep(0.1)
        raise RuntimeError((self.folder / "kube-apiserver.log").read_text()[-4000:])
