"""Why pods ended, as Kubernetes says it: kept beyond the pods themselves, which may be gone when somebody asks."""

from kubelambda.frontend.cluster.views import PodView
from kubelambda.kube.reflector import Name

_KEPT = 256
_OUT_OF_MEMORY = "Runtime exited with error: signal: killed"
_TMP = "/tmp"  # noqa: S108 - Lambda's own path (§3.4.2)
_FULL = 'EmptyDir volume "tmp"'


class PodEnds:
    """The last ends that were told of."""

    def __init__(self) -> None:
        self._texts: dict[Name, str] = {}

    def changed(self, name: Name, pod: PodView | None) -> None:
        """A pod is another than before."""
        if pod is None or not (pod.out_of_memory or pod.evicted):
            return
        self._texts[name] = _text(pod)
        if len(self._texts) > _KEPT:
            del self._texts[next(iter(self._texts))]

    def why(self, namespace: str, pod: str) -> str:
        """What ended a pod, for whoever called its function; empty when nothing is known."""
        return self._texts.get((namespace, pod), "")


def _text(pod: PodView) -> str:
    if pod.out_of_memory:
        return _OUT_OF_MEMORY
    if _FULL in pod.evicted:
        return f"{_TMP} holds more than its size (ephemeralStorage): its node ended the environment: {pod.evicted}"
    return f"its node ended the environment: {pod.evicted}"
