"""The pod of an execution environment: the same template for a pool's Deployment and for pods of their own."""

import json
from typing import Any

from kubelambda.api import environment_protocol, labels, limits
from kubelambda.api.kinds.deployed_configuration import DeployedConfiguration
from kubelambda.api.kinds.runtime import RuntimeSpec
from kubelambda.api.settings import EnvironmentSettings
from kubelambda.core.environment.pool_identity import PoolIdentity
from kubelambda.core.environment.shape import GENERIC, Shape
from kubelambda.core.environment.sizing import Resources, function_resources
from kubelambda.resources import file_mounts, image_containers

type Manifest = dict[str, Any]

GRACE_PERIOD_S = limits.TIMEOUT_MAX_S + 30
"""Kubernetes kills an environment this long after it was asked to end: the longest invocation and a margin."""
START_PROBES = 120
"""Seconds that an environment has until its agent answers."""
_TMP_MARGIN_MB = 64
_BANDWIDTH = ("kubernetes.io/ingress-bandwidth", "kubernetes.io/egress-bandwidth")
"""Read by network plugins when they make a pod's network, and never after."""

USER_ID = 993
"""The unprivileged user of every environment image."""


def pool_labels(pool: PoolIdentity) -> dict[str, str]:
    """Labels of an idle pool pod that tell its pool, and are the selector of its Deployment."""
    return {
        labels.MANAGED_BY: labels.MANAGER,
        labels.COMPONENT: labels.COMPONENT_ENVIRONMENT,
        labels.POOL: pool.id,
        labels.RUNTIME: pool.runtime,
    }


def function_labels(function: str, uid: str, configuration: DeployedConfiguration) -> dict[str, str]:
    """Labels that a claim adds, and that a pod of a function's own is created with."""
    return {
        labels.FUNCTION: function,
        labels.FUNCTION_UID: uid,
        labels.FUNCTION_VERSION: (
            labels.VERSION_LATEST if configuration.version == "$LATEST" else configuration.version
        ),
        labels.REVISION: configuration.revision,
    }


def network_labels(configuration: DeployedConfiguration) -> dict[str, str]:
    """Labels that open a closed environment for what its security groups allow, and make it a member of them."""
    network = configuration.network
    if network is None:
        return {}
    members = {f"{labels.SECURITY_GROUP}/{group}": "" for group in network.security_groups}
    return {labels.NETWORK_SET: network.set, **members}


def closed_labels(shape: Shape) -> dict[str, str]:
    """Labels that an environment of a function with a vpcConfig is made with: it is born closed."""
    return {labels.NETWORK: labels.NETWORK_CLOSED} if shape.closed else {}


