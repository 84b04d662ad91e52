"""Where the API server is, and how we prove who we are: as a pod's service account, or with a kubeconfig."""

import os
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TOKEN_S = 60.0
"""How long a token is used before its file is read again; the kubelet replaces it well before it expires."""


@dataclass(frozen=True, slots=True)
class Server:
    """An API server. `credentials` are the headers that authenticate a request, asked for before each one."""

    url: str
    tls: ssl.SSLContext | None
    credentials: Callable[[], Awaitable[dict[str, str]]]


def in_cluster(folder: Path = SERVICE_ACCOUNT) -> Server:
    """The API server of the cluster that this pod runs in. Raises `OSError` or `KeyError` outside of one.

    The official client's own loader does the same at the price of 12 MB: it imports the whole synchronous client.
    """
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    tls = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    # The certificate authorities of many clusters lack extensions that RFC 5280 asks for. Chain and host stay verified.
    tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
    address = f"[{host}]" if ":" in host else host
    return Server(f"https://{address}:{port}", tls, Token(folder / "token", time.monotonic).header)


class Token:
    """A service account's token, in a file that the kubelet keeps current."""

    def __init__(self, file: Path, clock: Callable[[], float]) -> None:
        self._file = file
        self._clock = clock
        self._read = -_TOKEN_S
        self._header: dict[str, str] = {}

    async def header(self) -> dict[str, str]:
        """The Authorization header. Raises `OSError` when there is no token."""
        now = self._clock()
        if not self._header or now - self._read >= _TOKEN_S:
            self._header = {"Authorization": f"Bearer {self._file.read_text().strip()}"}
            self._read = now
        return self._header


async def from_kubeconfig(path: str) -> Server:
    """The current context of a kubeconfig, with whatever way to authenticate it names.

    Raises `ModuleNotFoundError` where the official client is not installed, as in our images.
    """
    try:
        from kubernetes.aio import config  # noqa: PLC0415 - megabytes that no pod needs
        from kubernetes.aio.client.configuration import Configuration  # noqa: PLC0415
    except ModuleNotFoundError as error:
        error.add_note("A kubeconfig is loaded by the official client: pip install 'kubelambda[kubeconfig]'.")
        raise

    configuration = Configuration()
    await config.load_kube_config(config_file=path, client_configuration=configuration)
    tls = ssl.create_default_context(cafile=configuration.ssl_ca_cert, cadata=configuration.ca_cert_data)
    if configuration.cert_file:
        tls.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file)
    if not configuration.verify_ssl:
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE

    async def credentials() -> dict[str, str]:
        return {setting["key"]: setting["value"] for setting in (await configuration.auth_settings()).values()}

    return Server(configuration.host, tls, credentials)
