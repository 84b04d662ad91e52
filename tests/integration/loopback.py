"""A cluster on loopback: real agents behind the pods of the real API server, and real frontends in front of them.

What a kubelet does is done here: a pod gets an address and an agent on it, and its agent ends with it.
"""

import asyncio
import contextlib
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
from tests.answer import Answer
from tests.eventually import eventually
from tests.integration.functions import listed
from tests.integration.processes import KEY
from tests.ports import free_address, free_port

import kubelambda.agent
from kubelambda.api import environment_protocol, labels
from kubelambda.api.environment_protocol import ClosureCheck
from kubelambda.api.kinds.runtime import RuntimeSpec
from kubelambda.api.settings import AuthSettings, EnvironmentSettings, NetworkSettings, Settings
from kubelambda.core.environment import tokens
from kubelambda.core.environment.pool_identity import PoolIdentity
from kubelambda.core.environment.shape import GENERIC, Shape
from kubelambda.frontend.cold_start.archive_cache import Archives
from kubelambda.frontend.cold_start.specializer import AgentAddress, Specializer
from kubelambda.frontend.cold_start.start import Target, Watcher
from kubelambda.frontend.cold_start.variable_values import Variables
from kubelambda.frontend.frontend import Frontend
from kubelambda.kube.errors import Conflict, KubeError, NotFound
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import FUNCTIONS, NODES, PODS
from kubelambda.resources import environment_pod as rendering
from kubelambda.store.code.code_store import CodeStore
from kubelambda.wire.connections import Bounds, Connections

RUNTIME = RuntimeSpec(image="localhost/python:1", prestart="python", inline_file_name="index.py")
AGENT = Path(kubelambda.agent.__file__).with_name("__main__.py")
RUNTIME_NAME = "python3.13"
CLOSED = ClosureCheck("", "", 0.0)
"""Nobody enforces policies here: an environment takes itself for closed."""
OPEN: dict[str, Any] = {"network": NetworkSettings(require_enforcement=False, settle_seconds=0)}


