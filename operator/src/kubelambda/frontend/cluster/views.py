"""Narrow views of the objects that a frontend watches: all that it ever remembers of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from sys import intern
from typing import Any

from kubelambda.api import labels
from kubelambda.api.kinds.deployed_configuration import DeployedConfiguration
from kubelambda.api.kinds.runtime import RuntimeSpec
from kubelambda.core.account.access_decision import PolicyStatement, policy_statements
from kubelambda.core.account.identity import AccountClaim
from kubelambda.core.environment.sizing import megabytes
from kubelambda.core.invoke.routing import LATEST, AliasRoute
from kubelambda.core.invoke.url_address import url_id
from kubelambda.core.invoke.url_cors import CorsRules, cors_rules
from kubelambda.core.network.endpoint_policy import EndpointRule, endpoint_rules
from kubelambda.frontend.cluster import pod_trouble

_IMAGE_REFUSED = ("ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")


@dataclass(frozen=True, slots=True)
class UrlView:
    """The HTTP address of a Function or an Alias."""

    id: str
    """The first part of its host."""
    auth_type: str
    """NONE or AWS_IAM."""
    cors: CorsRules | None
    streamed: bool = False
    """Whether answers are sent as they come."""


@dataclass(frozen=True, slots=True)
class FunctionView:
    """A Function: what the operator deployed; of its spec, only what is not deployed."""

    uid: str
    state: str
    state_reason: str
    reserved: int | None
    deployed: DeployedConfiguration | None
    function_name: str | None = None
    """Lambda's name, where it is not the object's."""
    recursive_loop: str = "Terminate"
    """What becomes of a chain of invocations that keeps coming back: of the whole function, whatever is deployed."""
    statements: tuple[PolicyStatement, ...] = ()
    """Its resource policy, with those of its versions and aliases."""
    url: UrlView | None = None
    """Its HTTP address."""
    state_reason_code: str = ""
    """Lambda's word for why it cannot be invoked."""


@dataclass(frozen=True, slots=True)
class VersionView:
    """A FunctionVersion: the snapshot that it is."""

    function: str
    """Name of the Function object."""
    version: str
    """Its number; empty while it has none."""
    created: str
    state: str
    state_reason: str
    deployed: DeployedConfiguration | None
    provisioned: int
    """Provisioned environments that it was granted."""


@dataclass(frozen=True, slots=True)
class AliasView:
    """An Alias: where it leads."""

    function: str
    """Name of the Function object."""
    name: str
    created: str
    route: AliasRoute | None
    """None while it leads nowhere."""
    provisioned: int
    """Provisioned environments that it was granted."""
    url: UrlView | None = None
    """Its HTTP address."""


@dataclass(frozen=True, slots=True)
class NamespaceView:
    """A namespace as an account."""

    account_id: str
    """The account id that it claims."""
    rank: tuple[bool, str, str]
    """Its place among those that claim the same one: the lowest has it."""
    quota_annotation: str | None
    pool_sizes: Mapping[str, str]
    """Annotations that size its pools."""
    credentials_secret: str | None = None
    """The Secret that has the credentials of its functions."""
    auth_mode: str | None = None
    """How its callers must prove who they are, where it asks for more than the installation."""


@dataclass(frozen=True, slots=True)
class EndpointView:
    """An InvokeEndpoint that the operator has given its port."""

    namespace: str
    name: str
    port: int
    rank: tuple[str, str]
    """Of those that have one port, the lowest has it."""
    rules: tuple[EndpointRule, ...]
    """Who may invoke what."""
    reach: tuple[tuple[str, ...], tuple[str, ...]]
    """Namespaces and groups that reach it."""


@dataclass(frozen=True, slots=True)
class PoolView:
    """The Deployment of a warm pool."""

    id: str
    runtime: str
    replicas: int
    demand: str = ""
    """What it needed in each hour of the last days, as an earlier owner wrote it down."""


