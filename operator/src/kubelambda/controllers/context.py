"""What every reconciler is given: clients, settings, the cluster as known, and the queue."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field

from kubelambda.api.settings import Settings
from kubelambda.controllers.cluster_state import ClusterState
from kubelambda.controllers.queue import WorkQueue
from kubelambda.kube.client import KubeClient
from kubelambda.store.code_store import CodeStore

FIELD_MANAGER = "kubelambda-operator"


@dataclass(slots=True)
class Context:
    """Dependencies of the reconcilers, wired once at start."""

    client: KubeClient
    store: CodeStore
    settings: Settings
    key: bytes
    queue: WorkQueue
    state: ClusterState = field(default_factory=ClusterState)
    accounts: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    downloads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(4))
