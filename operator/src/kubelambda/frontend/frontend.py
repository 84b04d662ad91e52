"""The frontend: from a request to the dispatcher of its function, here or on the frontend that owns it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine

from kubelambda.api.environment_protocol import StreamBounds
from kubelambda.api.settings import Settings
from kubelambda.callers.audit_log import AuditLog, standard_output
from kubelambda.core.environment.component_callers import ComponentCallers
from kubelambda.frontend import front_door
from kubelambda.frontend.account import leasing, ledger_check, stray_collection
from kubelambda.frontend.account.forwarder import IDLE_S, Forwarder
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
from kubelambda.frontend.cluster.unseen_qualifiers import UnseenQualifiers
from kubelambda.frontend.cluster.views import FunctionView, NamespaceView, PodView
from kubelambda.frontend.cold_start.archive_cache import Archives
from kubelambda.frontend.cold_start.secret_report import SecretReport
from kubelambda.frontend.cold_start.starter import Starter
from kubelambda.frontend.cold_start.variable_values import Variables
from kubelambda.frontend.control_api.calling_account import CallingAccounts
from kubelambda.frontend.control_api.control_api_proxy import ControlApiProxy
from kubelambda.frontend.control_api.control_api_servers import ControlApiServers
from kubelambda.frontend.dispatch.invocation import Invocation
from kubelambda.frontend.dispatch.leased_environments import Neighbourhood
from kubelambda.frontend.dispatch.metrics import Metrics
from kubelambda.frontend.endpoint.endpoint_door import EndpointDoor
from kubelambda.frontend.endpoint.endpoint_gate import EndpointGate
from kubelambda.frontend.endpoint.endpoint_listeners import EndpointListeners
from kubelambda.frontend.front_door import FrontDoor
from kubelambda.frontend.invoke.awaited_news import AwaitedNews
from kubelambda.frontend.invoke.caller_gate import CallerGate
from kubelambda.frontend.invoke.event_handover import EventHandover
from kubelambda.frontend.invoke.reception import Reception
from kubelambda.frontend.invoke.request_accounts import RequestAccounts
from kubelambda.frontend.invoke.url_door import UrlDoor
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
        self._key = key
        self._address = address
        self.metrics = Metrics()
        self._archives = Archives(store)
        self._variables = Variables(client, self._credentials_secret)
        self.caches = Caches(
            client,
            system_namespace=settings.system_namespace,
            service=service,
            control_api_service=settings.control_api_service,
            on_function=self._function_changed,
            on_pod=self._pod_changed,
            on_namespace=self._namespace_changed,
            on_published=self._published_changed,
            on_members=self.members_changed,
            on_endpoints=self._endpoints_changed,
        )
        self.metrics.watch_unreadable(self.caches.reflectors())
        self._unseen, self._news = UnseenFunctions(client, self._is_namespace), AwaitedNews()
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
        accounts, callers = RequestAccounts(self.caches, settings), ComponentCallers(key)
        self._reception = self._receive(client, accounts, callers, settings)
        gate = CallerGate(client, self.caches, settings, self.audit, accounts)
        self._door = self._open(client, callers, gate, settings, CallingAccounts(self.caches.access_keys, accounts))
        self._endpoints = EndpointListeners(
            address,
            lambda: list(self.caches.endpoints.items.values()),
            EndpointDoor(self._reception.answer, EndpointGate(gate.authenticator, self.caches, settings, self.audit)),
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
                why_ended=self.caches.pod_ends.why,
                elsewhere=self._elsewhere,
            )
        )
        return passage

    def _receive(
        self, client: KubeClient, accounts: RequestAccounts, callers: ComponentCallers, settings: Settings
    ) -> Reception:
        """What becomes of invocations that were let in."""
        streams = settings.response_streams
        bounds = StreamBounds(streams.maximum_mb << 20, streams.burst_mb << 20, streams.mb_per_second << 20)
        return Reception(
            self.caches,
            accounts,
            callers,
            region=settings.region,
            bounds=bounds,
            metrics=self.metrics,
            owners=self._owners,
            owned=self.owned,
            passage=self._passage,
            leasing=self._leasing,
            events=self._events,
            unseen=self._unseen,
            unseen_qualifiers=UnseenQualifiers(client, self.caches.published),
            news=self._news,
            synced=lambda: self.synced,
        )

    def _open(
        self,
        client: KubeClient,
        callers: ComponentCallers,
        gate: CallerGate,
        settings: Settings,
        calling: CallingAccounts,
    ) -> FrontDoor:
        """Who gets which request."""
        probes: dict[bytes, Serve] = {b"/healthz": lambda request: request.respond(200, b"ok")}
        control_apis = ControlApiServers(settings.control_api_url, self.caches.ready_control_apis)
        urls = UrlDoor(
            self.caches,
            settings,
            gate=gate.of_urls,
            audit=self.audit,
            invoke=self._reception.answer,
            synced=lambda: self.synced,
        )
        return FrontDoor(
            callers,
            invoke=self._reception.answer,
            control_api=ControlApiProxy(control_apis, calling.namespace),
            secret_report=SecretReport(client, self._key),
            gate=gate,
            urls=urls,
            probes=probes | {b"/readyz": self._ready} | self._leasing.routes,
            public=settings.public_frontend,
        )

    # -- requests ---------------------------------------------------------------------------------------------------

    def protocol(self, connections: Connections) -> ServerProtocol:
        """The server side of one more connection."""
        return ServerProtocol(
            _not_admitted, max_body=0, admit=self._door.admit, wording=front_door.wording, connections=connections
        )

    async def serve_endpoints(self, connections: Connections) -> None:
        """Serves what comes to the ports of InvokeEndpoints, until cancelled."""
        await self._endpoints.run(connections)

    def _ready(self, request: Request) -> None:
        request.respond(*((200, b"ok") if self.ready else (503, b"draining" if self.draining else b"syncing")))

    def _elsewhere(self, invocation: Invocation) -> None:
        """Answers an invocation that reached nobody."""
        self._reception.again(invocation.request, invocation.id)

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
        """Invocations whose environments are not free yet."""
        return self.owned.in_flight + self._leasing.held.in_flight().total()

    @property
    def unanswered(self) -> int:
        """Invocations that are not answered yet: for these it lives on when it is told to end."""
        return self.owned.unanswered + self._leasing.held.in_flight().total()

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
            self._starter.look_ahead()
            await self._pools.resize()

    async def _check_ledger(self) -> None:
        await self._ledger_check.run(list(self.owned))

    async def _look_for_strays(self) -> None:
        if self.ready:
            self._strays.look()

    # -- changes ----------------------------------------------------------------------------------------------------

    def _is_namespace(self, name: str) -> bool:
        return ("", name) in self.caches.namespaces.items

    def _credentials_secret(self, namespace: str) -> str | None:
        found = self.caches.namespaces.items.get(("", namespace))
        return found.credentials_secret if found else None

    def _function_changed(self, name: Name, before: FunctionView | None, after: FunctionView | None) -> None:
        for view in (before, after):
            if view is not None:
                self._unseen.forget((name[0], view.function_name or name[1]))
        if before is not None and before.deployed is not None:
            self._variables.forget(name[0], before.deployed.revision)
        self.owned.function_changed(name, after)
        if after is not None and self._owners.owns(name[0]):
            self._fetch_ahead(name[0], after)
        self._news.heard(name)

    def _fetch_ahead(self, namespace: str, function: FunctionView) -> None:
        """What a start of a function will need."""
        if function.deployed is not None:
            for archive in function.deployed.archives:
                self._archives.prefetch(namespace, archive)
            self._variables.prefetch(namespace, function.deployed.revision, function.deployed.environment)

    def _published_changed(self, function: Name) -> None:
        self.owned.published_changed(function)
        self._news.heard(function)

    def _pod_changed(self, name: Name, before: PodView | None, after: PodView | None) -> None:
        self.owned.pod_changed(name, before, after)

    def _namespace_changed(self, name: Name, before: NamespaceView | None, after: NamespaceView | None) -> None:  # noqa: ARG002
        self.owned.namespace_changed(name[1], after)

    def _endpoints_changed(self) -> None:
        self._endpoints.changed()

    def members_changed(self) -> None:
        """Other frontends are ready than before, or it is known for the first time which are."""
        functions = self.caches.functions.items
        before = {namespace for namespace, _ in functions if self._owners.owns(namespace)}
        self._owners.members_changed()
        self.owned.look_after_provisioned()
        for (namespace, _), function in functions.items():
            if namespace not in before and self._owners.owns(namespace):
                self._fetch_ahead(namespace, function)
        self._news.heard_by_all()

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
