"""The functions of the namespaces that this frontend owns: one dispatcher each, made at the first need."""

import logging
from collections.abc import Callable, Iterator

from kubelambda.api.settings import Settings
from kubelambda.frontend.account.account_shares import AccountShares
from kubelambda.frontend.account.adoption import Adoption
from kubelambda.frontend.account.owners import Owners
from kubelambda.frontend.account.silence import Silence
from kubelambda.frontend.cluster.caches import Caches
from kubelambda.frontend.cluster.views import FunctionView, NamespaceView, PodView
from kubelambda.frontend.cold_start.start import Target
from kubelambda.frontend.cold_start.starter import Starter
from kubelambda.frontend.dispatch.dispatcher import Dispatcher, Surroundings
from kubelambda.frontend.dispatch.invocation import Invocation
from kubelambda.frontend.dispatch.metrics import Metrics
from kubelambda.kube.reflector import Name

log = logging.getLogger(__name__)


class OwnedFunctions:
    """Dispatchers and accounts. `elsewhere` takes invocations whose function is not run here any more."""

    def __init__(
        self,
        caches: Caches,
        starter: Starter,
        settings: Settings,
        key: bytes,
        metrics: Metrics,
        *,
        owners: Owners,
        elsewhere: Callable[[Invocation], None],
    ) -> None:
        self._caches = caches
        self._starter = starter
        self._settings = settings
        self._metrics = metrics
        self._owners = owners
        self.adoption = Adoption(caches, starter, key)
        self._silence = Silence(caches, key, self._present)
        self._surroundings = Surroundings(self._killed_by_memory, elsewhere, self._silence.suspect_node_of)
        self._dispatchers: dict[Name, Dispatcher] = {}
        self._released: list[Dispatcher] = []
        self._shares = AccountShares(caches, settings.account_concurrency)

    def __iter__(self) -> Iterator[Dispatcher]:
        """Every dispatcher, those too that only finish what they run."""
        return iter([*self._dispatchers.values(), *self._released])

    def _present(self) -> Iterator[Dispatcher]:
        return iter(list(self._dispatchers.values()))

    @property
    def in_flight(self) -> int:
        """Invocations that are not answered yet."""
        return sum(dispatcher.in_flight for dispatcher in self)

    def dispatcher(self, namespace: str, name: str, view: FunctionView, account: str) -> Dispatcher:
        """The dispatcher of a function, whose `view` says what is deployed."""
        found = self._dispatchers.get((namespace, name))
        return found if found is not None else self._make(namespace, name, view, account)

    def known(self, namespace: str, name: str) -> Dispatcher | None:
        """The dispatcher of a function, made if need be; None when another frontend owns it or nothing is deployed."""
        view = self._caches.functions.items.get((namespace, name))
        found = self._caches.namespaces.items.get(("", namespace))
        if view is None or view.deployed is None or found is None or not self._owners.owns(namespace):
            return None
        return self.dispatcher(namespace, name, view, found.account_id)

    def tick(self) -> None:
        """What time alone decides, once a second."""
        settings = self._settings.environments
        for dispatcher in self:
            dispatcher.check()
            dispatcher.tick(settings.idle_timeout_seconds, settings.start_timeout_seconds)
        self._released = [dispatcher for dispatcher in self._released if not dispatcher.idle]
        self.release_foreign()

    def release_foreign(self) -> None:
        """Lets go of what another frontend owns now."""
        for name, dispatcher in list(self._dispatchers.items()):
            if not self._owners.owns(name[0]):
                del self._dispatchers[name]
                self._shares.forget(name[0])
                self._released.append(dispatcher)
                dispatcher.release()

    def function_changed(self, name: Name, after: FunctionView | None) -> None:
        """A function was deployed, changed or deleted."""
        self._shares.function_changed(name, after)
        dispatcher = self._dispatchers.get(name)
        if dispatcher is not None:
            if after is None or after.deployed is None or after.uid != dispatcher.target.uid:
                del self._dispatchers[name]
                self._released.append(dispatcher)
                dispatcher.remove()
            else:
                target = Target(*name, after.uid, dispatcher.target.account, after.deployed)
                dispatcher.configure(target)
        if after is None:
            self._metrics.forget(*name)

    def pod_changed(self, name: Name, before: PodView | None, after: PodView | None) -> None:
        """A pod of an environment appeared, changed or is gone."""
        if after is None:
            if before is not None:
                self._starter.pod_gone(before.uid)
        elif not after.pool:
            self._starter.pod_claimed(after.uid)
        seen = after or before
        dispatcher = self._dispatchers.get((name[0], seen.function)) if seen is not None and seen.function else None
        if seen is None or dispatcher is None:
            return
        if after is None or after.ending or after.restarts > 0:
            dispatcher.pod_ending(seen.uid)
            return
        if after.resize_refused and not (before and before.resize_refused):
            log.info("pod %s/%s: resize %s", *name, after.resize_refused)
            dispatcher.resize_refused(seen.uid)
        if before is not None and before.ready and not after.ready:
            self._silence.suspect_pod(seen.uid)
        if not dispatcher.knows(seen.uid):
            self.adoption.adopt(dispatcher, name[1], after)

    def namespace_changed(self, namespace: str, after: NamespaceView | None) -> None:
        """A namespace's quota may be another one."""
        self._shares.namespace_changed(namespace, after)

    def _make(self, namespace: str, name: str, view: FunctionView, account: str) -> Dispatcher:
        assert view.deployed is not None
        dispatcher = Dispatcher(
            Target(namespace, name, view.uid, account, view.deployed),
            share=self._shares.share(namespace, name),
            starter=self._starter,
            metrics=self._metrics.function(namespace, name),
            surroundings=self._surroundings,
        )
        self._dispatchers[namespace, name] = dispatcher
        self.adoption.adopt_all(dispatcher)
        return dispatcher

    def _killed_by_memory(self, namespace: str, pod: str) -> bool:
        found = self._caches.pods.items.get((namespace, pod))
        return found is not None and found.out_of_memory
