"""What every reconciler is given: the API server, the settings, the cluster as known, and the queues."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from kubelambda.api.settings import Settings
from kubelambda.controllers.machinery.asked import Asked
from kubelambda.controllers.machinery.cluster import Cluster
from kubelambda.controllers.machinery.declaration import Controller
from kubelambda.controllers.machinery.queues import Queues
from kubelambda.controllers.machinery.watch_state import WatchState
from kubelambda.kube.kube_client import KubeClient

FIELD_MANAGER = "kubelambda-operator"


@dataclass(slots=True)
class Context:
    """Dependencies of the reconcilers, wired once at start. What one capability alone remembers is its own."""

    client: KubeClient
    settings: Settings
    key: bytes
    """The installation's key."""
    controllers: tuple[Controller["Context"], ...]
    queues: Queues
    cluster: Cluster = field(default_factory=Cluster)
    watching: WatchState = field(default_factory=WatchState)
    asked: Asked = field(default_factory=Asked)


def context_of(
    client: KubeClient,
    settings: Settings,
    key: bytes,
    controllers: Iterable[Controller[Context]],
    queues: Queues | None = None,
) -> Context:
    """A context of some controllers."""
    found = tuple(controllers)
    return Context(client, settings, key, found, queues or Queues(found))
