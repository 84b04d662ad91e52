"""The warm pool of a namespace and runtime: an ordinary Deployment of unclaimed environments (DESIGN §4)."""

import re
from collections.abc import Mapping

from kubelambda.api import labels
from kubelambda.api.kinds.runtime import RuntimeSpec
from kubelambda.api.settings import EnvironmentSettings
from kubelambda.core.pool.pool_size import PoolRange
from kubelambda.resources.environment_pod import Manifest, pod_metadata, pod_spec, pool_labels, pool_resources
from kubelambda.resources.topology import spread

POOL_MAX = 1000
POOL_DEFAULT_MAX = 10
"""How far a pool grows whose Runtime names no maximum."""
_ANNOTATION = re.compile(r"(\d{1,9})(?:\s*-\s*(\d{1,9}))?", re.ASCII)
PROGRESS_DEADLINE_S = 120
"""After this long without a new ready environment, the Runtime says that its pool fails."""


def pool_name(runtime: str) -> str:
    """Name of the Deployment: the runtime's, without the dots that a DNS label cannot have.

    Dashes are doubled, so that the runtimes `node-20` and `node.20` do not share a pool.
    """
    return f"kubelambda-pool-{runtime.replace('-', '--').replace('.', '-')}"


def pool_range(runtime: str, spec: RuntimeSpec, annotations: Mapping[str, str]) -> PoolRange:
    """Idle environments that a namespace keeps: its annotation, `3` or `2-10`, else what the Runtime says."""
    given = _ANNOTATION.fullmatch(annotations.get(f"{labels.POOL_SIZE}/{runtime}", "").strip())
    if given is None:
        least, most = spec.pool.size, spec.pool.max_size
        return PoolRange(least, max(least, POOL_DEFAULT_MAX) if most is None else max(least, most))
    least = min(int(given[1]), POOL_MAX)
    return PoolRange(least, min(max(least, int(given[2] or least)), POOL_MAX))


def pool_deployment(
    namespace: str,
    runtime: str,
    runtime_uid: str,
    spec: RuntimeSpec,
    settings: EnvironmentSettings,
    *,
    size: int,
    token_sha256: str,
) -> Manifest:
    """The Deployment. Its pods match the selector only until they are claimed."""
    pod = pod_spec(runtime, spec, settings, resources=pool_resources(settings), token_sha256=token_sha256)
    selector = pool_labels(runtime)
    return {
        "metadata": {
            "name": pool_name(runtime),
            "namespace": namespace,
            "labels": selector,
            "ownerReferences": [_owner(runtime, runtime_uid)],
        },
        "spec": {
            "replicas": size,
            "revisionHistoryLimit": 1,
            "progressDeadlineSeconds": PROGRESS_DEADLINE_S,
            "selector": {"matchLabels": selector},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "50%", "maxUnavailable": 0}},
            "template": {"metadata": pod_metadata(selector, settings), "spec": {**pod, **spread(selector)}},
        },
    }


def _owner(runtime: str, uid: str) -> Manifest:
    return {
        "apiVersion": f"{labels.GROUP}/{labels.VERSION}",
        "kind": "Runtime",
        "name": runtime,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
