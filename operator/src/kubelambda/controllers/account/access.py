"""What our own service accounts may do in a namespace: bound with its first Function, until its last."""

import asyncio
import time
from dataclasses import dataclass, field, replace
from weakref import WeakValueDictionary

from kubelambda.api import labels
from kubelambda.controllers.account.binding_facts import WATCHED_BINDINGS
from kubelambda.controllers.account.namespace_facts import known_namespace, namespace_key
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS
from kubelambda.controllers.machinery import desired
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.declaration import Controller
from kubelambda.controllers.machinery.work_queue import Key, Outcome
from kubelambda.kube.resources import DEPLOYMENTS, ROLE_BINDINGS
from kubelambda.resources.account_role_binding import account_role_bindings, binding_name

_LOOK_AGAIN_S = 5.0
KEPT_S = 120.0
"""How long the roles stay bound after the last Function: environments and pools of it are still to be taken away."""


@dataclass(slots=True)
class AccountAccess:
    """Remembers where the roles are bound, so that nothing is asked twice. Every method raises `KubeError`."""

    granted: set[str] = field(default_factory=set)
    unused: dict[str, float] = field(default_factory=dict)
    """Namespaces without Functions whose roles are still bound, and since when, on the monotonic clock."""
    _granting: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    """Held where roles are being bound: of many Functions that come at once, one does it."""

    def guarded(self, controller: Controller[Context]) -> Controller[Context]:
        """The controller, which now knows the namespace before it does anything there, and binds the roles where it has
        Functions."""

        async def reconcile(context: Context, key: Key) -> Outcome:
            namespace = await known_namespace(context, key.namespace) if key.namespace else None
            used = key.namespace in context.cluster[WATCHED_FUNCTIONS].namespaces()
            if used and (namespace is None or not namespace.terminating) and key.namespace not in self.granted:
                await self.grant(context, key.namespace)
            return await controller.reconcile(context, key)

        return replace(controller, reconcile=reconcile)

    async def grant(self, context: Context, namespace: str) -> None:
        """Binds the roles that are not bound, also those that somebody took away or changed."""
        self.unused.pop(namespace, None)
        settings, by = context.settings, namespace_key(namespace)
        async with self._granting.setdefault(namespace, asyncio.Lock()):
            for binding in account_role_bindings(namespace, settings.system_namespace, settings.account_roles):
                await desired.keep(context, WATCHED_BINDINGS, binding, by=by)
        self.granted.add(namespace)

    async def is_granted(self, context: Context, namespace: str) -> bool:
        """Whether the roles are bound, or were by somebody else, of which we know nothing."""
        roles = context.settings.account_roles
        if namespace in self.granted or not roles:
            return True
        return await context.client.find(ROLE_BINDINGS, binding_name(min(roles)), namespace) is not None

    async def revoke(self, context: Context, namespace: str) -> float | None:
        """Takes the roles back from a namespace that has no Function; seconds until that is due, if it is not yet."""
        since = self.unused.setdefault(namespace, time.monotonic())
        if (due := since + KEPT_S - time.monotonic()) > 0:
            return due
        pools = await context.client.list(DEPLOYMENTS, namespace, label_selector=labels.POOL)
        if pools["items"]:
            return _LOOK_AGAIN_S
        self.granted.discard(namespace)
        self.unused.pop(namespace, None)
        for name in map(binding_name, context.settings.account_roles):
            await desired.remove(context, WATCHED_BINDINGS, namespace, name, by=namespace_key(namespace))
        return None
