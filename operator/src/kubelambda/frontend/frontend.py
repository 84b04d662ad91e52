"""The frontend: from a request to the dispatcher of its function, here or on the frontend that owns it."""

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, Coroutine

from kubelambda.api.settings import Settings
from kubelambda.core.account import identity, ownership
from kubelambda.core.account.ledger import Account
from kubelambda.core.account.reserved_concurrency import account_quota
from kubelambda.core.environment import tokens
from kubelambda.core.invoke import invoke_error
from kubelambda.core.invoke.invoke_error import InvokeError
from kubelambda.frontend.account import ledger_check, stray_collection
from kubelambda.frontend.account.adoption import Adoption
from kubelambda.frontend.account.forwarder import HEADER, Forwarder
from kubelambda.frontend.account.ledger_check import LedgerCheck
from kubelambda.frontend.account.pool_scaling import PoolScaling
from kubelambda.frontend.account.stray_collection import StrayCollection
from kubelambda.frontend.cluster.caches import Caches
from kubelambda.frontend.cluster.views import FunctionView, NamespaceView, PodView
from kubelambda.frontend.cold_start.archive_cache import Archives
from kubelambda.frontend.cold_start.starter import Starter, Target
from kubelambda.frontend.cold_start.variable_values import Variables
from kubelambda.frontend.control_api.control_api_proxy import ControlApiProxy
from kubelambda.frontend.dispatch.dispatcher import Dispatcher
from kubelambda.frontend.dispatch.environment_handle import invoke_head
from kubelambda.frontend.dispatch.invocation import Invocation, refuse
from kubelambda.frontend.dispatch.metrics import Metrics
from kubelambda.frontend.invoke import invoke_request
from kubelambda.frontend.invoke.invoke_request import AnotherOperation
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.reflector import Name
from kubelambda.store.code.code_store import CodeStore
from kubelambda.wire.server import Request

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
        self._address = address
        self._token = tokens.forward_token(key).encode()
        self.metrics = Metrics()
        self._archives = Archives(store)
        self._variables = Variables(client)
        self.caches = Caches(
            client,
            system_namespace=settings.system_namespace,
            service=service,
            on_function=self._function_changed,
            on_pod=self._pod_changed,
            on_namespace=self._namespace_changed,
            on_members=self._members_changed,
        )
        self._pools = PoolScaling(client, self.caches, self._owns)
        self._starter = Starter(
            client,
            self.caches,
            archives=self._archives,
            variables=self._variables,
            settings=settings,
            key=key,
            on_claim=self._pools.claimed,
        )
        self._reconciliation = LedgerCheck(self.caches, key, self.metrics)
        self._adoption = Adoption(self.caches, key)
        self._orphans = StrayCollection(self.caches, self._own_dispatcher, self._starter.delete_soon)
        self._control_api = ControlApiProxy(settings.control_api_url)
        self._forwarder = Forwarder(port, self._token.decode())
        self._dispatchers: dict[Name, Dispatcher] = {}
        self._released: list[Dispatcher] = []
        self._accounts: dict[str, Account] = {}
        self._owners: dict[str, list[str]] = {}
        self.draining = False

    # -- requests ---------------------------------------------------------------------------------------------------

    def serve(self, request: Request) -> None:
        """Answers one request, now or when its invocation ends."""
        if request.target == b"/healthz":
            request.respond(200, b"ok")
            return
        if request.target == b"/readyz":
            request.respond(*((200, b"ok") if self.ready else (503, b"draining" if self.draining else b"syncing")))
            return
        forwarded = hmac.compare_digest(request.headers.get(HEADER, b""), self._token)
        request_id = invoke_request.new_request_id(request, trusted=forwarded)
        try:
            self._invoke(request, request_id, forwarded=forwarded)
        except InvokeError as error:
            refuse(request, request_id, error)
        except AnotherOperation:
            self._control_api.pass_on(request, request_id, lambda error: refuse(request, request_id, error))
        except Exception:
            log.exception("request %s failed", request_id)
            refuse(request, request_id, invoke_error.service("the request failed; the frontend's log says why"))

    def _invoke(self, request: Request, request_id: str, *, forwarded: bool) -> None:
        call = invoke_request.parse_call(request)
        region = call.reference.region
        if region is not None and region != self._settings.region:
            raise invoke_error.other_region(region, self._settings.region)
        namespace = self._namespace(call.reference.account, request)
        name = self.caches.object_name(namespace, call.reference.name)
        view = self.caches.functions.items.get((namespace, name))
        found = self.caches.namespaces.items.get(("", namespace))
        account = found.account_id if found else call.reference.account or "0" * 12
        arn = identity.function_arn(self._settings.region, account, call.reference.name)
        if (
            view is None
            or (view.function_name or name) != call.reference.name
            or call.qualifier not in (None, invoke_request.LATEST)
        ):
            raise invoke_error.not_found(f"{arn}:{call.qualifier or invoke_request.LATEST}")
        if not forwarded:  # whoever forwarded it has looked at it
            invoke_request.check_event(request)
            invoke_request.complete_trace(request)
        if call.dry_run:
            request.respond(204, b"", f"x-amzn-RequestId: {request_id}\r\n".encode())
            return
        if view.deployed is None:
            raise _not_invocable(view)
        if not forwarded or self.draining:
            owners = self._owners_of(namespace)
            if owners and owners[0] != self._address:
                self._forward(request, request_id, owners)
                return
        invoked = f"{arn}:{call.qualifier}" if call.qualifier else arn
        invocation = Invocation(request, request_id, invoked, invoke_request.now())
        invocation.environment_head = invoke_head(invocation)
        self._dispatcher(namespace, name, view, account).invoke(invocation)

    def _namespace(self, account: str | None, request: Request) -> str:
        if account is not None:
            return self.caches.namespace_of(account) or ""
        domain = self._settings.endpoint_domain
        if domain is not None:
            host = request.headers.get(b"host", b"").decode(errors="replace").partition(":")[0]
            if host.endswith(f".{domain}"):
                return host.removesuffix(f".{domain}")
        return self._settings.default_namespace

    def _forward(self, request: Request, request_id: str, owners: list[str]) -> None:
        self.metrics.forwards.inc()
        others = [owner for owner in owners if owner != self._address]
        self._forwarder.forward(
            request, request_id, others, lambda why: refuse(request, request_id, invoke_error.service(why))
        )

    # -- state ------------------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether requests should come here."""
        return not self.draining and all(found.synced.is_set() for found in self.caches.reflectors())

    @property
    def in_flight(self) -> int:
        """Invocations that are not answered yet."""
        dispatchers = [*self._dispatchers.values(), *self._released]
        return sum(dispatcher.in_flight for dispatcher in dispatchers)

    def drain(self) -> None:
        """Takes nothing new; what comes all the same goes to the frontends that stay."""
        self.draining = True
        self._members_changed()

    def background(self) -> list[Coroutine[None, None, None]]:
        """What goes on beside requests, until cancelled. What waits for others is never in the way of `_tick`."""
        return [
            _every(1, self._tick),
            _every(1, self._size_pools),
            _every(ledger_check.INTERVAL_S, self._reconcile),
            _every(stray_collection.INTERVAL_S, self._look_for_orphans),
        ]

    async def _tick(self) -> None:
        settings = self._settings.environments
        for dispatcher in [*self._dispatchers.values(), *self._released]:
            dispatcher.check()
        for dispatcher in list(self._dispatchers.values()):
            dispatcher.tick(settings.idle_timeout_seconds, settings.start_timeout_seconds)
        self._released = [dispatcher for dispatcher in self._released if not dispatcher.idle]

    async def _size_pools(self) -> None:
        if self.ready:
            await self._pools.resize()

    async def _reconcile(self) -> None:
        await self._reconciliation.run([*self._dispatchers.values(), *self._released])

    async def _look_for_orphans(self) -> None:
        if self.ready:
            self._orphans.look()

    def _owners_of(self, namespace: str) -> list[str]:
        owners = self._owners.get(namespace)
        if owners is None:
            members = self.caches.ready_members()
            if self.draining:
                members -= {self._address}
            owners = self._owners[namespace] = ownership.ranked(namespace, members)
        return owners

    def _owns(self, namespace: str) -> bool:
        owners = self._owners_of(namespace)
        return not owners or owners[0] == self._address

    def _dispatcher(self, namespace: str, name: str, view: FunctionView, account: str) -> Dispatcher:
        dispatcher = self._dispatchers.get((namespace, name))
        if dispatcher is None:
            dispatcher = self._new_dispatcher(namespace, name, view, account)
        return dispatcher

    def _own_dispatcher(self, namespace: str, name: str) -> Dispatcher | None:
        """The dispatcher of a function, made if need be; None when another frontend owns it or nothing is deployed."""
        view = self.caches.functions.items.get((namespace, name))
        found = self.caches.namespaces.items.get(("", namespace))
        if view is None or view.deployed is None or found is None or not self._owns(namespace):
            return None
        return self._dispatcher(namespace, name, view, found.account_id)

    def _new_dispatcher(self, namespace: str, name: str, view: FunctionView, account: str) -> Dispatcher:
        assert view.deployed is not None
        dispatcher = Dispatcher(
            Target(namespace, name, view.uid, account, view.deployed),
            account=self._account(namespace),
            reserved=view.reserved,
            starter=self._starter,
            metrics=self.metrics.function(namespace, name),
            killed_by_memory=self._killed_by_memory,
        )
        self._dispatchers[namespace, name] = dispatcher
        self._adoption.adopt_all(dispatcher)
        return dispatcher

    def _account(self, namespace: str) -> Account:
        account = self._accounts.get(namespace)
        if account is None:
            found = self.caches.namespaces.items.get(("", namespace))
            quota = account_quota(found.quota_annotation if found else None, self._settings.account_concurrency)
            account = self._accounts[namespace] = Account(quota)
            for (other, name), view in self.caches.functions.items.items():
                if other == namespace and view.reserved is not None:
                    account.reserved[name] = view.reserved
        return account

    def _killed_by_memory(self, namespace: str, pod: str) -> bool:
        found = self.caches.pods.items.get((namespace, pod))
        return found is not None and found.out_of_memory

    # -- changes ----------------------------------------------------------------------------------------------------

    def _function_changed(self, name: Name, before: FunctionView | None, after: FunctionView | None) -> None:
        account = self._accounts.get(name[0])
        if account is not None:
            account.reserved.pop(name[1], None)
            if after is not None and after.reserved is not None:
                account.reserved[name[1]] = after.reserved
        if before is not None and before.deployed is not None:
            self._variables.forget(name[0], before.deployed.revision)
        dispatcher = self._dispatchers.get(name)
        if after is None or after.deployed is None or (before is not None and before.uid != after.uid):
            if dispatcher is not None:
                del self._dispatchers[name]
                dispatcher.remove()
                self._released.append(dispatcher)
                self.metrics.function(*name).remove()
        elif dispatcher is not None:
            target = Target(name[0], name[1], after.uid, dispatcher.target.account, after.deployed)
            dispatcher.configure(target, after.reserved)
        if after is not None and after.deployed is not None and self._owns(name[0]):
            self._archives.prefetch(after.deployed.code)
            self._variables.prefetch(name[0], after.deployed.revision, after.deployed.environment)

    def _pod_changed(self, name: Name, before: PodView | None, after: PodView | None) -> None:
        seen = after or before
        if seen is None or not seen.function:
            return
        dispatcher = self._dispatchers.get((name[0], seen.function))
        if dispatcher is None:
            return
        if after is None or after.ending or after.restarts > 0:
            dispatcher.pod_ending(seen.uid)
        elif after.resize_refused and not (before and before.resize_refused):
            log.info("pod %s/%s: resize %s", *name, after.resize_refused)
            dispatcher.resize_refused(seen.uid)

    def _namespace_changed(self, name: Name, before: NamespaceView | None, after: NamespaceView | None) -> None:  # noqa: ARG002
        account = self._accounts.get(name[1])
        if account is not None and after is not None:
            account.change_quota(account_quota(after.quota_annotation, self._settings.account_concurrency))

    def _members_changed(self) -> None:
        self._owners.clear()
        for name, dispatcher in list(self._dispatchers.items()):
            if not self._owns(name[0]):
                del self._dispatchers[name]
                self._accounts.pop(name[0], None)
                dispatcher.release()
                self._released.append(dispatcher)


async def _every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    """Does `work` again and again. What goes wrong once must not end it."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
        except Exception:
            log.exception("%s failed", work.__name__)


def _not_invocable(view: FunctionView) -> InvokeError:
    if view.state == "Failed":
        return invoke_error.not_ready(f"The function is in state Failed: {view.state_reason}")
    return invoke_error.state_conflict(view.state)
