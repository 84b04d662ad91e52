"""What is left of a CreateFunction that is interrupted after the upload of its code: nothing (§1.4)."""

import hashlib
import http.client
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from tests.eventually import eventually
from tests.integration.control_api.control_api import DOMAIN, Api, zipped
from tests.integration.control_plane import SYSTEM_NAMESPACE, ControlPlane
from tests.integration.processes import Installation
from tests.ports import free_port

from kubelambda.core.account.identity import account_id
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import FUNCTIONS, NAMESPACES

LOST, HALF = zipped("lost = 1"), zipped("half = 1")


class PausingStore:
    """Stands before the code store: what is uploaded is there, and who uploaded it waits to hear so."""

    def __init__(self, port: int) -> None:
        self.stored = threading.Event()
        self.go_on = threading.Event()
        self.target = ""
        store = self

        class Handler(BaseHTTPRequestHandler):
            """Passes one request on."""

            protocol_version = "HTTP/1.1"

            def _pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                connection = http.client.HTTPConnection(urlsplit(store.target).netloc, timeout=30)
                headers = {name: value for name, value in self.headers.items() if name.lower() != "content-length"}
                connection.request(self.command, self.path, body or None, headers)
                answer = connection.getresponse()
                content = answer.read()
                connection.close()
                if self.command == "PUT" and answer.status < 300:
                    store.stored.set()
                    store.go_on.wait(90)
                self.send_response(answer.status)
                length = answer.headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(content))
                self.send_header("Content-Length", length)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_HEAD = do_PUT = do_DELETE = _pass_on  # noqa: N815 - as http.server calls them

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops."""
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


@pytest.fixture
def pausing(
    tmp_path_factory: pytest.TempPathFactory, control_plane: ControlPlane
) -> Iterator[tuple[Installation, PausingStore]]:
    """An installation whose code store can be paused; it collects what nobody names after two seconds."""
    port = free_port()
    store = PausingStore(port)
    found = Installation(
        tmp_path_factory.mktemp("pausing"),
        control_plane,
        SYSTEM_NAMESPACE,
        endpointDomain=DOMAIN,
        codeRetentionSeconds=2,
        codeStoreUrl=f"http://127.0.0.1:{port}",
    )
    store.target = found.store_url
    found.code_store()
    found.operator()
    yield found, store
    store.go_on.set()
    found.stop()
    store.close()


async def caller(client: KubeClient, namespace: str, address: str) -> Api:
    """A caller in the test's namespace."""
    uid = (await client.get(NAMESPACES, namespace))["metadata"]["uid"]
    return Api(address, namespace, account_id(uid))


def stored(installation: Installation, code: bytes) -> bool:
    """Whether an archive is in the store."""
    return (installation.blobs / hashlib.sha256(code).hexdigest()).exists()


async def collected(installation: Installation, code: bytes) -> None:
    """Returns once it is not any more. An operator that ended without an API server begins anew, as in a cluster."""

    def gone() -> bool:
        operators = [each for each in installation.components if each.name.startswith("operator")]
        if all(each.process.poll() is not None for each in operators):
            installation.operator(f"operator-{len(operators) + 1}")
        return not stored(installation, code)

    await eventually(gone)


async def test_a_replica_that_is_killed_after_the_upload_leaves_nothing(
    pausing: tuple[Installation, PausingStore], client: KubeClient, namespace: str
) -> None:
    """No object, and no archive for long; the other replica does it all."""
    installation, store = pausing
    component, address = installation.control_api()
    with ThreadPoolExecutor() as pool:
        api = await caller(client, namespace, address)
        creating = pool.submit(api.create, "lost", LOST)
        assert store.stored.wait(90)
        component.kill()
        store.go_on.set()
        with pytest.raises((OSError, http.client.HTTPException)):
            creating.result(90)
    assert await client.find(FUNCTIONS, "lost", namespace) is None
    await collected(installation, LOST)
    other = await caller(client, namespace, installation.control_api()[1])
    assert other.create("lost", LOST).status == 201


async def test_an_api_server_that_goes_away_after_the_upload_leaves_nothing(
    pausing: tuple[Installation, PausingStore], control_plane: ControlPlane, client: KubeClient, namespace: str
) -> None:
    """503, and when it is back there is no function and after a while no archive; the call can be made again."""
    installation, store = pausing
    _, address = installation.control_api()
    api = await caller(client, namespace, address)
    with ThreadPoolExecutor() as pool:
        creating = pool.submit(api.create, "half", HALF)
        assert store.stored.wait(90)
        control_plane.crash_api_server()
        try:
            store.go_on.set()
            refused = creating.result(90)
        finally:
            control_plane.start_api_server()
    assert (refused.status, refused.error) == (503, "ServiceUnavailableException")
    assert await client.find(FUNCTIONS, "half", namespace) is None
    await collected(installation, HALF)
    deadline = time.monotonic() + 90
    while (again := api.create("half", HALF)).status != 201:
        assert (again.status, time.monotonic() < deadline) == (503, True), again
