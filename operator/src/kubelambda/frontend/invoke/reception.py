"""From a request that was let in to whoever runs its function: here, or where its account is owned."""

import logging
import random
import time
from collections.abc import Callable
from functools import partial

from kubelambda.api.environment_protocol import StreamBounds
from kubelambda.core.account import identity
from kubelambda.core.environment.component_callers import CALLER, CallerRole, ComponentCallers
from kubelambda.core.invoke import invoke_error
from kubelambda.core.invoke.invoke_error import InvokeError
from kubelambda.core.invoke.routing import LATEST
from kubelambda.frontend.account.forwarder import Hop, hop_of
from kubelambda.frontend.account.leasing import Leasing
from kubelambda.frontend.account.owned_functions import OwnedFunctions
from kubelambda.frontend.account.owners import Owners
from kubelambda.frontend.account.passage import Passage
from kubelambda.frontend.cluster.caches import Caches
from kubelambda.frontend.cluster.unseen_functions import UnseenFunctions
from kubelambda.frontend.cluster.unseen_qualifiers import Qualified, UnseenQualifiers
from kubelambda.frontend.cluster.views import FunctionView, VersionView
from kubelambda.frontend.cold_start.start import Target
from kubelambda.frontend.dispatch.invocation import Invocation, refuse
from kubelambda.frontend.dispatch.metrics import Metrics
from kubelambda.frontend.dispatch.streamed_invocation import StreamedInvocation
from kubelambda.frontend.invoke import invoke_request
from kubelambda.frontend.invoke.awaited_news import AwaitedNews, NotYet
from kubelambda.frontend.invoke.event_handover import EventHandover
from kubelambda.frontend.invoke.invoke_request import InvokeCall
from kubelambda.frontend.invoke.request_accounts import RequestAccounts
from kubelambda.frontend.invoke.version_resolution import is_pending, not_invocable, resolve
from kubelambda.kube.reflector import Name
from kubelambda.wire.request import Request

_CALLER = CALLER.encode()

log = logging.getLogger(__name__)


