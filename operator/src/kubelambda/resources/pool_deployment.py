"""The warm pools of a namespace, a Deployment of unclaimed environments for each runtime and shape (DESIGN §4)."""

import re
from collections.abc import Mapping

from kubelambda.api import labels
from kubelambda.api.kinds.runtime import RuntimeSpec
from kubelambda.api.settings import EnvironmentSettings
from kubelambda.core.environment.pool_identity import PoolIdentity, is_shaped
from kubelambda.core.pool.pool_size import PoolRange
from kubelambda.resources.environment_pod import (
    Manifest,
    closed_labels,
    pod_metadata,
    pod_spec,
    pool_labels,
    pool_resources,
)
from kubelambda.resources.topology import placed

POOL_MAX = 1000
POOL_DEFAULT_MAX = 10
"""How far a pool grows whose Runtime names no maximum."""
_ANNOTATION = re.compile(r"(\d{1,9})(?:\s*-\s*(\d{1,9}))?", re.ASCII)
PROGRESS_DEADLINE_S = 120
"""After this long without a new ready environment, the Runtime says that its pool fails."""


def pool_name(pool_id: str) -> str:
    """Name of the Deployment: the pool's, without the dots and underscores that a DNS label cannot have.

    Dashes are doubled, so that the runtimes `node-20` and `node.20` do not share a pool; three are an underscore.
    """
    return f"kubelambda-pool-{pool_id.replace('-', '--').replace('.', '-').replace('_', '---')}"


def pool_range(pool_id: str, spec: RuntimeSpec, annotations: Mapping[str, str]) -> PoolRange:
    """Idle environments that a namespace keeps: its annotation, `3` or `2-10`, else what the Runtime says.

    A pool of another than the generic shape begins empty: nobody pays for what nobody claims.
    """
    given = _ANNOTATION.fullmatch(annotations.get(f"{labels.POOL_SIZE}/{pool_id}", "").strip())
    if given is None:
        least, most = spec.pool.size, spec.pool.max_size
        most = max(least, POOL_DEFAULT_MAX) if most is None else max(least, most)
        return PoolRange(0 if is_shaped(pool_id) else least, most)
    least = min(int(given[1]), POOL_MAX)
    return PoolRange(least, min(max(least, int(given[2] or least)), POOL_MAX))


def pool_deployment(
    namespace: str,
    pool: PoolIdentity,
    runtime_uid: str,
    spec: RuntimeSpec,
    settings: EnvironmentSettings,
    *,
    size: int,
    token_sha256: str,
    closure: str = "",
) -> Manifest:
    """The Deployment. Its pods match the selector only until they are claimed."""
    pod = pod_spec(
        pool.runtime,
        spec,
        settings,
        resources=pool_resources(settings),
        token_sha256=token_sha256,
        shape=pool.shape,
        closure=closure,
    )
    selector = pool_labels(pool)
    return {
        "metadata": {
            "name": pool_name(pool.id),
            "namespace": namespace,
            "labels": selector,
            "ownerReferences": [_owner(pool.runtime, runtime_uid)],
        },
        "spec": {
            "replicas": size,
            "revisionHistoryLimit": 1,
            "progressDeadlineSeconds": PROGRESS_DEADLINE_S,
            "selector": {"matchLabels": selector},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "50%", "maxUnavailable": 0}},
            "template": {
                "metadata": pod_metadata({**selector, **closed_labels(pool.shape)}, settings, pool.shape),
                "spec": {**pod, **placed(selector, pool.shape.zones)},
            },
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
