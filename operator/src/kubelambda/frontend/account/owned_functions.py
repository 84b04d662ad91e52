"""The functions of the namespaces that this frontend owns: one dispatcher a version, made at the first need."""

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from kubelambda.api.kinds.deployed_configuration import DeployedConfiguration
from kubelambda.api.settings import Settings
from kubelambda.core.function.version_route import VersionRoute
from kubelambda.core.invoke.routing import LATEST, AliasRoute
from kubelambda.frontend.account.account_shares import AccountShares
from kubelambda.frontend.account.adoption import Adoption
from kubelambda.frontend.account.deletion_order import DeletionOrder
from kubelambda.frontend.account.leasing import Leasing
from kubelambda.frontend.account.owners import Owners
from kubelambda.frontend.account.provisioned_pods import ProvisionedPods
from kubelambda.frontend.account.silence import Silence
from kubelambda.frontend.cluster.caches import Caches
from kubelambda.frontend.cluster.views import FunctionView, NamespaceView, PodView
from kubelambda.frontend.cold_start.start import Target
from kubelambda.frontend.cold_start.starter import Starter
from kubelambda.frontend.dispatch.dispatcher import Dispatcher
from kubelambda.frontend.dispatch.invocation import Invocation
from kubelambda.frontend.dispatch.metrics import FunctionMetrics, Metrics
from kubelambda.frontend.dispatch.provisioned_metrics import ProvisionedLook, Series
from kubelambda.frontend.dispatch.surroundings import Surroundings
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.reflector import Name

log = logging.getLogger(__name__)