class Reception:
    """Finds the function of each invocation, and who runs it. `synced`: whether the caches have seen the cluster.

    `bounds` are those of answers that are streamed.
    """

    def __init__(
        self,
        caches: Caches,
        accounts: RequestAccounts,
        callers: ComponentCallers,
        *,
        region: str,
        bounds: StreamBounds,
        metrics: Metrics,
        owners: Owners,
        owned: OwnedFunctions,
        passage: Passage,
        leasing: Leasing,
        events: EventHandover,
        unseen: UnseenFunctions,
        unseen_qualifiers: UnseenQualifiers,
        news: AwaitedNews,
        synced: Callable[[], bool],
    ) -> None:
        self._caches = caches
        self._accounts = accounts
        self._callers = callers
        self._region = region
        self._streamed = partial(StreamedInvocation, bounds=bounds)
        self._metrics = metrics
        self._owners = owners
        self._owned = owned
        self._passage = passage
        self._leasing = leasing
        self._events = events
        self._unseen = unseen
        self._unseen_qualifiers = unseen_qualifiers
        self._news = news
        self._synced = synced

    def again(self, request: Request, request_id: str) -> None:
        """Answers a request that was on its way to somebody else, or waited for what Kubernetes says."""
        role = self._callers.role(request.headers.get(_CALLER))
        hop = hop_of(request) if role is CallerRole.FRONTEND else None
        self.answer(request_id, invoke_request.parse_call(request), hop, request)

    def answer(self, request_id: str, call: InvokeCall, hop: Hop | None, request: Request) -> None:
        """Answers a request, or has somebody answer it. `hop`: how it came from another frontend."""
        try:
            self._invoke(request, request_id, call, hop)
        except NotYet as not_yet:
            if not self._news.wait(request, not_yet, partial(self.again, request, request_id)):
                refuse(request, request_id, not_yet.error)
        except InvokeError as error:
            refuse(request, request_id, error)
        except Exception:
            log.exception("request %s failed", request_id)
            refuse(request, request_id, invoke_error.service("the request failed; the frontend's log says why"))

    def _invoke(self, request: Request, request_id: str, call: InvokeCall, hop: Hop | None) -> None:
        """Finds the function."""
        reference, caches = call.reference, self._caches
        if reference.region is not None:
            self._check_region(reference.region)
        namespace = self._accounts.namespace(reference.account, request)
        function = (namespace, caches.object_name(namespace, reference.name))
        view = caches.functions.items.get(function)
        if view is None:
            function, view = self._just_found(function, reference.name)
        owner = caches.namespaces.items.get(("", namespace))
        account = owner.account_id if owner is not None else reference.account or "0" * 12
        arn = identity.function_arn(self._region, account, reference.name)
        if view is None:
            self._look_up((namespace, reference.name), request, request_id, arn, call)
            return
        qualifier = call.qualifier or LATEST
        if (view.function_name or function[1]) != reference.name:
            raise invoke_error.not_found(f"{arn}:{qualifier}")
        if qualifier != LATEST and self._is_unseen((function, qualifier)):
            self._look_up_qualifier((function, qualifier), request, request_id)
            return
        version = view if qualifier == LATEST else self._published((function, qualifier), view, arn)
        if hop is None:  # whoever forwarded it has looked at it
            invoke_request.check_event(request, event=call.event)
            invoke_request.complete_trace(request)
        if call.dry_run:
            request.respond(204, b"", f"x-amzn-RequestId: {request_id}\r\n".encode())
        elif version.deployed is None:
            raise self._not_invocable(function, version)
        elif call.event:
            self._hand_over(request, request_id, function, arn, call.qualifier)
        else:
            self._check_owners(function)
            self._advance_chain(request, hop, function, arn, view)
            invoked = f"{arn}:{call.qualifier}" if call.qualifier else arn
            target = Target(namespace, function[1], view.uid, account, version.deployed)
            now, number = time.monotonic(), version.deployed.version
            invocation = (self._streamed if call.streamed else Invocation)(
                request, request_id, invoked, now, qualifier, number
            )
            self._run(target, invocation, hop, view.reserved)

    def _run(self, target: Target, invocation: Invocation, hop: Hop | None, reserved: int | None) -> None:
        """Runs an invocation here, or has the owner of its account run it."""
        if hop is not None:
            for away in hop.without:
                self._owners.suspect(away)
        if not self._owners.owns(target.namespace):
            leased_by = self._caches.published.leased_by((target.namespace, target.name), invocation.qualifier)
            self._passage.take(target, invocation, hop, leased_by=leased_by)
            return
        if hop is not None:
            invocation.holder = self._leasing.holder(invocation.request)
        self._owned.dispatcher(target, reserved).invoke(invocation)

    def _just_found(self, function: Name, function_name: str) -> tuple[Name, FunctionView | None]:
        """A function that Kubernetes has and the caches have not."""
        found = self._unseen.found((function[0], function_name))
        return ((function[0], found[0]), found[1]) if found is not None else (function, None)

    def _check_region(self, region: str) -> None:
        if region != self._region:
            raise invoke_error.other_region(region, self._region)

    def _check_owners(self, function: Name) -> None:
        """Nothing has begun for a request that comes before it is known who runs what. Raises `NotYet`."""
        if not self._owners.known:
            raise NotYet(invoke_error.no_owner_known(), function, lambda: not self._owners.known)

    def _hand_over(self, request: Request, request_id: str, function: Name, arn: str, qualifier: str | None) -> None:
        """Has the event queue keep an event."""
        names = {
            "X-Kubelambda-Namespace": function[0],
            "X-Kubelambda-Function": function[1],
            "X-Kubelambda-Arn": f"{arn}:{qualifier}" if qualifier else arn,
            "X-Kubelambda-Qualifier": qualifier or "",
        }
        self._events.hand_over(request, request_id, names, lambda error: refuse(request, request_id, error))

    def _advance_chain(self, request: Request, hop: Hop | None, function: Name, arn: str, view: FunctionView) -> None:
        """Counts a run of the function in its chain, unless another frontend has. Raises `InvokeError`."""
        if hop is not None:
            return
        try:
            invoke_request.advance_chain(request, arn, endless=view.recursive_loop == "Allow")
        except InvokeError:
            self._metrics.recursive_invocations_dropped.of(*function).value += 1
            raise

    def _not_invocable(self, function: Name, view: FunctionView | VersionView) -> InvokeError | NotYet:
        """Why nothing of it can run, or not yet."""
        error = not_invocable(view)
        if not isinstance(view, FunctionView) or not is_pending(view):
            return error
        function_name = view.function_name or function[1]
        return NotYet(error, function, lambda: self._is_pending(function, function_name))

    def _is_pending(self, function: Name, function_name: str) -> bool:
        view = self._caches.functions.items.get(function) or self._just_found(function, function_name)[1]
        return view is not None and is_pending(view)

    def _published(self, qualified: Qualified, view: FunctionView, arn: str) -> FunctionView | VersionView:
        """What an alias or version means for one invocation. Raises `InvokeError` when there is none, or `NotYet`."""
        published = self._caches.published
        try:
            return resolve(published, *qualified, view=view, arn=arn, chance=random.random)
        except InvokeError as error:
            if not published.unrouted(*qualified):
                raise
            raise NotYet(error, qualified[0], lambda: published.unrouted(*qualified)) from error

    def _is_unseen(self, qualified: Qualified) -> bool:
        """Whether the caches lack an alias or version that Kubernetes was not asked for a moment ago."""
        return not self._caches.published.resolvable(*qualified) and not self._unseen_qualifiers.absent(qualified)

    def _look_up_qualifier(self, qualified: Qualified, request: Request, request_id: str) -> None:
        if not self._synced() or not self._unseen_qualifiers.look(qualified, self._looked_up(request, request_id)):
            raise invoke_error.not_synced()

    def _looked_up(self, request: Request, request_id: str) -> Callable[[bool], None]:
        """Goes on with a request once Kubernetes was asked for what it names."""

        def answered(known: bool) -> None:
            if known:
                self.again(request, request_id)
            else:
                refuse(request, request_id, invoke_error.not_synced())

        return answered

    def _look_up(self, name: Name, request: Request, request_id: str, arn: str, call: InvokeCall) -> None:
        """The cache does not have the function. It is not said to be absent before Kubernetes says so."""
        if not self._synced():
            raise invoke_error.not_synced()
        if not name[0] or self._unseen.absent(name):
            raise invoke_error.not_found(f"{arn}:{call.qualifier or LATEST}")
        if not self._unseen.look(name, self._looked_up(request, request_id)):
            raise invoke_error.not_synced()