def owner_reference(function: str, uid: str) -> Manifest:
    """Makes the garbage collector delete an environment with its Function."""
    return {
        "apiVersion": f"{labels.GROUP}/{labels.VERSION}",
        "kind": "Function",
        "name": function,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def pod_metadata(found_labels: dict[str, str], settings: EnvironmentSettings, shape: Shape = GENERIC) -> Manifest:
    """Labels of an environment's pod, and annotations: what the installation wants on every one, and its bandwidth."""
    annotations = dict(settings.pod_annotations)
    if shape.bandwidth_mbit is not None:
        annotations |= dict.fromkeys(_BANDWIDTH, f"{shape.bandwidth_mbit}M")
    return {"labels": found_labels, **({"annotations": annotations} if annotations else {})}


def configured_resources(memory_size: int, settings: EnvironmentSettings) -> Resources:
    """Resources of an environment of a function with `memory_size` MB."""
    return function_resources(
        memory_size,
        overhead_mb=settings.memory_overhead_mb,
        memory_ratio=settings.memory_request_ratio,
        cpu_ratio=settings.cpu_request_ratio,
    )


def pool_resources(settings: EnvironmentSettings) -> Resources:
    """Resources of an unclaimed environment."""
    return Resources(
        memory_request_mb=settings.pool_memory_request_mb,
        memory_limit_mb=settings.pool_memory_limit_mb,
        cpu_request_milli=settings.pool_cpu_request_milli,
        cpu_limit_milli=settings.pool_cpu_limit_milli,
    )


def pod_spec(
    runtime_name: str,
    runtime: RuntimeSpec,
    settings: EnvironmentSettings,
    *,
    resources: Resources,
    token_sha256: str,
    shape: Shape = GENERIC,
    closure: str = "",
    provisioned: bool = False,
) -> Manifest:
    """Spec of an environment's pod, within the `restricted` Pod Security standard.

    One that is `provisioned` is ready for Kubernetes once its function is initialized, not when its agent answers.
    `closure` says how one that is born closed finds out that it is (`closure_check`).
    """
    agent = _container(runtime_name, runtime, settings, resources, token_sha256)
    agent["env"].append({"name": environment_protocol.ENV_TMP_MB, "value": str(shape.ephemeral_storage_mb)})
    if shape.closed:
        agent["env"].append({"name": environment_protocol.ENV_CLOSURE, "value": closure})
    if shape.closed or shape.image:
        agent["readinessProbe"] = _readiness(environment_protocol.CLAIMABLE, seconds=2)
    if provisioned:
        agent["readinessProbe"] = _readiness(environment_protocol.INITIALIZED, seconds=2)
    containers: Manifest = {"containers": [agent]}
    if shape.image:
        containers = image_containers.beside_the_agent(agent, shape.image, resources)
    (function,) = containers["containers"]
    function["volumeMounts"] += file_mounts.mounts(shape.file_systems)
    if first := file_mounts.makers(shape.file_systems, agent):
        containers["initContainers"] = [*first, *containers.get("initContainers", [])]
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # Extensions listen for telemetry by this name, and agents send it there (§4.2.1).
        "hostAliases": [{"ip": "127.0.0.1", "hostnames": ["sandbox.localdomain", "sandbox"]}],
        "terminationGracePeriodSeconds": GRACE_PERIOD_S,
        "securityContext": {
            "runAsNonRoot": True,
            **file_mounts.user(shape.file_systems, otherwise=USER_ID),
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **containers,
        "volumes": _volumes(shape),
        **_placement(settings),
    }


def _volumes(shape: Shape) -> list[Manifest]:
    own = {"task": limits.UNZIPPED_MAX_BYTES, "opt": limits.UNZIPPED_MAX_BYTES}
    if shape.image:
        own = {image_containers.SHARED: image_containers.SHARED_BYTES}
    return [
        # The agent ends what exceeds it; this is for what no agent sees, and ends the pod a little later.
        {"name": "tmp", "emptyDir": {"sizeLimit": f"{shape.ephemeral_storage_mb + _TMP_MARGIN_MB}Mi"}},
        *({"name": name, "emptyDir": {"sizeLimit": str(size)}} for name, size in own.items()),
        *file_mounts.volumes(shape.file_systems),
    ]


def _container(
    runtime_name: str,
    runtime: RuntimeSpec,
    settings: EnvironmentSettings,
    resources: Resources,
    token_sha256: str,
) -> Manifest:
    return {
        "name": labels.CONTAINER,
        "image": runtime.image,
        "imagePullPolicy": settings.image_pull_policy,
        "env": [
            {"name": environment_protocol.ENV_POOL_TOKEN_SHA256, "value": token_sha256},
            {"name": environment_protocol.ENV_RUNTIME, "value": runtime_name},
            {"name": environment_protocol.ENV_BOOTSTRAP, "value": json.dumps(runtime.bootstrap)},
            {
                "name": environment_protocol.ENV_PRESTART,
                "value": "" if runtime.prestart == "none" else runtime.prestart.value,
            },
            _downward(environment_protocol.ENV_POD_NAMESPACE, "metadata.namespace"),
            _downward(environment_protocol.ENV_POD_NAME, "metadata.name"),
            _downward(environment_protocol.ENV_POD_UID, "metadata.uid"),
            _downward(environment_protocol.ENV_POD_IP, "status.podIP"),
        ],
        "ports": [{"name": "control", "containerPort": environment_protocol.CONTROL_PORT, "protocol": "TCP"}],
        # Quick to find a new environment ready; hardly any work for the node once there are hundreds of them.
        "startupProbe": {**_probe(environment_protocol.HEALTH), "periodSeconds": 1, "failureThreshold": START_PROBES},
        "readinessProbe": _readiness(environment_protocol.HEALTH, seconds=10),
        # A container that was only just created cannot hear SIGTERM yet; by the end of this pause it can.
        "lifecycle": {"preStop": {"sleep": {"seconds": 1}}},
        "resources": resources.manifest(),
        "resizePolicy": [
            {"resourceName": "cpu", "restartPolicy": "NotRequired"},
            {"resourceName": "memory", "restartPolicy": "NotRequired"},
        ],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - Lambda's own path (§3.4.2)
            {"name": "task", "mountPath": "/var/task"},
            {"name": "opt", "mountPath": "/opt"},
        ],
    }


def _readiness(path: str, *, seconds: int) -> Manifest:
    return {**_probe(path), "periodSeconds": seconds, "failureThreshold": 3}


def _probe(path: str) -> Manifest:
    return {"httpGet": {"path": path, "port": "control"}}


def _downward(name: str, path: str) -> Manifest:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _placement(settings: EnvironmentSettings) -> Manifest:
    spec: Manifest = {}
    if settings.user_namespaces:
        spec["hostUsers"] = False
    if settings.runtime_class_name is not None:
        spec["runtimeClassName"] = settings.runtime_class_name
    if settings.node_selector:
        spec["nodeSelector"] = dict(settings.node_selector)
    if settings.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in settings.image_pull_secrets]
    return spec
