"""What others may know of a Runtime: its spec."""

from dataclasses import dataclass
from typing import Any

from kubelambda.controllers.machinery.watched import Watch
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import RUNTIMES


@dataclass(frozen=True, slots=True)
class RuntimeFacts:
    """The parts of a Runtime that others read."""

    uid: str
    spec: dict[str, Any]
    """As it is written: who uses it says what is wrong with it."""


def runtime_facts(body: Object) -> RuntimeFacts:
    """The facts of a Runtime object."""
    return RuntimeFacts(body["metadata"]["uid"], body["spec"])


WATCHED_RUNTIMES = Watch(RUNTIMES, runtime_facts)
