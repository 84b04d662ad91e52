"""A certificate authority of the cluster's own, and the certificates and kubeconfigs it signs, made with openssl."""

import base64
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from node_identity import FIRST, Node
from progress import step
from settings import API_PORT, API_SERVICE_IP, CERTIFICATES, CLUSTER, CONFIGURATION, KUBECONFIG, NODE_IP
from shell import run

DAYS = "3650"
SERVICE_ACCOUNT_KEY = CERTIFICATES / "service-account.key"
SERVICE_ACCOUNT_PUBLIC = CERTIFICATES / "service-account.pub"
AUTHORITY = CERTIFICATES / "ca.crt"
_AUTHORITY_KEY = CERTIFICATES / "ca.key"


@dataclass(frozen=True)
class Certificate:
    """One signed certificate; `group` becomes the organisation, which Kubernetes reads as a user's group."""

    name: str
    user: str
    group: str = ""
    alternative_names: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The certificate."""
        return CERTIFICATES / f"{self.name}.crt"

    @property
    def key(self) -> Path:
        """Its private key."""
        return CERTIFICATES / f"{self.name}.key"

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of its user."""
        return KUBECONFIG if self == ADMIN else CONFIGURATION / f"{self.name}.kubeconfig"


def kubelet(node: Node) -> Certificate:
    """Of a node's kubelet, as a client and as a server."""
    names = (f"DNS:{node.name}", f"IP:{node.ip}")
    return Certificate(node.process("kubelet"), f"system:node:{node.name}", "system:nodes", names)


API_SERVER = Certificate(
    "apiserver",
    "kube-apiserver",
    alternative_names=(
        *(f"DNS:kubernetes{suffix}" for suffix in ("", ".default", ".default.svc", ".default.svc.cluster.local")),
        "DNS:localhost",
        *(f"IP:{address}" for address in (NODE_IP, "127.0.0.1", API_SERVICE_IP)),
    ),
)
KUBELET_CLIENT = Certificate("apiserver-kubelet-client", "kube-apiserver-kubelet-client", "system:masters")
ADMIN = Certificate("admin", "kubernetes-admin", "system:masters")
CONTROLLER_MANAGER = Certificate("controller-manager", "system:kube-controller-manager")
SCHEDULER = Certificate("scheduler", "system:kube-scheduler")
PROXY = Certificate("proxy", "system:kube-proxy")
KUBELET = kubelet(FIRST)
ALL = (API_SERVER, KUBELET_CLIENT, ADMIN, CONTROLLER_MANAGER, SCHEDULER, PROXY, KUBELET)
USERS = (ADMIN, CONTROLLER_MANAGER, SCHEDULER, PROXY, KUBELET)


def make_certificates() -> None:
    """Makes what is missing; what is there stays, so that a running cluster keeps trusting it."""
    CERTIFICATES.mkdir(parents=True, exist_ok=True, mode=0o700)
    CONFIGURATION.mkdir(parents=True, exist_ok=True, mode=0o700)
    if all(path.exists() for path in (SERVICE_ACCOUNT_PUBLIC, *(c.path for c in ALL), *(c.kubeconfig for c in USERS))):
        return
    with step("certificates"):
        if not AUTHORITY.exists():
            _make_authority()
        if not SERVICE_ACCOUNT_PUBLIC.exists():
            run("openssl", "genrsa", "-out", SERVICE_ACCOUNT_KEY, "2048")
            run("openssl", "rsa", "-in", SERVICE_ACCOUNT_KEY, "-pubout", "-out", SERVICE_ACCOUNT_PUBLIC)
        for certificate in ALL:
            if not certificate.path.exists():
                _sign(certificate)
        for user in USERS:
            _write_kubeconfig(user)


def make_certificate(certificate: Certificate) -> None:
    """Makes one more, of a user, once the others are there; nothing when it is."""
    if not certificate.kubeconfig.exists():
        _sign(certificate)
        _write_kubeconfig(certificate)


def remove_certificate(certificate: Certificate) -> None:
    """Removes one, of a user who is no more."""
    for path in (certificate.path, certificate.key, certificate.kubeconfig):
        path.unlink(missing_ok=True)


def _make_authority() -> None:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"]
    subject = ["-subj", "/CN=kubelambda-cluster", "-days", DAYS]
    extensions = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    run(*command, *subject, *extensions, "-keyout", _AUTHORITY_KEY, "-out", AUTHORITY)


def _sign(certificate: Certificate) -> None:
    organisation = f"/O={certificate.group}" if certificate.group else ""
    lines = ["keyUsage=critical,digitalSignature", "extendedKeyUsage=serverAuth,clientAuth"]
    if certificate.alternative_names:
        lines.append("subjectAltName=" + ",".join(certificate.alternative_names))
    with tempfile.TemporaryDirectory() as folder:
        request, extensions, made = (Path(folder) / name for name in ("request", "extensions", "certificate"))
        extensions.write_text("\n".join(lines))
        command = ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"]
        subject = ["-subj", f"{organisation}/CN={certificate.user}"]
        run(*command, *subject, "-keyout", certificate.key, "-out", request)
        authority: list[str | Path] = ["-CA", AUTHORITY, "-CAkey", _AUTHORITY_KEY, "-CAcreateserial"]
        run("openssl", "x509", "-req", "-in", request, *authority, "-days", DAYS, "-extfile", extensions, "-out", made)
        certificate.path.write_bytes(made.read_bytes())


def _write_kubeconfig(user: Certificate) -> None:
    """A kubeconfig that carries its certificates, so that it can be copied; JSON is YAML too."""

    def encoded(path: Path) -> str:
        return base64.b64encode(path.read_bytes()).decode()

    cluster = {"server": f"https://127.0.0.1:{API_PORT}", "certificate-authority-data": encoded(AUTHORITY)}
    credentials = {"client-certificate-data": encoded(user.path), "client-key-data": encoded(user.key)}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": CLUSTER,
        "clusters": [{"name": CLUSTER, "cluster": cluster}],
        "users": [{"name": user.user, "user": credentials}],
        "contexts": [{"name": CLUSTER, "context": {"cluster": CLUSTER, "user": user.user}}],
    }
    user.kubeconfig.touch(mode=0o600)
    user.kubeconfig.write_text(json.dumps(content, indent=2))
