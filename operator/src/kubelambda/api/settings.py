"""The settings of an installation: one frozen model, read once at start from the file that the chart mounts."""

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, IPvAnyNetwork

from kubelambda.api import limits
from kubelambda.api.model import Model

LOCAL_NETWORKS = ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "::/127", "fe80::/10")
"""Where a pod finds itself, its node, and most clouds' metadata services."""
METADATA_NETWORKS = (
    "100.100.100.200/32",  # Alibaba Cloud
    "168.63.129.16/32",  # Azure's wire server
    "192.0.0.192/32",  # Oracle Cloud's former one
    "fd00:ec2::/32",  # AWS: metadata, DNS and time
    "fd20:ce::254/128",  # Google Cloud
    "fd00:42::42/128",  # Scaleway
)
"""Metadata services of clouds that are elsewhere: who asks them is taken for the node."""
ENVIRONMENT_REFUSED_NETWORKS = ("169.254.0.0/16", "fe80::/10", *METADATA_NETWORKS)
"""What no environment reaches unless the chart says so."""


class EnvironmentSettings(Model):
    """How execution environments are made, sized and retired."""

    image_pull_policy: str = "IfNotPresent"
    """Kubernetes' imagePullPolicy."""
    image_pull_secrets: list[str] = []
    """Names of Secrets in the functions' namespaces."""
    runtime_class_name: str | None = None
    """gVisor, Kata, …; none: the cluster's default."""
    user_namespaces: bool = False
    """Whether each pod has user ids of its own (`hostUsers: false`): the kernel then counts its processes apart."""
    node_selector: dict[str, str] = {}
    """Nodes that may run environments."""
    bandwidth_mbit_per_gb: Annotated[int, Field(ge=0)] = 0
    """Mbit/s of network in each direction for each GB of memory; 0: nobody limits it."""
    pod_annotations: dict[str, str] = {}
    """Annotations of their pods; idle ones are replaced when these change."""
    idle_timeout_seconds: Annotated[float, Field(gt=0)] = 600
    """An on-demand environment that was idle for so long is retired (§5.11)."""
    max_age_seconds: Annotated[float, Field(gt=0)] = 14_400
    """An environment that is older is replaced, one after the other, the provisioned ones too (§3.3.4)."""
    start_timeout_seconds: Annotated[float, Field(gt=0)] = 50
    """How long a request waits for an environment that the cluster cannot start, before it is throttled."""
    concurrent_pod_creations: Annotated[int, Field(ge=1)] = 8
    """Pods without an address that a frontend has in creation at once in a namespace."""
    memory_overhead_mb: Annotated[int, Field(ge=0)] = 48
    """Added to memorySize for the agent, so that the function gets all it asked for."""
    memory_request_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of memorySize that the scheduler sets aside."""
    cpu_request_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the CPU limit that the scheduler sets aside."""
    pool_memory_limit_mb: Annotated[int, Field(ge=128)] = 3072
    """Memory limit of an unclaimed environment; a function above it waits for its resize."""
    pool_memory_request_mb: Annotated[int, Field(ge=1)] = 48
    """Memory request of an unclaimed environment."""
    pool_cpu_limit_milli: Annotated[int, Field(ge=100)] = 2000
    """CPU limit of an unclaimed environment, in thousandths of a core."""
    pool_cpu_request_milli: Annotated[int, Field(ge=1)] = 10
    """CPU request of an unclaimed environment."""


class LeaseSettings(Model):
    """Leases of warm environments between frontends."""

    enabled: bool = True
    """Whether a frontend that does not own an account asks its owner for them."""


UTILIZATION_QUERY = (
    "max by (namespace, function, qualifier) "
    "(avg_over_time(kubelambda_provisioned_concurrency_utilization[$period])) "
    "and on (namespace, function, qualifier) "
    "(sum by (namespace, function, qualifier) "
    "(increase(kubelambda_provisioned_invocations_total[$period])) > 0)"
)
"""Averages of the periods in which something was invoked (§8.3)."""
ALLOCATED_QUERY = "max by (namespace, function, qualifier) (kubelambda_provisioned_concurrency_allocated)"


class PrometheusSettings(Model):
    """The Prometheus that utilization is read from. Both queries must keep namespace, function and qualifier."""

    url: Annotated[str, Field(pattern="^https?://.+", max_length=2048)]
    """Base address, as http://prometheus.monitoring.svc:9090."""
    utilization_query: str = UTILIZATION_QUERY
    """Utilization of every target; `$period` stands for the period."""
    allocated_query: str = ALLOCATED_QUERY
    """Environments of every target that Prometheus knows of."""
    bearer_token_file: str | None = None
    """File of the token that authenticates us, if one is needed."""
    ca_file: str | None = None
    """File of the certificate authority, unless the system knows it."""


class AutoscalingSettings(Model):
    """How provisioned concurrency follows its utilization (§8.4)."""

    prometheus: PrometheusSettings | None = None
    """Absent: the frontends are scraped by ourselves."""
    period_seconds: Annotated[float, Field(gt=0)] = 60
    """Length of one datapoint, and the pause between two evaluations."""
    scale_out_datapoints: Annotated[int, Field(ge=1)] = 3
    """Datapoints above the target that scale out."""
    scale_in_datapoints: Annotated[int, Field(ge=1)] = 15
    """Datapoints below 0.9 of the target that scale in."""


