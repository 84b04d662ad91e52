"""The provisioned environments of a version under one qualifier: an ordinary Deployment (DESIGN §7).

Its pods are generic until the frontend that owns the account hands the function over; then they are ready.
"""

import hashlib
import re
from collections.abc import Collection

from kubelambda.api import labels
from kubelambda.api.kinds.deployed_configuration import DeployedConfiguration
from kubelambda.api.kinds.runtime import RuntimeSpec
from kubelambda.api.settings import EnvironmentSettings
from kubelambda.core.environment.shape import configured_shape
from kubelambda.resources.environment_pod import (
    Manifest,
    closed_labels,
    configured_resources,
    function_labels,
    pod_metadata,
    pod_spec,
)
from kubelambda.resources.topology import placed

_STEM_CHARS = 36
_DIGITS = 8
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_PROGRESS_DEADLINE_S = 600


def provisioned_name(function: str, version: str, qualifier: str) -> str:
    """Name of the Deployment for a version under a qualifier; two qualifiers of any form never share one."""
    digest = hashlib.sha256(qualifier.encode()).hexdigest()[:_DIGITS]
    return f"{function[:_STEM_CHARS].rstrip('-')}-{version[:10]}-{digest}"


def provisioned_label(qualifier: str) -> str:
    """The qualifier in the form that a label can have; names of aliases may be longer, or begin with a dash."""
    if _LABEL_VALUE.fullmatch(qualifier):
        return qualifier
    return hashlib.sha256(qualifier.encode()).hexdigest()[:16]


def provisioned_selector(function: str, function_uid: str, qualifier: str, versions: Collection[str]) -> str:
    """What selects the provisioned environments that callers of a qualifier get, for the scale subresource.

    A HorizontalPodAutoscaler multiplies the pods that it finds by this: those that a move starts, or leaves behind, are
    none of them. Without versions it finds all.
    """
    found = [f"{name}={value}" for name, value in _qualifier_labels(function, function_uid, qualifier).items()]
    if versions:
        found.append(f"{labels.FUNCTION_VERSION} in ({','.join(sorted(versions))})")
    return ",".join(found)


def _qualifier_labels(function: str, function_uid: str, qualifier: str) -> dict[str, str]:
    """Of all provisioned environments of a qualifier, whichever version they run."""
    return {
        labels.MANAGED_BY: labels.MANAGER,
        labels.COMPONENT: labels.COMPONENT_ENVIRONMENT,
        labels.FUNCTION: function,
        labels.FUNCTION_UID: function_uid,
        labels.PROVISIONED: provisioned_label(qualifier),
    }


def provisioned_deployment(
    namespace: str,
    configuration: DeployedConfiguration,
    runtime: RuntimeSpec,
    settings: EnvironmentSettings,
    *,
    function: str,
    function_uid: str,
    qualifier: str,
    owner: Manifest,
    replicas: int,
    token_sha256: str,
    closure: str = "",
) -> Manifest:
    """The Deployment. `owner` is the reference to the Alias or FunctionVersion whose environments they are.

    `function` is the name of the Function object, `function_uid` its uid.
    """
    shape = configured_shape(configuration)
    pod = pod_spec(
        configuration.runtime,
        runtime,
        settings,
        resources=configured_resources(configuration.memory_size, settings),
        token_sha256=token_sha256,
        shape=shape,
        closure=closure,
        provisioned=True,
    )
    found = {
        **_qualifier_labels(function, function_uid, qualifier),
        **function_labels(function, function_uid, configuration),
        labels.RUNTIME: configuration.runtime,
    }
    # Whoever hands the function over opens what its groups allow, once they have found themselves closed.
    metadata = pod_metadata({**found, **closed_labels(shape)}, settings, shape)
    metadata["annotations"] = {**metadata.get("annotations", {}), labels.PROVISIONED: qualifier}
    # The revision changes with the Runtime's image: it is no part of what tells the Deployment's pods from others.
    selector = {name: value for name, value in found.items() if name not in (labels.REVISION, labels.RUNTIME)}
    return {
        "metadata": {
            "name": provisioned_name(function, configuration.version, qualifier),
            "namespace": namespace,
            "labels": found,
            "annotations": {labels.PROVISIONED: qualifier},
            "ownerReferences": [owner],
        },
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 1,
            "progressDeadlineSeconds": _PROGRESS_DEADLINE_S,
            "selector": {"matchLabels": selector},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
            "template": {"metadata": metadata, "spec": {**pod, **placed(selector, shape.zones)}},
        },
    }
