"""What every reconciler is given: clients, settings, the cluster as known, and the queues."""

import asyncio
import time
from dataclasses import dataclass, field

from kubelambda.api.settings import Settings
from kubelambda.controllers.machinery.cluster_state import ClusterState, FunctionName
from kubelambda.controllers.machinery.work_queue import WorkQueue
from kubelambda.core.function.function_status import Problem
from kubelambda.kube.kube_client import KubeClient
from kubelambda.store.code.code_store import CodeStore

FIELD_MANAGER = "kubelambda-operator"


@dataclass(frozen=True, slots=True)
class FailedDownload:
    """Why the archive at an address could not be published."""

    url: str
    sha256: str
    problem: Problem


@dataclass(slots=True)
class Context:
    """Dependencies of the reconcilers, wired once at start."""

    client: KubeClient
    store: CodeStore
    settings: Settings
    key: bytes
    queue: WorkQueue
    """What takes milliseconds."""
    downloads: WorkQueue
    """What may take minutes: apart, so that one function's slow server delays no other function."""
    state: ClusterState = field(default_factory=ClusterState)
    failed_downloads: dict[FunctionName, FailedDownload] = field(default_factory=dict)
    fetched: dict[str, set[str]] = field(default_factory=dict)
    """Namespaces that fetched an archive since this process began, by digest; see `has_fetched`."""
    checking: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One large archive is checked at a time: it takes memory and a core."""
    unreferenced: dict[str, float] = field(default_factory=dict)
    """Archives in the store that no function runs, and since when, on the monotonic clock."""
    last_event: float = field(default_factory=time.monotonic)
    """When a watch last delivered a change, on the monotonic clock."""
    deaf: bool = False
    """Whether a change was found by listing that no watch delivered."""

    def has_fetched(self, namespace: str, name: str, sha256: str) -> bool:
        """Whether a Function may have an archive of the store without fetching it: it did so before, or its neighbour.

        A digest alone proves nothing: who reads it in the status of another account's Function does not have the code.
        """
        view = self.state.function(namespace, name)
        return (view is not None and view.sha256 == sha256) or namespace in self.fetched.get(sha256, ())