class EnforcementProbeSettings(Model):
    """How it is tried whether the cluster enforces NetworkPolicies."""

    image: str
    """The platform's image, which nodes that run us have."""
    interval_seconds: Annotated[float, Field(gt=0)] = 86_400
    """From a try that found them enforced to the next."""
    retry_seconds: Annotated[float, Field(gt=0)] = 600
    """The same after any other try."""
    limit_seconds: Annotated[float, Field(gt=0)] = 180
    """How long a try takes at most."""


class NetworkSettings(Model):
    """What environments may reach and who reaches them, as NetworkPolicies."""

    policies: bool = True
    """Whether there are any."""
    refused_networks: list[IPvAnyNetwork] = [ip_network(network) for network in ENVIRONMENT_REFUSED_NETWORKS]
    """Networks that no environment reaches: the metadata services of clouds, where it would be taken for its node."""
    api_server: bool = False
    """Whether environments reach the API server."""
    require_enforcement: bool = True
    """Whether an environment of a function with a vpcConfig must have found that its policy holds: it has tried."""
    require_nodes: bool = True
    """Whether a function is refused while no node in the zones of its subnets takes pods."""
    settle_seconds: Annotated[float, Field(ge=0)] = 1.0
    """How long it must have found that before anybody gets it; where it need not, how long it exists before that."""
    opening_seconds: Annotated[float, Field(ge=0, le=90)] = 0.0
    """How long INIT waits after a claim has opened what the function's groups allow: until the enforcer has done it.

    An agent waits for the end of that for two minutes, a claim and a resize included.
    """
    probe: EnforcementProbeSettings | None = None
    """Whether and how it is tried if the cluster enforces policies; none: nobody tries."""
    resolvers: list[dict[str, Any]] = [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
        }
    ]
    """The cluster's resolvers, as peers of a NetworkPolicy; functions with a vpcConfig reach no others."""


class ConnectionSettings(Model):
    """What callers' connections may take of one frontend."""

    maximum: Annotated[int, Field(ge=16)] = 4_096
    """At once; one more takes the place of an idle one."""
    buffered_mb: Annotated[int, Field(ge=16)] = 192
    """MB of bodies that are not complete and of answers that are not read, together: part of the memory limit."""
    head_seconds: Annotated[float, Field(gt=0)] = 30
    """From the first byte of a request to the end of its head."""
    body_seconds: Annotated[float, Field(gt=0)] = 60
    """For a body, beside its bytes at the slowest rate that is served."""
    read_seconds: Annotated[float, Field(gt=0)] = 60
    """Between two signs that a caller reads an answer, however slowly."""
    idle_seconds: Annotated[float, Field(ge=2)] = 350
    """Between two requests: longer than load balancers keep a connection, so that they close it first."""


class FileSystemSettings(Model):
    """File systems of functions."""

    require_vpc: bool = False
    """Whether a function with one needs a vpcConfig, as on Lambda (§10.2)."""
    mount_timeout_seconds: Annotated[float, Field(gt=0)] = 30
    """How long a pod may take to mount one, before its caller is told so."""
    hold_claims: bool = True
    """Whether a claim that functions mount has our finalizer: only where the admission policy bounds that right."""


class AuthSettings(Model):
    """How callers prove who they are."""

    mode: Literal["none", "sigv4", "token", "any"] = "none"
    """Whether they must, and by what. Namespaces may ask for more than none (`kubelambda.dev/auth-mode`)."""
    token_audiences: list[str] = []
    """Whom bearer tokens must be made for; empty: for the API server."""
    audit: Literal["none", "identified", "all"] = "identified"
    """Of which invocations the audit log tells: those of known callers and refused ones, or the anonymous ones too."""


class FunctionUrlSettings(Model):
    """HTTP addresses of functions (§2.5)."""

    domain: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")] = "lambda.internal"
    """Hosts are `<url-id>.lambda-url.<region>.<domain>`."""
    scheme: Literal["http", "https"] = "http"
    """How whatever is in front of the frontends is spoken to."""
    proxies: Annotated[int, Field(ge=0, le=16)] = 0
    """Proxies in front of the frontends that add to X-Forwarded-For: callers are known by what the first one says."""


class ResponseStreamSettings(Model):
    """Answers that are streamed (§2.4.2)."""

    maximum_mb: Annotated[int, Field(ge=1, le=1_048_576)] = limits.STREAM_MAX_BYTES >> 20
    """MB of one answer; a longer one ends with an error."""
    burst_mb: Annotated[int, Field(ge=1, le=1_048_576)] = limits.STREAM_BURST_BYTES >> 20
    """MB that go as quickly as they come."""
    mb_per_second: Annotated[int, Field(ge=0, le=1_024)] = limits.STREAM_BYTES_PER_S >> 20
    """How quickly the others go; 0: as quickly as they come."""