@dataclass(frozen=True, slots=True)
class PodView:
    """An environment's pod."""

    uid: str
    resource_version: str
    ip: str
    ready: bool
    ending: bool
    deleting: bool
    """Whether somebody has deleted it; a pod that failed ends without."""
    restarts: int
    out_of_memory: bool
    resize_refused: str
    """Why its node does not grant the size that it was given: Deferred or Infeasible; else empty."""
    memory_limit_mb: int
    """The memory limit that is in force."""
    pool: str
    function: str
    function_uid: str
    revision: str
    node: str
    """Where it runs."""
    version: str = LATEST
    """Version of the function."""
    provisioned: str = ""
    """The alias or version number that it is kept for."""
    init_failure: str = ""
    """Why it is not initialized, where that was tried."""
    image_refused: str = ""
    """Why its node has not got the image of its container, and waits before it asks again."""
    unscheduled: str = ""
    """Why no node takes it."""
    unmounted: str = ""
    """Why a container of it cannot have its file system."""
    evicted: str = ""
    """Why its node has ended it."""
    network_set: str = ""
    """The set of subnets and groups that it is open for."""


def function_view(body: dict[str, Any]) -> FunctionView | None:
    """The view of a Function."""
    status = body.get("status") or {}
    deployed = status.get("deployed")
    return FunctionView(
        function_name=(body.get("spec") or {}).get("functionName"),
        statements=policy_statements((body.get("spec") or {}).get("permissions") or ()),
        recursive_loop=intern((body.get("spec") or {}).get("recursiveLoop", "Terminate")),
        uid=body["metadata"]["uid"],
        state=status.get("state", "Pending"),
        state_reason=status.get("stateReason", ""),
        state_reason_code=intern(status.get("stateReasonCode", "")),
        reserved=status.get("reservedConcurrentExecutions"),
        deployed=DeployedConfiguration.model_validate(deployed, extra="ignore") if deployed else None,
        url=_url(body),
    )


def version_view(body: dict[str, Any]) -> VersionView | None:
    """The view of a FunctionVersion."""
    status = body.get("status") or {}
    version = status.get("version") or ""
    deployed = status.get("deployed")
    return VersionView(
        function=body["spec"]["functionName"],
        version=version,
        created=body["metadata"].get("creationTimestamp", ""),
        state=status.get("state") or "Pending",
        state_reason=status.get("stateReason") or "",
        deployed=DeployedConfiguration.model_validate(deployed | {"version": version}, extra="ignore")
        if deployed and version
        else None,
        provisioned=_allocated(status),
    )


def alias_view(body: dict[str, Any]) -> AliasView | None:
    """The view of an Alias."""
    spec, status = body["spec"], body.get("status") or {}
    version = status.get("routedVersion")
    return AliasView(
        function=spec["functionName"],
        name=spec["name"],
        created=body["metadata"].get("creationTimestamp", ""),
        route=AliasRoute(version, status.get("routedVersionWeights") or {}) if version else None,
        provisioned=_allocated(status),
        url=_url(body),
    )


def _url(body: dict[str, Any]) -> UrlView | None:
    found = (body.get("spec") or {}).get("url")
    if not found:
        return None
    cors = found.get("cors")
    return UrlView(
        url_id(body["metadata"]["uid"]),
        found["authType"],
        cors_rules(cors) if cors else None,
        streamed=found.get("invokeMode") == "RESPONSE_STREAM",
    )


def _allocated(status: dict[str, Any]) -> int:
    return int((status.get("provisionedConcurrency") or {}).get("allocated", 0))


def runtime_view(body: dict[str, Any]) -> RuntimeSpec | None:
    """The spec of a Runtime."""
    return RuntimeSpec.model_validate(body["spec"], extra="ignore")


def namespace_view(body: dict[str, Any]) -> NamespaceView | None:
    """The view of a Namespace."""
    metadata = body["metadata"]
    annotations = metadata.get("annotations") or {}
    claim = AccountClaim(metadata["uid"], metadata.get("creationTimestamp", ""), annotations.get(labels.ACCOUNT_ID))
    return NamespaceView(
        account_id=claim.id,
        rank=claim.rank,
        quota_annotation=annotations.get(labels.CONCURRENT_EXECUTIONS),
        pool_sizes={name: value for name, value in annotations.items() if name.startswith(labels.POOL_SIZE)},
        credentials_secret=annotations.get(labels.CREDENTIALS_SECRET) or None,
        auth_mode=annotations.get(labels.AUTH_MODE),
    )


