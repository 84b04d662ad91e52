"""What our own service accounts may do in a namespace: bound with its first Function, until its last."""

import contextlib
import time
from dataclasses import dataclass, field, replace

from kubelambda.api import labels
from kubelambda.api.settings import Settings
from kubelambda.controllers.account.namespace_facts import known_namespace
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS
from kubelambda.controllers.machinery.context import FIELD_MANAGER, Context
from kubelambda.controllers.machinery.declaration import Controller
from kubelambda.controllers.machinery.work_queue import Key, Outcome
from kubelambda.kube.errors import NotFound
from kubelambda.kube.kube_client import KubeClient
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

    def guarded(self, controller: Controller[Context]) -> Controller[Context]:
        """The controller, which now knows the namespace before it does anything there, and binds the roles where it has
        Functions."""

        async def reconcile(context: Context, key: Key) -> Outcome:
            namespace = await known_namespace(context, key.namespace) if key.namespace else None
            used = key.namespace in context.cluster[WATCHED_FUNCTIONS].namespaces()
            if used and (namespace is None or not namespace.terminating) and key.namespace not in self.granted:
                await self.grant(context.client, context.settings, key.namespace)
            return await controller.reconcile(context, key)

        return replace(controller, reconcile=reconcile)

    async def grant(self, client: KubeClient, settings: Settings, namespace: str) -> None:
        """Binds the roles, also those that somebody took away."""
        self.unused.pop(namespace, None)
        for binding in account_role_bindings(namespace, settings.system_namespace, settings.account_roles):
            await client.apply(ROLE_BINDINGS, binding, manager=FIELD_MANAGER)
        self.granted.add(namespace)

    async def is_granted(self, client: KubeClient, settings: Settings, namespace: str) -> bool:
        """Whether the roles are bound, or were by somebody else, of which we know nothing."""
        if namespace in self.granted or not settings.account_roles:
            return True
        try:
            await client.get(ROLE_BINDINGS, binding_name(min(settings.account_roles)), namespace)
        except NotFound:
            return False
        return True

    async def revoke(self, client: KubeClient, settings: Settings, namespace: str) -> float | None:
        """Takes the roles back from a namespace that has no Function; seconds until that is due, if it is not yet."""
        since = self.unused.setdefault(namespace, time.monotonic())
        if (due := since + KEPT_S - time.monotonic()) > 0:
            return due
        pools = await client.list(DEPLOYMENTS, namespace, label_selector=labels.POOL)
        if pools["items"]:
            return _LOOK_AGAIN_S
        self.granted.discard(namespace)
        self.unused.pop(namespace, None)
        for account in settings.account_roles:
            with contextlib.suppress(NotFound):
                await client.delete(ROLE_BINDINGS, binding_name(account), namespace)
        return None
