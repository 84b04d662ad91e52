"""The Kubernetes resources that we read or write: group, version, plural, kind."""

from dataclasses import dataclass

from kubelambda.api import labels


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource type of the API server."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As manifests write it: `apps/v1`, or `v1` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """URL path of a collection, of an object, or of a subresource of an object."""
        parts = ["/apis" if self.group else "/api", self.api_version]
        if namespace is not None and self.namespaced:
            parts += ["namespaces", namespace]
        parts += [self.plural, *(part for part in (name, subresource) if part is not None)]
        return "/".join(parts)


FUNCTIONS = Resource(labels.GROUP, labels.VERSION, "functions", "Function")
FUNCTION_VERSIONS = Resource(labels.GROUP, labels.VERSION, "functionversions", "FunctionVersion")
ALIASES = Resource(labels.GROUP, labels.VERSION, "aliases", "Alias")
LAYERS = Resource(labels.GROUP, labels.VERSION, "layers", "Layer")
LAYER_VERSIONS = Resource(labels.GROUP, labels.VERSION, "layerversions", "LayerVersion")
CODE_SIGNING_CONFIGS = Resource(labels.GROUP, labels.VERSION, "codesigningconfigs", "CodeSigningConfig")
SIGNING_PROFILES = Resource(labels.GROUP, labels.VERSION, "signingprofiles", "SigningProfile")
ACCESS_POINTS = Resource(labels.GROUP, labels.VERSION, "accesspoints", "AccessPoint")
RUNTIMES = Resource(labels.GROUP, labels.VERSION, "runtimes", "Runtime", namespaced=False)
EVENT_SOURCE_MAPPINGS = Resource(labels.GROUP, labels.VERSION, "eventsourcemappings", "EventSourceMapping")
EVENT_TARGETS = Resource(labels.GROUP, labels.VERSION, "eventtargets", "EventTarget")
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
SUBNETS = Resource(labels.GROUP, labels.VERSION, "subnets", "Subnet")
SECURITY_GROUPS = Resource(labels.GROUP, labels.VERSION, "securitygroups", "SecurityGroup")
INVOKE_ENDPOINTS = Resource(labels.GROUP, labels.VERSION, "invokeendpoints", "InvokeEndpoint")
PODS = Resource("", "v1", "pods", "Pod")
SERVICES = Resource("", "v1", "services", "Service")
SECRETS = Resource("", "v1", "secrets", "Secret")
PERSISTENT_VOLUME_CLAIMS = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
PERSISTENT_VOLUMES = Resource("", "v1", "persistentvolumes", "PersistentVolume", namespaced=False)
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
NETWORK_POLICIES = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
ROLE_BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")
TOKEN_REVIEWS = Resource("authentication.k8s.io", "v1", "tokenreviews", "TokenReview", namespaced=False)
ACCESS_REVIEWS = Resource("authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", namespaced=False)
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
EVENTS = Resource("events.k8s.io", "v1", "events", "Event")
CORE_EVENTS = Resource("", "v1", "events", "Event")
"""The same objects, by the API that selects them by what they speak of."""
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
CUSTOM_RESOURCE_DEFINITIONS = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