class ControlApiRates(Model):
    """Requests a second that an account may make of the control API (§0.6); 0: no limit."""

    others: Annotated[float, Field(ge=0)] = 15
    """All operations together that have no limit of their own."""
    get_function: Annotated[float, Field(ge=0)] = 100
    """GetFunction."""
    get_policy: Annotated[float, Field(ge=0)] = 15
    """GetPolicy."""


class ImageSettings(Model):
    """Container images of functions."""

    insecure_registries: list[str] = []
    """Registries, as `host:port`, that are spoken to without TLS."""
    credentials_file: str | None = None
    """File that `docker login` writes: credentials of registries, for the operator."""
    recheck_seconds: Annotated[float, Field(gt=0)] = 600
    """How often a registry is asked whether it still has the image of a function or of a version."""


class S3Settings(Model):
    """Where buckets with code are, and who namespaces without a Secret of their own are there."""

    endpoint_url: Annotated[str, Field(pattern="^https?://.+", max_length=2048)] | None = None
    """Of a server that is not AWS; none: AWS."""
    region: str | None = None
    """None: the installation's."""
    credentials_folder: str | None = None
    """Folder with files AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, where there is one, AWS_SESSION_TOKEN."""


class Settings(Model):
    """Everything that the chart's values decide for our processes."""

    region: str = "us-east-1"
    """Region in ARNs and in AWS_REGION."""
    endpoint_domain: str | None = None
    """`<namespace>.<endpoint domain>` as host selects the namespace."""
    default_namespace: str = "default"
    """Namespace of callers that name no account."""
    system_namespace: str = "kubelambda-system"
    """Namespace of our own components."""
    account_roles: dict[str, str] = {}
    """ClusterRoles by our service accounts, which the operator binds in namespaces with Functions; none: no binding."""
    account_concurrency: Annotated[int, Field(ge=1)] = limits.ACCOUNT_CONCURRENCY
    """Concurrency quota of a namespace without an annotation."""
    unreserved_minimum: Annotated[int, Field(ge=0)] = limits.UNRESERVED_MINIMUM
    """Part of the quota that functions cannot reserve."""
    frontend_url: str = "http://kubelambda-frontend"
    """Base address of the frontends, for the operator."""
    code_store_url: str = "http://kubelambda-code-store:8080"
    """Base address of the code store."""
    code_fetcher_url: str = "http://kubelambda-code-fetcher:8080"
    """Base address of the code fetcher."""
    s3: S3Settings = S3Settings()
    """Buckets with code."""
    control_api_url: str = "http://kubelambda-awsapi:8080"
    """Base address of the control API; frontends pass on to it whatever is not Invoke."""
    control_api_service: str = "kubelambda-awsapi"
    """Name of its Service: all calls of an account go to the same replica behind it, which counts them."""
    event_queue_url: str = "http://kubelambda-events:8080"
    """Base address of the event queue; frontends hand events over to it."""
    code_retention_seconds: Annotated[float, Field(ge=0)] = 900
    """How long an archive is kept that no function runs any more; signed addresses are good for as long."""
    code_url_refused_networks: list[IPvAnyNetwork] = [
        ip_network(network) for network in (*LOCAL_NETWORKS, *METADATA_NETWORKS)
    ]
    """Networks from which `code.url` is never fetched: whoever writes a Function must not reach what only we can."""
    billing_increment_ms: Annotated[int, Field(ge=1, le=60_000)] = limits.BILLING_INCREMENT_MS
    """Billed durations are multiples of it; 1 is AWS's present rule (§9.4)."""
    public_frontend: bool = True
    """Whether frontends serve everybody at their own port; else InvokeEndpoints are the only way in."""
    connections: ConnectionSettings = ConnectionSettings()
    """Connections of callers to a frontend."""
    network: NetworkSettings = NetworkSettings()
    """NetworkPolicies of environments."""
    file_systems: FileSystemSettings = FileSystemSettings()
    """File systems of functions."""
    images: ImageSettings = ImageSettings()
    """Container images of functions."""
    environments: EnvironmentSettings = EnvironmentSettings()
    """Execution environments."""
    pool_forecast: bool = False
    """Whether pools grow ahead of the hours in which they were needed on the last days."""
    auth: AuthSettings = AuthSettings()
    """Callers."""
    function_urls: FunctionUrlSettings = FunctionUrlSettings()
    """HTTP addresses of functions."""
    response_streams: ResponseStreamSettings = ResponseStreamSettings()
    """Answers that are streamed."""
    control_api_rates: ControlApiRates = ControlApiRates()
    """How often the control API may be called."""
    leases: LeaseSettings = LeaseSettings()
    """Leases between frontends."""
    autoscaling: AutoscalingSettings = AutoscalingSettings()
    """Target tracking of provisioned concurrency."""


def load(path: Path) -> Settings:
    """Settings from a JSON file. Raises `pydantic.ValidationError` that names every wrong field, or `OSError`."""
    return parse(path.read_bytes())


def parse(content: bytes) -> Settings:
    """Settings out of a file's content. Raises `pydantic.ValidationError`."""
    return Settings.model_validate_json(content)