class Agents:
    """A kubelet for every environment pod of a namespace."""

    def __init__(self, client: KubeClient, namespace: str, folder: Path) -> None:
        self._client = client
        self._namespace = namespace
        self.folder = folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.containers: list[subprocess.Popen[bytes]] = []
        """Those of functions' own images; each ends with its agent."""
        self.launcher: Path | None = None
        """The program that becomes process 1 there."""
        self.unpulled = ""
        """Why the node gets no image of a function, or of the runtime where that has none; empty when it does."""
        self._unready: dict[str, str] = {}
        self.schedules: Callable[[Object], bool] = lambda _: True
        """Whether a pod finds a place."""

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            with contextlib.suppress(KubeError):
                pods = (await self._client.list(PODS, self._namespace))["items"]
                for pod in pods:
                    await self._pod(pod)
                names = {pod["metadata"]["name"] for pod in pods}
                for name in [name for name in self.processes if name not in names]:
                    self.end(name)
                await self._probe()
            await asyncio.sleep(0.05)

    async def _pod(self, pod: Object) -> None:
        name = pod["metadata"]["name"]
        if "deletionTimestamp" in pod["metadata"]:
            process = self.processes.get(name)
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGTERM)
            else:
                with contextlib.suppress(NotFound):
                    await self._client.delete(PODS, name, self._namespace, grace_seconds=0)
        elif (
            name not in self.processes and labels.COMPONENT in pod["metadata"].get("labels", {}) and self.schedules(pod)
        ):
            await self._start(pod)

    async def _start(self, pod: Object) -> None:
        name, ip = pod["metadata"]["name"], free_address()
        if self.unpulled and "initContainers" not in pod["spec"]:
            if "podIP" not in pod["status"]:
                await self.report(name, ready=False, ip=ip, unpulled=self.unpulled)
            return
        root = self.folder / name
        for folder in ("var/task", "opt", "var/runtime", "tmp"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        # The agent of a container image is a sidecar.
        container = (pod["spec"].get("initContainers") or pod["spec"]["containers"])[0]
        found = {each["name"]: each.get("value", "") for each in container.get("env", [])}
        environment = {
            **{key: value for key, value in os.environ.items() if key != "KUBECONFIG"},
            **{key: value for key, value in found.items() if value or key == environment_protocol.ENV_BOOTSTRAP},
            environment_protocol.ENV_ROOT: str(root),
            environment_protocol.ENV_CONTROL_HOST: ip,
            environment_protocol.ENV_RUNTIME_API_PORT: str(free_port()),
        }
        shared = Path(tempfile.mkdtemp()) if "initContainers" in pod["spec"] else None  # names of sockets are short
        if shared is not None:
            environment |= {
                environment_protocol.ENV_SHARED_FOLDER: str(shared),
                environment_protocol.ENV_LAUNCHER: str(self.launcher),
            }
        self.processes[name] = _agent(root / "agent.log", environment)
        async with aiohttp.ClientSession() as session, asyncio.timeout(90):
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"http://{ip}:{environment_protocol.CONTROL_PORT}/healthz") as answer:
                        if answer.status == 200:
                            break
                assert self.processes[name].poll() is None, (root / "agent.log").read_text()
                await asyncio.sleep(0.02)
        unpulled = self.unpulled if shared is not None else ""
        if shared is not None and not unpulled:
            self.containers.append(_container(shared))
        probe = container["readinessProbe"]["httpGet"]["path"]
        ready = probe == environment_protocol.HEALTH
        await self.report(name, ready=ready, ip=ip, unpulled=unpulled)
        if not ready:
            self._unready[name] = f"http://{ip}:{environment_protocol.CONTROL_PORT}{probe}"

    async def _probe(self) -> None:
        """Asks environments that were not ready at once: provisioned ones, and those that are born closed."""
        if not self._unready:
            return
        async with aiohttp.ClientSession() as session:
            for name, url in list(self._unready.items()):
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(url) as answer:
                        # A test may have ended it meanwhile.
                        if answer.status == 200 and self._unready.pop(name, None) is not None:
                            await self.report(name, ready=True)

    async def report(self, name: str, *, ready: bool, ip: str | None = None, unpulled: str = "") -> None:
        """A status as a kubelet, or the node controller in its place, writes it."""
        waiting = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": unpulled}}} if unpulled else {}
        status: Object = {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [
                {"name": labels.CONTAINER, "ready": ready, "restartCount": 0, "image": "", "imageID": "", **waiting}
            ],
        }
        if ip is not None:
            status |= {"podIP": ip, "podIPs": [{"ip": ip}]}
        with contextlib.suppress(NotFound):
            await self._client.patch(PODS, name, {"status": status}, self._namespace, subresource="status")

    def freeze(self, name: str) -> None:
        """Its node is gone without a word: connections stay open, and nothing comes any more."""
        self.processes[name].send_signal(signal.SIGSTOP)

    def end(self, name: str) -> None:
        """Kills an agent."""
        process = self.processes.pop(name)
        self._unready.pop(name, None)
        process.kill()
        process.wait()
        shutil.rmtree(self.folder / name, ignore_errors=True)


