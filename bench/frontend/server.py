"""The real frontend over caches that are filled by hand: no API server is needed to measure the path of a request."""

import asyncio
import gc
import sys

import uvloop

from kubelambda.api.kinds.deployed_configuration import DeployedCode, DeployedConfiguration
from kubelambda.api.settings import LeaseSettings, Settings
from kubelambda.frontend.cluster.views import FunctionView, NamespaceView, PodView
from kubelambda.frontend.cold_start.start import Started, Target, Watcher
from kubelambda.frontend.cold_start.starter import Starter
from kubelambda.frontend.frontend import Frontend
from kubelambda.kube.api_server import Server
from kubelambda.kube.kube_client import KubeClient
from kubelambda.store.code.code_store import CodeStore
from kubelambda.wire.client import connect
from kubelambda.wire.connections import Bounds, Connections

ACCOUNT = "123456789012"


class StubStarter(Starter):
    """Starts environments by connecting to the stub."""

    stub_port = 0
    started = 0

    async def start(self, target: Target, watcher: Watcher, *, own_pod: bool = False) -> Started | None:  # noqa: ARG002
        """A connection to the stub is an environment."""
        if not watcher.begin():
            return None
        StubStarter.started += 1
        connection = await connect("127.0.0.1", self.stub_port, watcher.lost)
        return Started(f"pod-{self.started}", f"uid-{self.started}", "token", connection)


def pod(number: int) -> PodView:
    """What Kubernetes would say of the pod of an environment."""
    return PodView(
        uid=f"uid-{number}",
        resource_version="1",
        ip="127.0.0.1",
        ready=True,
        ending=False,
        deleting=False,
        restarts=0,
        out_of_memory=False,
        resize_refused="",
        memory_limit_mb=176,
        pool="",
        function="hello",
        function_uid="",  # nobody adopts it
        revision="0" * 16,
        node="",
    )


async def anonymous() -> dict[str, str]:
    """No credentials: nothing is asked of an API server."""
    return {}


async def main() -> None:
    """Serves one function until killed. Arguments: port, the stub's port, own address, all addresses, leases or not."""
    port, StubStarter.stub_port = int(sys.argv[1]), int(sys.argv[2])
    address = sys.argv[3] if len(sys.argv) > 3 else "127.0.0.1"
    settings = Settings(account_concurrency=100_000, leases=LeaseSettings(enabled=sys.argv[5:6] == ["leases"]))
    client = KubeClient(Server("http://127.0.0.1:9", None, anonymous))
    key = b"bench"
    frontend = Frontend(
        client, CodeStore("http://127.0.0.1:9", key), settings, key, address=address, service="x", port=port
    )
    frontend._starter.__class__ = StubStarter  # noqa: SLF001 - the stand-in, and nothing else, is exchanged
    code = DeployedCode(sha256="0" * 64, size=1 << 30)
    configuration = DeployedConfiguration(
        revision="0" * 16,
        runtime="python3.13",
        handler="index.handler",
        code=code,
        memory_size=128,
        timeout=3,
        log_group="/aws/lambda/hello",
    )
    frontend.caches.namespaces.items["", "default"] = NamespaceView(ACCOUNT, (False, "", ""), None, {})
    frontend.caches.functions.items["default", "hello"] = FunctionView("uid", "Active", "", None, configuration)
    addresses = sys.argv[4].split(",") if len(sys.argv) > 4 else [address]
    frontend.caches.members.items["system", "slice"] = frozenset(addresses)
    frontend.caches.pods.items |= {("default", f"pod-{number}"): pod(number) for number in range(1, 200)}
    frontend.members_changed()
    loop = asyncio.get_running_loop()
    connections = Connections(Bounds(), loop.call_later)
    await loop.create_server(
        lambda: frontend.protocol(connections),
        address,
        port,
        backlog=1024,
    )
    work = frontend.background()
    background = [loop.create_task(each) for each in work[:2]]
    for each in work[2:]:  # they would look at a cluster, and there is none
        each.close()
    gc.freeze()
    print("ready", flush=True)
    await asyncio.gather(*background)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as dispatcher:
        dispatcher.run(main())