def endpoint_view(body: dict[str, Any]) -> EndpointView | None:
    """The view of an InvokeEndpoint; None of one that has no port."""
    metadata, spec, port = body["metadata"], body["spec"], (body.get("status") or {}).get("frontendPort")
    if port is None or "deletionTimestamp" in metadata:
        return None
    return EndpointView(
        namespace=metadata["namespace"],
        name=metadata["name"],
        port=port,
        rank=(metadata["creationTimestamp"], metadata["uid"]),
        rules=endpoint_rules(spec.get("policy") or ()),
        reach=(tuple(spec.get("allowedNamespaces") or ()), tuple(spec.get("securityGroupIds") or ())),
    )


def pool_view(body: dict[str, Any]) -> PoolView | None:
    """The view of a pool's Deployment."""
    found, annotations = body["metadata"]["labels"], body["metadata"].get("annotations") or {}
    pool = found.get(labels.POOL, "")
    return PoolView(
        pool,
        found.get(labels.RUNTIME, pool),
        body["spec"].get("replicas", 1),
        annotations.get(labels.POOL_DEMAND, ""),
    )


def pod_view(body: dict[str, Any]) -> PodView | None:
    """The view of an environment's pod."""
    metadata, status = body["metadata"], body.get("status") or {}
    found, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    environment = _environment_container(status)
    last = (environment.get("lastState") or {}).get("terminated") or {}
    now = (environment.get("state") or {}).get("terminated") or {}
    waiting = (environment.get("state") or {}).get("waiting") or {}
    in_force = environment.get("resources") or {}
    conditions = status.get("conditions") or []
    return PodView(
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        ip=status.get("podIP", ""),
        ready=any(c["type"] == "Ready" and c["status"] == "True" for c in conditions),
        ending="deletionTimestamp" in metadata or status.get("phase") in ("Failed", "Succeeded"),
        deleting="deletionTimestamp" in metadata,
        restarts=environment.get("restartCount", 0),
        out_of_memory="OOMKilled" in (last.get("reason"), now.get("reason")),
        resize_refused=next((c.get("reason", "") for c in conditions if c["type"] == "PodResizePending"), ""),
        memory_limit_mb=megabytes((in_force.get("limits") or {}).get("memory", "")),
        pool=found.get(labels.POOL, ""),
        function=found.get(labels.FUNCTION, ""),
        function_uid=found.get(labels.FUNCTION_UID, ""),
        revision=found.get(labels.REVISION, ""),
        node=(body.get("spec") or {}).get("nodeName", ""),
        version=_version(found.get(labels.FUNCTION_VERSION, labels.VERSION_LATEST)),
        provisioned=annotations.get(labels.PROVISIONED) or found.get(labels.PROVISIONED, ""),
        init_failure=annotations.get(labels.INIT_FAILURE_MESSAGE, ""),
        image_refused=waiting.get("message", "") if waiting.get("reason") in _IMAGE_REFUSED else "",
        unscheduled=pod_trouble.unscheduled(status),
        unmounted=pod_trouble.unmounted(status),
        evicted=pod_trouble.evicted(status),
        network_set=found.get(labels.NETWORK_SET, ""),
    )


def _version(label: str) -> str:
    return LATEST if label == labels.VERSION_LATEST else label


def _environment_container(status: dict[str, Any]) -> dict[str, Any]:
    """The status of the container that runs the function; what others beside it do is not the function's end."""
    found = [*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])]
    return next((each for each in found if each.get("name") == labels.CONTAINER), {})


def ready_servers(body: dict[str, Any]) -> frozenset[tuple[str, int]]:
    """Addresses and ports of the ready endpoints of an EndpointSlice, whose Service has one port."""
    ports = [port["port"] for port in body.get("ports") or [] if port.get("port")]
    return frozenset((address, port) for address in ready_addresses(body) for port in ports[:1])


def ready_addresses(body: dict[str, Any]) -> frozenset[str]:
    """Addresses of the ready endpoints of an EndpointSlice."""
    return frozenset(
        address
        for endpoint in body.get("endpoints") or []
        if (endpoint.get("conditions") or {}).get("ready")
        for address in endpoint["addresses"]
    )
