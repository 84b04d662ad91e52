"""Reconciles an InvokeEndpoint: its port of the frontends, who reaches that, and the Service in front of it."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from pydantic import ValidationError

from kubelambda.api import labels
from kubelambda.api.kinds.invoke_endpoint import InvokeEndpointSpec, InvokeEndpointStatus
from kubelambda.api.reasons import Reason
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS, FunctionFacts
from kubelambda.controllers.machinery import changes, recorder, unseen
from kubelambda.controllers.machinery.asked import Asker
from kubelambda.controllers.machinery.context import FIELD_MANAGER, Context
from kubelambda.controllers.machinery.declaration import Change, Controller, Follow
from kubelambda.controllers.machinery.object_status import read_status, report_status
from kubelambda.controllers.machinery.watched import Name
from kubelambda.controllers.machinery.work_queue import BackOff, Key, Outcome
from kubelambda.controllers.network.invoke_endpoint_facts import (
    WATCHED_ENDPOINT_POLICIES,
    WATCHED_ENDPOINTS,
    WATCHED_FRONTENDS,
    EndpointPolicyFacts,
    InvokeEndpointFacts,
)
from kubelambda.core.function.observation import Problem, invalid_spec
from kubelambda.core.network.endpoint_ports import endpoint_port
from kubelambda.core.network.endpoint_status import ObservedEndpoint, decide_endpoint
from kubelambda.kube.errors import NotFound
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import ENDPOINT_SLICES, INVOKE_ENDPOINTS, NETWORK_POLICIES, SERVICES
from kubelambda.resources.invoke_endpoint_objects import (
    EndpointIdentity,
    FrontendAddress,
    endpoint_policy,
    endpoint_policy_name,
    endpoint_service,
    endpoint_slices,
)

KIND = "InvokeEndpoint"
LOOK_AGAIN_MAX_S = 15.0
"""The longest pause before a name that is taken is tried again: nothing tells us when it is free."""


@dataclass(slots=True)
class GivenPorts:
    """Ports that were given to endpoints and may not be in what we know of the cluster yet."""

    _given: dict[Name, int] = field(default_factory=dict)

    def give(self, context: Context, key: Key, facts: InvokeEndpointFacts) -> int | None:
        """The port of an endpoint; what another has had for longer is not its."""
        mine = (key.namespace, key.name)
        others = [other for name, other in context.cluster[WATCHED_ENDPOINTS] if name != mine]
        present = self._given.get(mine, facts.port)
        if any(other.port == present and other.rank < facts.rank for other in others):
            present = None
        taken = {other.port for other in others if other.port is not None}
        taken |= {port for name, port in self._given.items() if name != mine}
        port = endpoint_port(facts.uid, present, taken - ({present} if present else set()))
        if port is not None:
            self._given[mine] = port
        return port

    def forget(self, key: Key) -> None:
        """It is gone."""
        self._given.pop((key.namespace, key.name), None)


async def reconcile(ports: GivenPorts, context: Context, key: Key) -> Outcome:
    """One InvokeEndpoint. Nobody reaches its port before the policy says who; nobody is led to it before it listens."""
    body = await context.client.find(INVOKE_ENDPOINTS, key.name, key.namespace)
    if body is None or "deletionTimestamp" in body["metadata"]:
        await _close(context, EndpointIdentity(key.namespace, key.name))
        if body is None:
            ports.forget(key)
            changes.forget(context, WATCHED_ENDPOINTS, key.namespace, key.name, by=key)
            for (namespace, name), other in context.cluster[WATCHED_ENDPOINTS]:
                if other.port is None:  # there may have been no port left for it
                    context.queues.add(Key(KIND, namespace, name))
        return None
    facts = await changes.observe(context, WATCHED_ENDPOINTS, body, by=key)
    if facts is None:
        return None
    endpoint = EndpointIdentity(key.namespace, key.name, facts.uid)
    port = ports.give(context, key, facts)
    problem = await _problem(context, Asker.of(key, body), endpoint, body, port)
    address = None
    if port is None or problem is not None:
        await _close(context, endpoint)
        port = None
    else:
        spec = InvokeEndpointSpec.model_validate(body["spec"], extra="ignore")
        address, problem = await _serve(context, endpoint, spec, body, port)
    observed = ObservedEndpoint(key.name, key.namespace, facts.generation, port, address, problem)
    await _report(
        context, key, body, decide_endpoint(observed, read_status(InvokeEndpointStatus, body), datetime.now(UTC))
    )
    waits = problem is not None and problem.reason is Reason.NAME_TAKEN
    return BackOff(LOOK_AGAIN_MAX_S) if waits else None


async def _problem(
    context: Context, asker: Asker, endpoint: EndpointIdentity, body: Object, port: int | None
) -> Problem | None:
    """Why it cannot be served."""
    try:
        InvokeEndpointSpec.model_validate(body["spec"], extra="ignore")
    except ValidationError as error:
        return invalid_spec(error)
    if not context.settings.network.policies:
        text = "this installation makes no NetworkPolicies: nothing would keep others away from the endpoint"
        return Problem(Reason.NETWORK_NOT_SERVED, text, terminal=True)
    functions = context.cluster[WATCHED_FUNCTIONS]
    if endpoint.namespace not in functions.namespaces():
        await unseen.read_all(context, asker, WATCHED_FUNCTIONS, endpoint.namespace, "any")
    if endpoint.namespace not in functions.namespaces():
        return Problem(Reason.NO_FUNCTIONS, f"the namespace {endpoint.namespace} has no Functions to invoke")
    if port is None:
        return Problem(Reason.NO_PORT_LEFT, "there are as many InvokeEndpoints as there can be")
    service = await context.client.find(SERVICES, endpoint.name, endpoint.namespace)
    if service is not None and (service["metadata"].get("labels") or {}).get(labels.INVOKE_ENDPOINT) != endpoint.id:
        text = f"the Service {endpoint.name} belongs to somebody else: name the endpoint otherwise"
        return Problem(Reason.NAME_TAKEN, text)
    return None


async def _serve(
    context: Context, endpoint: EndpointIdentity, spec: InvokeEndpointSpec, body: Object, port: int
) -> tuple[str, Problem | None]:
    """Brings everything about; the address, and what is still missing."""
    system, apply = context.settings.system_namespace, partial(context.client.apply, manager=FIELD_MANAGER)
    policy = endpoint_policy(endpoint, port, system, namespaces=spec.allowed_namespaces, groups=spec.security_group_ids)
    await apply(NETWORK_POLICIES, policy)
    if (body.get("status") or {}).get("frontendPort") != port:
        before = read_status(InvokeEndpointStatus, body)
        await _report(
            context,
            Key(KIND, endpoint.namespace, endpoint.name),
            body,
            before.model_copy(update={"frontend_port": port}),
        )
    service = await apply(SERVICES, endpoint_service(endpoint, port))
    frontends = _frontends(context)
    for manifest in endpoint_slices(endpoint, port, frontends):
        await apply(ENDPOINT_SLICES, manifest)
    ready = any(frontend.ready for frontend in frontends)
    problem = None if ready else Problem(Reason.NO_FRONTENDS, "no frontend is ready")
    return service["spec"]["clusterIP"], problem


async def _close(context: Context, endpoint: EndpointIdentity) -> None:
    """Nobody reaches its port any more. What is in its namespace goes with the object itself."""
    known = context.cluster[WATCHED_ENDPOINT_POLICIES]
    if known.get(context.settings.system_namespace, endpoint_policy_name(endpoint)) is not None:
        with contextlib.suppress(NotFound):
            name = endpoint_policy_name(endpoint)
            await context.client.delete(NETWORK_POLICIES, name, context.settings.system_namespace)


async def _report(context: Context, key: Key, body: Object, status: InvokeEndpointStatus) -> None:
    before = read_status(InvokeEndpointStatus, body)
    if status == before:
        return
    await report_status(context, WATCHED_ENDPOINTS, body, status, by=key)
    await recorder.record_transition(context.client, INVOKE_ENDPOINTS, body, before.conditions, status.conditions)


def _frontends(context: Context) -> list[FrontendAddress]:
    """Each once: two slices may list one while it moves from the one to the other."""
    slices = context.cluster[WATCHED_FRONTENDS].within(context.settings.system_namespace)
    found = {(each.family, each.address): each for _, addresses in slices for each in addresses}
    return [found[name] for name in sorted(found)]


def _itself(change: Change[InvokeEndpointFacts]) -> Iterable[Key]:
    yield Key(KIND, change.namespace, change.name)


def _of_policy(change: Change[EndpointPolicyFacts]) -> Iterable[Key]:
    for facts in change.either:
        if facts.name:
            yield Key(KIND, facts.namespace, facts.name)


def _of_frontends(change: Change[tuple[FrontendAddress, ...]]) -> Iterable[Key]:
    for (namespace, name), _ in change.cluster[WATCHED_ENDPOINTS]:
        yield Key(KIND, namespace, name)


def _first_or_last(change: Change[FunctionFacts]) -> Iterable[Key]:
    if change.before is None or change.after is None:
        for name, _ in change.cluster[WATCHED_ENDPOINTS].within(change.namespace):
            yield Key(KIND, change.namespace, name)


def controller() -> Controller[Context]:
    """Reconciles InvokeEndpoints."""
    return Controller(
        KIND,
        partial(reconcile, GivenPorts()),
        follows=(
            Follow(WATCHED_FRONTENDS, _of_frontends),
            Follow(WATCHED_ENDPOINTS, _itself, resync=True),
            Follow(WATCHED_ENDPOINT_POLICIES, _of_policy, resync=True),
            Follow(WATCHED_FUNCTIONS, _first_or_last),
        ),
    )
