"""The frontend: from a request to the dispatcher of its function, here or on the frontend that owns it."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine

from kubelambda.api.settings import Settings
from kubelambda.callers.audit_log import AuditLog, standard_output
from kubelambda.core.account import identity
from kubelambda.core.invoke import invoke_error
from kubelambda.core.invoke.invoke_error import InvokeError
from kubelambda.core.invoke.routing import LATEST
from kubelambda.frontend import front_door
from kubelambda.frontend.account import leasing, ledger_check, stray_collection
from kubelambda.frontend.account.forwarder import IDLE_S, NAMESPACE, Forwarder, Hop
from kubelambda.frontend.account.leasing import Leasing
from kubelambda.frontend.account.ledger_check import LedgerCheck
from kubelambda.frontend.account.owned_functions import OwnedFunctions
from kubelambda.frontend.account.owners import Owners
from kubelambda.frontend.account.passage import Passage
from kubelambda.frontend.account.peers import Peers
from kubelambda.frontend.account.pool_scaling import PoolScaling
from kubelambda.frontend.account.stray_collection import StrayCollection
from kubelambda.frontend.cluster.caches import Caches
from kubelambda.frontend.cluster.unseen_functions import UnseenFunctions
from kubelambda.frontend.cluster.unseen_qualifiers import Qualified, UnseenQualifiers
from kubelambda.frontend.cluster.views import FunctionView, NamespaceView, PodView
from kubelambda.frontend.cold_start.archive_cache import Archives
from kubelambda.frontend.cold_start.secret_report import SecretReport
from kubelambda.frontend.cold_start.start import Target
from kubelambda.frontend.cold_start.starter import Starter
from kubelambda.frontend.cold_start.variable_values import Variables
from kubelambda.frontend.control_api.control_api_proxy import ControlApiProxy
from kubelambda.frontend.dispatch.environment_handle import invoke_head
from kubelambda.frontend.dispatch.invocation import Invocation, refuse
from kubelambda.frontend.dispatch.leased_environments import Neighbourhood
from kubelambda.frontend.dispatch.metrics import Metrics
from kubelambda.frontend.front_door import FrontDoor
from kubelambda.frontend.invoke import invoke_request
from kubelambda.frontend.invoke.caller_gate import CallerGate
from kubelambda.frontend.invoke.event_handover import EventHandover
from kubelambda.frontend.invoke.invoke_request import InvokeCall
from kubelambda.frontend.invoke.version_resolution import not_invocable, resolve
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.reflector import Name
from kubelambda.store.code.code_store import CodeStore
from kubelambda.wire.connections import Connections
from kubelambda.wire.protocol import ServerProtocol
from kubelambda.wire.request import Request
from kubelambda.wire.request_reader import Serve

log = logging.getLogger(__name__)


class Frontend:
    """One frontend process. `address` is its own, as the EndpointSlices of its Service list it."""

    def __init__(
        self,
        client: KubeClient,
        store: CodeStore,
        settings: Settings,
        key: bytes,
        *,
        address: str,
        service: str,
        port: int,
    ) -> None:
        self._settings = settings
        self._key = key
        self._address = address
        self.metrics = Metrics()
        self._archives = Archives(store)
        self._variables = Variables(client, self._credentials_secret)
        self.caches = Caches(
            client,
            system_namespace=settings.system_namespace,
            service=service,
            on_function=self._function_changed,
            on_pod=self._pod_changed,
            on_namespace=self._namespace_changed,
            on_published=self._published_changed,
            on_members=self.members_changed,
        )
        self.metrics.watch_unreadable(self.caches.reflectors())
        self._unseen = UnseenFunctions(client)
        self._unseen_qualifiers = UnseenQualifiers(client, self.caches.published)
        self._owners = Owners(address, port, self.caches.ready_members, self._owners_changed)
        self._pools = PoolScaling(client, self.caches, self._owners.owns, forecast=settings.pool_forecast)
        self._starter = Starter(
            client,
            self.caches,
            archives=self._archives,
            variables=self._variables,
            settings=settings,
            key=key,
            on_claim=self._pools.claimed,
        )
        idle_seconds = min(IDLE_S, settings.connections.idle_seconds / 2)
        self._leasing = Leasing(address, Peers(port, key, idle_seconds=idle_seconds), enabled=settings.leases.enabled)
        self.owned = OwnedFunctions(
            client,
            self.caches,
            self._starter,
            settings=settings,
            key=key,
            metrics=self.metrics,
            owners=self._owners,
            leasing=self._leasing,
            elsewhere=self._elsewhere,
        )
        self.audit = AuditLog(standard_output, lambda *later: asyncio.get_running_loop().call_later(*later))
        self._ledger_check = LedgerCheck(self.caches, key, self.metrics)
        self._strays = StrayCollection(self.caches, self.owned.known, self.owned.take_over, self._starter)
        self._events = EventHandover(settings.event_queue_url, key)
        self._forwarder = Forwarder(port, key, self._owners.suspect, idle_seconds=idle_seconds)
        self._passage = self._lead_on(settings.environments.start_timeout_seconds)
        probes: dict[bytes, Serve] = {b"/healthz": lambda request: request.respond(200, b"ok")}
        self._door = FrontDoor(
            key,
            invoke=self._answer,
            control_api=ControlApiProxy(settings.control_api_url),
            secret_report=SecretReport(client, key),
            gate=CallerGate(client, self.caches, settings, self.audit, self._namespace),
            probes=probes | {b"/readyz": self._ready} | self._leasing.routes,
        )
        self.draining = False

    def _lead_on(self, start_timeout_seconds: float) -> Passage:
        """What becomes of invocations whose account is not owned here."""
        passage = Passage(
            self._owners,
            self._forwarder,
            self._leasing,
            start_timeout_seconds=start_timeout_seconds,
            handle=self._elsewhere,
            counted=self.metrics.forwards.inc,
        )
        self._leasing.surround(
            Neighbourhood(
                self._key,
                owner_of=passage.lessor,
                pod=self.caches.pods.items.get,
                metrics_of=self.owned.metrics_of,
                killed_by_memory=self.owned.killed_by_memory,
                elsewhere=self._elsewhere,
            )
        )
        return passage

    # -- requests ---------------------------------------------------------------------------------------------------

    def protocol(self, connections: Connections) -> ServerProtocol:
        """The server side of one more connection."""
        return ServerProtocol(
            _not_admitted, max_body=0, admit=self._door.admit, wording=front_door.wording, connections=connections
        )

    def _ready(self, request: Request) -> None:
        request.respond(*((200, b"ok") if self.ready else (503, b"draining" if self.draining else b"syncing")))

    def _handle(self, request: Request, request_id: str) -> None:
        """Answers a request that was on its way to somebody else."""
        call = invoke_request.parse_call(request)
        self._answer(request, request_id=request_id, call=call, hop=self._door.hop(request))

    def _elsewhere(self, invocation: Invocation) -> None:
        """Answers an invocation that reached nobody."""
        self._handle(invocation.request, invocation.id)

    def _answer(self, request: Request, *, request_id: str, call: InvokeCall, hop: Hop | None) -> None:
        """Answers a request, or has somebody answer it."""
        try:
            self._invoke(request, request_id, call, hop)
        except InvokeError as error:
            refuse(request, request_id, error)
        except Exception:
            log.exception("request %s failed", request_id)
            refuse(request, request_id, invoke_error.service("the request failed; the frontend's log says why"))

    def _invoke(self, request: Request, request_id: str, call: InvokeCall, hop: Hop | None) -> None:
        self._check_region(call.reference.region)
        namespace = self._namespace(call.reference.account, request)
        name = self.caches.object_name(namespace, call.reference.name)
        view = self.caches.functions.items.get((namespace, name))
        if view is None:
            name, view = self._unseen.found((namespace, call.reference.name)) or (name, None)
        found = self.caches.namespaces.items.get(("", namespace))
        account = found.account_id if found else call.reference.account or "0" * 12
        arn = identity.function_arn(self._settings.region, account, call.reference.name)
        if view is None:
            self._look_up((namespace, call.reference.name), request, request_id, arn, call)
            return
        qualifier = call.qualifier or LATEST
        if (view.function_name or name) != call.reference.name:
            raise invoke_error.not_found(f"{arn}:{qualifier}")
        if qualifier != LATEST and self._is_unseen(((namespace, name), qualifier)):
            self._look_up_qualifier(((namespace, name), qualifier), request, request_id)
            return
        chance = random.random()  # noqa: S311 - a share of the traffic, no secret
        version = resolve(self.caches.published, (namespace, name), view, qualifier, arn=arn, chance=chance)
        if hop is None:  # whoever forwarded it has looked at it
            invoke_request.check_event(request, event=call.event)
            invoke_request.complete_trace(request)
        if call.dry_run:
            request.respond(204, b"", f"x-amzn-RequestId: {request_id}\r\n".encode())
            return
        deployed = version.deployed
        if deployed is None:
            raise not_invocable(version)
        invoked = f"{arn}:{call.qualifier}" if call.qualifier else arn
        if call.event:
            names = {"X-Kubelambda-Namespace": namespace, "X-Kubelambda-Function": name, "X-Kubelambda-Arn": invoked}
            names["X-Kubelambda-Qualifier"] = call.qualifier or ""
            self._events.hand_over(request, request_id, names, lambda error: refuse(request, request_id, error))
            return
        self._advance_chain(request, hop, (namespace, name), arn, view)
        target = Target(namespace, name, view.uid, account, deployed)
        self._run(
            target, Invocation(request, request_id, invoked, invoke_request.now(), qualifier, deployed.version), hop
        )

    def _run(self, target: Target, invocation: Invocation, hop: Hop | None) -> None:
        """Runs an invocation here, or has the owner of its account run it."""
        for away in hop.without if hop is not None else ():
            self._owners.suspect(away)
        if not self._owners.owns(target.namespace):
            # What a weighted alias chose is chosen again by the owner: leases of one version would shift the weights.
            may_lease = self.caches.published.plain((target.namespace, target.name), invocation.qualifier)
            self._passage.take(target, invocation, hop, may_lease=may_lease)
            return
        if hop is not None:
            invocation.holder = self._leasing.holder(invocation.request)
        invocation.environment_head = invoke_head(invocation)
        self.owned.dispatcher(target).invoke(invocation)

    def _advance_chain(self, request: Request, hop: Hop | None, function: Name, arn: str, view: FunctionView) -> None:
        """Counts a run of the function in its chain, unless another frontend has. Raises `InvokeError`."""
        if hop is not None:
            return
        try:
            invoke_request.advance_chain(request, arn, endless=view.recursive_loop == "Allow")
        except InvokeError:
            self.metrics.recursive_invocations_dropped.labels(*function).inc()
            raise

    def _check_region(self, region: str | None) -> None:
        if region is not None and region != self._settings.region:
            raise invoke_error.other_region(region, self._settings.region)

    def _is_unseen(self, qualified: Qualified) -> bool:
        """Whether the caches lack an alias or version that Kubernetes was not asked for a moment ago."""
        return not self.caches.published.resolvable(*qualified) and not self._unseen_qualifiers.absent(qualified)

    def _look_up_qualifier(self, qualified: Qualified, request: Request, request_id: str) -> None:
        if not self.synced or not self._unseen_qualifiers.look(qualified, self._looked_up(request, request_id)):
            raise invoke_error.not_synced()

    def _looked_up(self, request: Request, request_id: str) -> Callable[[bool], None]:
        """Goes on with a request once Kubernetes was asked for what it names."""

        def answered(known: bool) -> None:
            if known:
                self._handle(request, request_id)
            else:
                refuse(request, request_id, invoke_error.not_synced())

        return answered

    def _look_up(self, name: Name, request: Request, request_id: str, arn: str, call: InvokeCall) -> None:
        """The cache does not have the function. It is not said to be absent before Kubernetes says so."""
        if not self.synced:
            raise invoke_error.not_synced()
        if not name[0] or self._unseen.absent(name):
            raise invoke_error.not_found(f"{arn}:{call.qualifier or LATEST}")
        if not self._unseen.look(name, self._looked_up(request, request_id)):
            raise invoke_error.not_synced()

    def _namespace(self, account: str | None, request: Request) -> str:
        if account is not None:
            return self.caches.namespace_of(account) or ""
        named = request.headers.get(NAMESPACE)
        if named is not None:
            return named.decode(errors="replace")
        domain = self._settings.endpoint_domain
        if domain is not None:
            host = request.headers.get(b"host", b"").decode(errors="replace").partition(":")[0]
            if host.endswith(f".{domain}"):
                return host.removesuffix(f".{domain}")
        return self._settings.default_namespace

    # -- state ------------------------------------------------------------------------------------------------------

    @property
    def synced(self) -> bool:
        """Whether the caches have seen the cluster once."""
        return all(found.synced.is_set() for found in self.caches.reflectors())

    @property
    def ready(self) -> bool:
        """Whether requests should come here."""
        return not self.draining and self.synced

    @property
    def in_flight(self) -> int:
        """Invocations that are not answered yet."""
        return self.owned.in_flight + self._leasing.held.in_flight().total()

    def drain(self) -> None:
        """Takes nothing new; what comes all the same goes to the frontends that stay, and so does what waits."""
        self.draining = True
        self._owners.leave()

    def close(self) -> None:
        """Lets go of every connection that is kept; environments stay."""
        for kept in (self._forwarder, self._events, self._door, self._leasing):
            kept.close()
        self.audit.flush()
        for dispatcher in self.owned:
            dispatcher.close()

    def background(self) -> list[Coroutine[None, None, None]]:
        """What goes on beside requests, until cancelled. What waits for others is never in the way of `_tick`."""
        return [
            _every(1, self._tick),
            _every(leasing.TICK_S, self._leasing.tick),
            _every(1, self._size_pools),
            _every(ledger_check.INTERVAL_S, self._check_ledger),
            _every(stray_collection.INTERVAL_S, self._look_for_strays),
        ]

    async def _tick(self) -> None:
        self.owned.tick()

    async def _size_pools(self) -> None:
        if self.ready:
            await self._pools.resize()

    async def _check_ledger(self) -> None:
        await self._ledger_check.run(list(self.owned))

    async def _look_for_strays(self) -> None:
        if self.ready:
            self._strays.look()

    # -- changes ----------------------------------------------------------------------------------------------------

    def _credentials_secret(self, namespace: str) -> str | None:
        found = self.caches.namespaces.items.get(("", namespace))
        return found.credentials_secret if found else None

    def _function_changed(self, name: Name, before: FunctionView | None, after: FunctionView | None) -> None:
        self._unseen.forget((name[0], after.function_name if after and after.function_name else name[1]))
        if before is not None and before.deployed is not None:
            self._variables.forget(name[0], before.deployed.revision)
        self.owned.function_changed(name, after)
        if after is not None and after.deployed is not None and self._owners.owns(name[0]):
            for archive in after.deployed.archives:
                self._archives.prefetch(name[0], archive)
            self._variables.prefetch(name[0], after.deployed.revision, after.deployed.environment)

    def _published_changed(self, function: Name) -> None:
        self.owned.published_changed(function)

    def _pod_changed(self, name: Name, before: PodView | None, after: PodView | None) -> None:
        self.owned.pod_changed(name, before, after)

    def _namespace_changed(self, name: Name, before: NamespaceView | None, after: NamespaceView | None) -> None:  # noqa: ARG002
        self.owned.namespace_changed(name[1], after)

    def members_changed(self) -> None:
        """Other frontends are ready than before."""
        self._owners.members_changed()

    def _owners_changed(self) -> None:
        self.owned.release_foreign()


def _not_admitted(request: Request) -> None:
    raise AssertionError(f"{request.target!r} was not asked about at its head")


async def _every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    """Does `work` again and again. What goes wrong once must not end it."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
        except Exception:
            log.exception("%s failed", work.__name__)