def _agent(log_file: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with log_file.open("wb") as log:
        command = [sys.executable, str(AGENT)]
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


def _container(shared: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([shared / "launcher", shared / "agent.sock", shared / "output"], env={"FROM_IMAGE": "1"})


class Relay:
    """A way to the API server that can be cut."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.open = True
        self.port = 0

    async def start(self) -> None:
        """Listens."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Nothing passes any more, and what passed ends."""
        self.open = False
        for writer in list(self._writers):
            writer.transport.abort()

    def mend(self) -> None:
        """As before."""
        self.open = True

    async def stop(self) -> None:
        """Ends everything."""
        self.cut()
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.open:
            writer.transport.abort()
            return
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        for source, sink in ((reader, there_writer), (there_reader, writer)):
            self._writers.add(sink)
            task = asyncio.create_task(self._copy(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                sink.write(data)
                await sink.drain()
        self._writers.discard(sink)
        sink.close()


class Cluster:
    """One namespace with its functions and pools, and the frontends in front of it."""

    def __init__(self, client: KubeClient, namespace: str, agents: Agents, store: CodeStore, system: str) -> None:
        self.client = client
        self.namespace = namespace
        self.agents = agents
        self.store = store
        self._system = system
        self.port = free_port()
        self.settings: dict[str, Any] = {}
        """More settings of the frontends that start from now on."""
        self._ends: dict[str, contextlib.AsyncExitStack] = {}
        self._cleanup = contextlib.AsyncExitStack()

    async def __aenter__(self) -> "Cluster":
        self._session = await self._cleanup.enter_async_context(aiohttp.ClientSession())
        with contextlib.suppress(Conflict):
            await self.client.create(NODES, {"metadata": {"name": "node-1"}})
        room = {"cpu": "64", "memory": "256Gi", "pods": "500"}
        status = {"capacity": room, "allocatable": room}
        await self.client.patch(NODES, "node-1", {"status": status}, subresource="status")
        self._task(self.agents.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._cleanup.aclose()
        for name in list(self.agents.processes):
            self.agents.end(name)
        for container in self.agents.containers:
            container.kill()
            container.wait()
        ours = [task for task in asyncio.all_tasks() if "kubelambda" in repr(task.get_coro())]
        for task in ours:
            task.cancel()
        await asyncio.gather(*ours, return_exceptions=True)

    def _task(self, work: Any, cleanup: contextlib.AsyncExitStack | None = None) -> None:
        task = asyncio.create_task(work)

        async def end() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        (cleanup or self._cleanup).push_async_callback(end)

    async def crash(self, address: str) -> None:
        """The frontend at an address ends in the middle of everything."""
        await self._ends[address].aclose()

    def beside(self, namespace: str) -> "Cluster":
        """Another namespace of the same cluster."""
        agents = Agents(self.client, namespace, self.agents.folder / namespace)
        return Cluster(self.client, namespace, agents, self.store, self._system)

    async def frontend(
        self,
        address: str = "127.0.0.1",
        *,
        client: KubeClient | None = None,
        members: tuple[str, ...] | None = (),
        pool_forecast: bool = False,
        auth: AuthSettings | None = None,
        default_namespace: str | None = None,
        **env: Any,
    ) -> Frontend:
        """A frontend that serves on `address`, once it has seen the cluster. `env`: settings of environments.

        It hears of `members` before anything else, and is the only one where there are none; with None it hears of them
        when `members` is called, and of all else before.
        """
        settings = Settings(
            system_namespace=self._system,
            default_namespace=default_namespace or self.namespace,
            auth=auth or AuthSettings(),
            environments=EnvironmentSettings(**env),
            pool_forecast=pool_forecast,
            **OPEN,
            **self.settings,
        )
        found = Frontend(
            client or self.client, self.store, settings, KEY, address=address, service="none", port=self.port
        )
        connections = Connections(Bounds(), asyncio.get_running_loop().call_later)
        server = await asyncio.get_running_loop().create_server(lambda: found.protocol(connections), address, self.port)

        async def close() -> None:
            server.close()
            found.close()
            for connection in list(connections):
                connection.close()
            await asyncio.sleep(0.05)

        end = self._ends[address] = await self._cleanup.enter_async_context(contextlib.AsyncExitStack())
        end.push_async_callback(close)
        if members is not None:
            self.members(found, *(members or (address,)))
        told: object = found.caches.members
        heard = [each for each in found.caches.reflectors() if each is not told]
        for work in (*(each.run() for each in heard), *found.background(), found.serve_endpoints(connections)):
            self._task(work, end)
        await eventually(lambda: all(each.synced.is_set() for each in heard))
        return found

    def members(self, frontend: Frontend, *addresses: str) -> None:
        """What one frontend sees of the EndpointSlice of all; Kubernetes allows no loopback addresses in one."""
        frontend.caches.members.items[self._system, "slice"] = frozenset(addresses)
        frontend.caches.members.synced.set()
        frontend.members_changed()

    async def invoke(
        self,
        name: str,
        event: Any = None,
        *,
        address: str = "127.0.0.1",
        headers: dict[str, str] | None = None,
        query: dict[str, str] | None = None,
    ) -> Answer:
        """One synchronous invocation through the frontend at `address`."""
        url = f"http://{address}:{self.port}/2015-03-31/functions/{name}/invocations"
        async with self._session.post(url, params=query, data=json.dumps(event).encode(), headers=headers) as answer:
            return Answer(answer.status, await answer.read(), dict(answer.headers))

    def calls(self, name: str, count: int, event: Any = None, **where: Any) -> "list[asyncio.Task[Answer]]":
        """Invocations side by side."""
        return [asyncio.create_task(self.invoke(name, event, **where)) for _ in range(count)]

    async def function(self, name: str, source: str, *, revision: str = "a" * 16, **deployed: Any) -> None:
        """A function whose handler is `index.handler`, as the operator leaves it."""
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as folder:
            folder.writestr("index.py", source)
        data = archive.getvalue()
        digest = hashlib.sha256(data).hexdigest()
        await self.store.put(digest, data)
        spec = {"runtime": RUNTIME_NAME, "handler": "index.handler", "code": {"inline": "x"}}
        manifest = {
            "apiVersion": f"{labels.GROUP}/{labels.VERSION}",
            "kind": "Function",
            "metadata": {"name": name},
            "spec": spec,
        }
        with contextlib.suppress(KubeError):
            await self.client.create(FUNCTIONS, manifest, self.namespace)
        found = {
            "revision": revision,
            "runtime": RUNTIME_NAME,
            "handler": "index.handler",
            "code": {"sha256": digest, "size": len(data)},
            "memorySize": 128,
            "timeout": 10,
            "logGroup": f"/aws/lambda/{name}",
            **deployed,
        }
        reserved = found.pop("reserved", None)
        status = {"state": "Active", "deployed": found, "reservedConcurrentExecutions": reserved}
        await self.client.patch(FUNCTIONS, name, {"status": status}, self.namespace, subresource="status")

    async def pool(
        self,
        size: int,
        shape: Shape = GENERIC,
        *,
        closure: ClosureCheck = CLOSED,
        runtime: str = RUNTIME_NAME,
        seen_by: Frontend | None = None,
    ) -> list[str]:
        """Idle environments, ready unless they have to find themselves closed first; nobody replaces them."""
        names = [await self._pool_pod(PoolIdentity(runtime, shape), closure) for _ in range(size)]
        await eventually(lambda: self._ready(names))
        if seen_by is not None:
            pods = seen_by.caches.pods.items
            await eventually(lambda: all((pod := pods.get((self.namespace, name))) and pod.ready for name in names))
        return names

    async def _pool_pod(self, pool: PoolIdentity, closure: ClosureCheck) -> str:
        settings = EnvironmentSettings()
        spec = rendering.pod_spec(
            RUNTIME_NAME,
            RUNTIME,
            settings,
            resources=rendering.pool_resources(settings),
            token_sha256=tokens.pool_token_sha256(KEY, self.namespace),
            shape=pool.shape,
            closure=closure.encode(),
        )
        spec["nodeName"] = "node-1"
        metadata = {
            "generateName": "pool-",
            "labels": {**rendering.pool_labels(pool), **rendering.closed_labels(pool.shape)},
        }
        created = await self.client.create(PODS, {"metadata": metadata, "spec": spec}, self.namespace)
        name: str = created["metadata"]["name"]
        return name

    async def _ready(self, names: list[str]) -> bool:
        pods = {pod["metadata"]["name"]: pod for pod in await self.pods()}
        return all(pods.get(name, {}).get("status", {}).get("podIP") for name in names)

    async def specialize(self, frontend: Frontend, function: str, pod: str) -> None:
        """As a frontend does that ends before it tells Kubernetes."""
        view = frontend.caches.functions.items[self.namespace, function]
        found = frontend.caches.pods.items[self.namespace, pod]
        assert view.deployed is not None
        target = Target(self.namespace, function, view.uid, "1" * 12, view.deployed)
        specializer = Specializer(Archives(self.store), Variables(self.client), KEY, Settings())
        address = AgentAddress(pod, found.uid, found.ip)
        watcher = Watcher(begin=lambda: True, lost=lambda _: None, claim_lost=lambda: None, misplaced=lambda: None)
        started = await specializer.specialize(target, await specializer.prepare(target), address, watcher)
        started.connection.close()

    async def heard(self, frontend: Frontend, claims: int) -> None:
        """Waits until a frontend has heard of so many claims: Kubernetes hears of one later than its caller does."""

        def known() -> bool:
            pods = frontend.caches.pods.items.items()
            return sum(where == self.namespace and bool(pod.function) for (where, _), pod in pods) == claims

        await eventually(known)

    async def pods(self) -> list[Object]:
        """The pods of the namespace that nobody has deleted."""
        found = await listed(self.client, PODS, self.namespace)
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    async def pool_pods(self) -> list[str]:
        """Names of those that are in a pool."""
        return [p["metadata"]["name"] for p in await self.pods() if labels.POOL in p["metadata"]["labels"]]

    async def claimed_pods(self) -> list[str]:
        """Names of those that are a function's."""
        return [p["metadata"]["name"] for p in await self.pods() if labels.FUNCTION in p["metadata"]["labels"]]