class OwnedFunctions:
    """Dispatchers and accounts. `elsewhere` takes invocations whose function is not run here any more."""

    def __init__(
        self,
        client: KubeClient,
        caches: Caches,
        starter: Starter,
        *,
        settings: Settings,
        key: bytes,
        metrics: Metrics,
        owners: Owners,
        leasing: Leasing,
        elsewhere: Callable[[Invocation], None],
    ) -> None:
        self._caches = caches
        self._starter = starter
        self._settings = settings
        self._metrics = metrics
        self._owners = owners
        self._leasing = leasing
        self.adoption = Adoption(caches, starter, key)
        self._provisioned_pods = ProvisionedPods(client, caches, starter, self.adoption)
        self._silence = Silence(caches, key, self._present)
        order = DeletionOrder(client)
        self._surroundings = Surroundings(
            caches.pod_ends.why, elsewhere, self._silence.suspect_node_of, order.first_to_end, leasing.grants
        )
        self._dispatchers: defaultdict[Name, dict[str, Dispatcher]] = defaultdict(dict)
        self._function_metrics: dict[Name, FunctionMetrics] = {}
        self._released: list[Dispatcher] = []
        self._shown_held: set[Name] = set()
        self._shares = AccountShares(caches, settings.account_concurrency)

    def __iter__(self) -> Iterator[Dispatcher]:
        """Every dispatcher, those too that only finish what they run."""
        return iter([*self._present(), *self._released])

    def _present(self) -> Iterator[Dispatcher]:
        return iter([dispatcher for versions in self._dispatchers.values() for dispatcher in versions.values()])

    @property
    def in_flight(self) -> int:
        """Invocations whose environments are not free yet."""
        return sum(dispatcher.in_flight for dispatcher in self)

    @property
    def unanswered(self) -> int:
        """Invocations that are not answered yet."""
        return sum(dispatcher.in_flight - dispatcher.environments.settling for dispatcher in self)

    def dispatcher(self, target: Target, reserved: int | None) -> Dispatcher:
        """The dispatcher of a version of a function, which has so much reserved concurrency."""
        found = self._dispatchers[target.namespace, target.name].get(target.configuration.version)
        return found if found is not None else self._make(target, reserved)

    def known(self, namespace: str, name: str, version: str) -> Dispatcher | None:
        """The dispatcher of a version, made if need be; None when another frontend owns it or nothing is deployed."""
        function = self._caches.functions.items.get((namespace, name))
        found = self._caches.namespaces.items.get(("", namespace))
        if function is None or found is None or not self._owners.owns(namespace):
            return None
        deployed = self._deployed((namespace, name), function, version)
        if deployed is None:
            return None
        target = Target(namespace, name, function.uid, found.account_id, deployed)
        return self.dispatcher(target, function.reserved)

    def _deployed(self, name: Name, function: FunctionView, version: str) -> DeployedConfiguration | None:
        """What a version runs."""
        if version == LATEST:
            return function.deployed
        found = self._caches.published.version(name, version)
        return found.deployed if found is not None else None

    def tick(self) -> None:
        """What time alone decides, once a second."""
        settings = self._settings.environments
        for dispatcher in self:
            dispatcher.check()
            dispatcher.tick(settings.idle_timeout_seconds, settings.start_timeout_seconds, settings.max_age_seconds)
        self._released = [dispatcher for dispatcher in self._released if not dispatcher.idle]
        self.release_foreign()
        self._show()

    def _show(self) -> None:
        """What is in flight now, by function, qualifier and account."""
        now, leased = time.monotonic(), self._leasing.grants.units()
        shown: set[Series] = set()
        for name, share in self._shares:
            versions = self._dispatchers.get(name, {}).values()
            # What runs on a lease is in flight where it is held.
            environments = sum(len(version.environments) for version in versions)
            self.metrics_of(name).show(share.in_flight - leased[id(share)], environments)
            for qualifier, provisioned in list(share.provisioned.items()):
                route = self._caches.published.route(name, qualifier)
                self._keep_provisioned(name, qualifier, route, provisioned.allocated)
                available = sum(version.placement.available(qualifier) for version in versions)
                look = ProvisionedLook(provisioned.allocated, available, provisioned.executing(now))
                self._metrics.provisioned.show((*name, qualifier), look, route.versions() if route else ())
                shown.add((*name, qualifier))
        self._metrics.provisioned.keep(shown)
        unreserved_leases = self._leasing.grants.unreserved()
        for namespace, account in self._shares.accounts.items():
            away = unreserved_leases[id(account)]
            unreserved, claimed = account.unreserved_in_flight - away, account.claimed - away
            self._metrics.accounts.show(namespace, unreserved=unreserved, claimed=claimed)
        self._metrics.accounts.keep(set(self._shares.accounts) | self._show_held())

    def _show_held(self) -> set[str]:
        """What runs on leases is in flight here; the namespaces of those that are held."""
        held, on_demand = self._leasing.held.in_flight(), self._leasing.held.in_flight(provisioned=False)
        unreserved: Counter[str] = Counter()
        for name, running in held.items():
            self.metrics_of(name).show_in_flight(running)
            view = self._caches.functions.items.get(name)
            if view is None or view.reserved is None:
                unreserved[name[0]] += on_demand[name]
        for name in self._shown_held - held.keys() - self._dispatchers.keys():
            self._metrics.forget_gauges(*name)
        self._shown_held = set(held)
        for namespace, running in unreserved.items():
            if namespace not in self._shares.accounts:
                self._metrics.accounts.show(namespace, unreserved=running, claimed=running)
        return set(unreserved)

    def _keep_provisioned(self, name: Name, qualifier: str, route: AliasRoute | None, allocated: int) -> None:
        """Lets go of what is one too many. A version that callers do not get yet, or any more, is the operator's."""
        shares = VersionRoute(route.version, route.weights).shares(allocated) if route is not None else {}
        for version, dispatcher in self._dispatchers.get(name, {}).items():
            dispatcher.keep(qualifier, shares.get(version))

    def release_foreign(self) -> None:
        """Lets go of what another frontend owns now."""
        for name in [name for name in self._dispatchers if not self._owners.owns(name[0])]:
            versions = self._dispatchers.pop(name)
            self._shares.forget(name[0])
            metrics = self._function_metrics.pop(name, None)
            if metrics is not None:
                metrics.remove_gauges()
            self._released += versions.values()
            for dispatcher in versions.values():
                dispatcher.release()

    def function_changed(self, name: Name, after: FunctionView | None) -> None:
        """A function was deployed, changed or deleted."""
        limited = self._shares.function_changed(name, after)
        for version in list(self._dispatchers.get(name, ())):
            self._renew(name, version)
        if after is None:
            metrics = self._function_metrics.pop(name, None)
            if metrics is not None:
                metrics.remove()
            self._metrics.forget(*name)

        if limited:
            self._recall_leases([name])

    def _recall_leases(self, functions: Iterable[Name]) -> None:
        """What functions may use has changed: what was lent before that comes back."""
        for name in functions:
            for dispatcher in self._dispatchers.get(name, {}).values():
                self._leasing.grants.recall_all(dispatcher.placement)

    def published_changed(self, name: Name) -> None:
        """A function's versions or aliases are others than before."""
        self._shares.published_changed(name)
        self._metrics.qualifiers.keep(name, self._caches.published.qualifiers(name))
        for version in list(self._dispatchers.get(name, ())):
            self._renew(name, version)
        if self._owners.owns(name[0]):
            self.look_after_provisioned(name)

    def _renew(self, name: Name, version: str) -> None:
        """A dispatcher's version may have changed, or be gone."""
        dispatcher = self._dispatchers[name][version]
        function = self._caches.functions.items.get(name)
        deployed = self._deployed(name, function, version) if function is not None else None
        if function is None or deployed is None or function.uid != dispatcher.target.uid:
            del self._dispatchers[name][version]
            self._released.append(dispatcher)
            dispatcher.remove()
        elif deployed != dispatcher.target.configuration:
            dispatcher.configure(replace(dispatcher.target, configuration=deployed))

    def pod_changed(self, name: Name, before: PodView | None, after: PodView | None) -> None:
        """A pod of an environment appeared, changed or is gone."""
        if after is None:
            if before is not None:
                self._starter.pod_gone(before.uid)
        elif not after.pool:
            self._starter.pod_claimed(after.uid)
        seen = after or before
        dispatcher = self._dispatcher_of(name[0], seen) if seen is not None and seen.function else None
        if seen is None or dispatcher is None:
            return
        if after is None or after.ending or (after.restarts > 0 and dispatcher.knows(after.uid)):
            dispatcher.pod_ending(seen.uid)
            return
        if after.resize_refused and not (before and before.resize_refused):
            log.info("pod %s/%s: resize %s", *name, after.resize_refused)
            dispatcher.resize_refused(seen.uid)
        if before is not None and before.ready and not after.ready:
            self._silence.suspect_pod(seen.uid)
        if not dispatcher.knows(seen.uid):
            self.take_over(dispatcher, name[1], after)

    def _dispatcher_of(self, namespace: str, pod: PodView) -> Dispatcher | None:
        """The dispatcher that a pod concerns. Provisioned environments are looked after before anybody calls."""
        found = self._dispatchers.get((namespace, pod.function), {}).get(pod.version)
        if found is None and pod.provisioned and not pod.ending:
            return self.known(namespace, pod.function, pod.version)
        return found

    def take_over(self, dispatcher: Dispatcher, pod_name: str, pod: PodView) -> None:
        """Adopts a pod that the dispatcher does not know; a provisioned one may have to be initialized first."""
        if pod.provisioned:
            self._provisioned_pods.look(dispatcher, pod_name, pod)
        else:
            self.adoption.adopt(dispatcher, pod_name, pod)

    def look_after_provisioned(self, function: Name | None = None) -> None:
        """Provisioned environments may have appeared before their version did, or while another frontend owned them."""
        for (namespace, pod_name), pod in list(self._caches.pods.items.items()):
            if pod.provisioned and not pod.ending and function in (None, (namespace, pod.function)):
                dispatcher = self.known(namespace, pod.function, pod.version)
                if dispatcher is not None and not dispatcher.knows(pod.uid):
                    self.take_over(dispatcher, pod_name, pod)

    def namespace_changed(self, namespace: str, after: NamespaceView | None) -> None:
        """A namespace's quota may be another one."""
        if self._shares.namespace_changed(namespace, after):
            self._recall_leases([name for name in self._dispatchers if name[0] == namespace])

    def _make(self, target: Target, reserved: int | None) -> Dispatcher:
        name = (target.namespace, target.name)
        dispatcher = Dispatcher(
            target,
            share=self._shares.share(*name, reserved),
            starter=self._starter,
            metrics=self.metrics_of(name),
            surroundings=self._surroundings,
        )
        self._dispatchers[name][target.configuration.version] = dispatcher
        self.adoption.adopt_all(dispatcher)
        return dispatcher

    def metrics_of(self, name: Name) -> FunctionMetrics:
        """The metrics of a function."""
        found = self._function_metrics.get(name)
        if found is None:
            found = self._function_metrics[name] = self._metrics.function(*name)
        return found
