"""Invocations whose account another frontend owns: they run on a lease of its environments, or it answers them."""

import asyncio
from collections.abc import Callable

from kubelambda.core.invoke import invoke_error
from kubelambda.frontend.account.forwarder import Forward, Forwarder, Hop
from kubelambda.frontend.account.leasing import Leasing
from kubelambda.frontend.account.owners import Owners
from kubelambda.frontend.cold_start.start import Target
from kubelambda.frontend.dispatch.environment_handle import GRACE_S
from kubelambda.frontend.dispatch.invocation import Invocation

_QUICK_HOPS = 2
_HOPS_MAX = 16
_SETTLE_S = 0.25
"""Between two hops of a request on whose owner the frontends do not agree yet."""


class Passage:
    """`handle` answers an invocation that need not be passed on after all; `counted` is called for each forward."""

    def __init__(
        self,
        owners: Owners,
        forwarder: Forwarder,
        leasing: Leasing,
        *,
        start_timeout_seconds: float,
        handle: Callable[[Invocation], None],
        counted: Callable[[], None],
    ) -> None:
        self._owners = owners
        self._forwarder = forwarder
        self._leasing = leasing
        self._start_timeout_s = start_timeout_seconds
        self._handle = handle
        self._counted = counted

    def take(self, target: Target, invocation: Invocation, hop: Hop | None, *, leased_by: str | None) -> None:
        """Has the owner answer, or an environment of which there is a lease. Raises `InvokeError`.

        `leased_by`: the qualifier that leases for the invocation are for, empty when any will do; None when none will.
        There is a pause once the request has been to several who did not own it.
        """
        hops = hop.count if hop else 0
        leased_by = leased_by if hop is None else None
        if leased_by is not None and self._leasing.dispatch(target, invocation, leased_by):
            return
        if hops >= _HOPS_MAX:
            raise invoke_error.service("the frontends do not agree on who runs the function; try again")
        if hops >= _QUICK_HOPS:
            asyncio.get_running_loop().call_later(_SETTLE_S, self._forward_or_handle, target, invocation, hops)
        else:
            self._forward(target, invocation, hops, leased_by)

    def _forward_or_handle(self, target: Target, invocation: Invocation, hops: int) -> None:
        if self._owners.owns(target.namespace):
            self._handle(invocation)
        else:
            self._forward(target, invocation, hops, None)

    def _forward(self, target: Target, invocation: Invocation, hops: int, leased_by: str | None) -> None:
        owner = self._owners.ranked(target.namespace)[0]

        def fail(why: str) -> None:
            invocation.fail(invoke_error.service(why))

        def unreached(why: str) -> None:
            if self._owners.ranked(target.namespace)[:1] == [owner]:
                fail(why)
            else:  # it is passed over now, and whoever follows it may be this frontend
                self._handle(invocation)

        self._counted()
        may_lease = leased_by is not None and not self._owners.leaving
        lease = self._leasing.exchange(target, owner, leased_by or "") if may_lease else None
        self._forwarder.forward(
            Forward(
                invocation.request,
                invocation.id,
                owner=owner,
                hops=hops + 1,
                without=self._owners.away,
                seconds=target.configuration.timeout + self._start_timeout_s + 2 * GRACE_S,
                fail=fail,
                unreached=unreached,
                lines=lease.lines if lease is not None else b"",
                answered=lease.answered if lease is not None else None,
            )
        )

    def lessor(self, namespace: str) -> str | None:
        """Who may have granted leases of a namespace's environments; nobody once this frontend drains."""
        if self._owners.leaving or self._owners.owns(namespace):
            return None
        return next(iter(self._owners.ranked(namespace)), None)
