"""What a frontend knows of the cluster: reflectors of narrow views, and the indexes that the hot path needs."""

import asyncio
from collections import defaultdict
from collections.abc import Callable

from kubelambda.api import labels
from kubelambda.api.kinds.runtime import RuntimeSpec
from kubelambda.callers.access_key_directory import AccessKeyDirectory
from kubelambda.frontend.cluster import views
from kubelambda.frontend.cluster.pod_ends import PodEnds
from kubelambda.frontend.cluster.published import Published
from kubelambda.frontend.cluster.url_directory import UrlDirectory
from kubelambda.frontend.cluster.views import AliasView, FunctionView, NamespaceView, PodView
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.reflector import Name, Reflector
from kubelambda.kube.resources import (
    ALIASES,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    FUNCTION_VERSIONS,
    FUNCTIONS,
    INVOKE_ENDPOINTS,
    NAMESPACES,
    PODS,
    RUNTIMES,
)

type Changed[V] = Callable[[Name, V | None, V | None], None]

_ENVIRONMENTS = f"{labels.MANAGED_BY}={labels.MANAGER},{labels.COMPONENT}={labels.COMPONENT_ENVIRONMENT}"


class Caches:
    """All reflectors of a frontend."""

    def __init__(
        self,
        client: KubeClient,
        *,
        system_namespace: str,
        service: str,
        control_api_service: str,
        on_function: Changed[FunctionView],
        on_pod: Changed[PodView],
        on_namespace: Changed[NamespaceView],
        on_published: Callable[[Name], None],
        on_members: Callable[[], None],
        on_endpoints: Callable[[], None],
    ) -> None:
        self._on_function = on_function
        self._on_pod = on_pod
        self._on_namespace = on_namespace
        self._on_members = on_members
        self._pools: defaultdict[tuple[str, str], dict[str, None]] = defaultdict(dict)
        self._accounts: defaultdict[str, dict[str, tuple[bool, str, str]]] = defaultdict(dict)
        self._objects: dict[Name, str] = {}
        self._waiters: dict[tuple[str, str, str], asyncio.Future[None]] = {}
        self.functions = Reflector(client, FUNCTIONS, views.function_view, on_change=self._function_changed)
        self.runtimes: Reflector[RuntimeSpec] = Reflector(
            client, RUNTIMES, views.runtime_view, on_change=lambda *_: None
        )
        self.published = Published(on_published)
        self.versions = Reflector(
            client, FUNCTION_VERSIONS, views.version_view, on_change=self.published.version_changed
        )
        self.urls = UrlDirectory()
        self.aliases = Reflector(client, ALIASES, views.alias_view, on_change=self._alias_changed)
        self.namespaces = Reflector(client, NAMESPACES, views.namespace_view, on_change=self._namespace_changed)
        self.pod_ends = PodEnds()
        self.pods = Reflector(client, PODS, views.pod_view, on_change=self._pod_changed, label_selector=_ENVIRONMENTS)
        self.pools = Reflector(
            client, DEPLOYMENTS, views.pool_view, on_change=lambda *_: None, label_selector=labels.POOL
        )
        self.access_keys = AccessKeyDirectory(client)
        self.endpoints = Reflector(client, INVOKE_ENDPOINTS, views.endpoint_view, on_change=lambda *_: on_endpoints())
        self.members = Reflector(
            client,
            ENDPOINT_SLICES,
            views.ready_addresses,
            on_change=self._members_changed,
            on_list=on_members,
            namespace=system_namespace,
            label_selector=f"kubernetes.io/service-name={service}",
        )
        self.control_apis = Reflector(
            client,
            ENDPOINT_SLICES,
            views.ready_servers,
            on_change=lambda *_: None,
            namespace=system_namespace,
            label_selector=f"kubernetes.io/service-name={control_api_service}",
        )

    def reflectors(self) -> list[Reflector[FunctionView] | Reflector[PodView]]:
        """Every reflector, to run and to wait for."""
        return [
            self.functions,
            self.versions,  # type: ignore[list-item]
            self.aliases,  # type: ignore[list-item]
            self.runtimes,  # type: ignore[list-item]
            self.namespaces,  # type: ignore[list-item]
            self.pods,
            self.pools,  # type: ignore[list-item]
            self.members,  # type: ignore[list-item]
            self.control_apis,  # type: ignore[list-item]
            self.access_keys.secrets,  # type: ignore[list-item]
            self.endpoints,  # type: ignore[list-item]
        ]

    def ready_members(self) -> frozenset[str]:
        """Addresses of the ready frontends."""
        return frozenset(address for addresses in self.members.items.values() for address in addresses)

    def ready_control_apis(self) -> frozenset[tuple[str, int]]:
        """Addresses and ports of the ready replicas of the control API."""
        return frozenset[tuple[str, int]]().union(*self.control_apis.items.values())

    def namespace_of(self, account: str) -> str | None:
        """The namespace with that account id; of several that claim it, the one whose it is."""
        claims = self._accounts.get(account, {})
        return min(claims, key=claims.__getitem__, default=None)

    def object_name(self, namespace: str, function_name: str) -> str:
        """Name of the object of a function, which is the function's own unless its spec has another."""
        return self._objects.get((namespace, function_name), function_name)

    def pool(self, namespace: str, pool_id: str) -> list[str]:
        """Names of the unclaimed pods of a pool."""
        return list(self._pools[namespace, pool_id])

    async def changed(self, *others: "asyncio.Future[None]", pod: Name | None = None, pool: Name | None = None) -> None:
        """Returns after the next change of a pod, after a pod of a pool became ready, or once one of `others` is done.

        A pod is named by its namespace and name, a pool by its namespace and id.
        """
        awaited = set(others)
        if pod is not None:
            awaited.add(self._waiter("pod", pod))
        if pool is not None:
            awaited.add(self._waiter("pool", pool))
        await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)

    def _waiter(self, kind: str, name: Name) -> "asyncio.Future[None]":
        waiter = self._waiters.get((kind, *name))
        if waiter is None:
            waiter = self._waiters[(kind, *name)] = asyncio.get_running_loop().create_future()
        return waiter

    def _wake(self, kind: str, name: Name) -> None:
        waiter = self._waiters.pop((kind, *name), None)
        if waiter is not None:
            waiter.set_result(None)

    def _function_changed(self, name: Name, before: FunctionView | None, after: FunctionView | None) -> None:
        if before is not None and before.function_name:
            self._objects.pop((name[0], before.function_name), None)
        if after is not None and after.function_name:
            self._objects[name[0], after.function_name] = name[1]
        self.urls.function_changed(name, before, after)
        self._on_function(name, before, after)

    def _alias_changed(self, name: Name, before: AliasView | None, after: AliasView | None) -> None:
        self.urls.alias_changed(name, before, after)
        self.published.alias_changed(name, before, after)

    def _pod_changed(self, name: Name, before: PodView | None, after: PodView | None) -> None:
        if before is not None and before.pool:
            self._pools[name[0], before.pool].pop(name[1], None)
        if after is not None and after.pool:
            self._pools[name[0], after.pool][name[1]] = None
            if after.ready:
                self._wake("pool", (name[0], after.pool))
        self.pod_ends.changed(name, after)
        self._wake("pod", name)
        self._on_pod(name, before, after)

    def _members_changed(self, *_: object) -> None:
        if not self.members.listing:  # of a part of the members, others own the accounts
            self._on_members()

    def _namespace_changed(self, name: Name, before: NamespaceView | None, after: NamespaceView | None) -> None:
        if before is not None:
            self._accounts[before.account_id].pop(name[1], None)
            if not self._accounts[before.account_id]:
                del self._accounts[before.account_id]
        if after is not None:
            self._accounts[after.account_id][name[1]] = after.rank
        self._on_namespace(name, before, after)
