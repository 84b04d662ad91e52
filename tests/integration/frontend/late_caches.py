"""Caches that hear of what is written when a test says so."""

from typing import Any

from kubelambda.kube.kube_client import Object
from kubelambda.kube.reflector import Reflector


def deafen(*reflectors: Reflector[Any]) -> None:
    """From now on nothing that is written reaches these caches."""
    for reflector in reflectors:
        reflector._observe = lambda body, *, deleted: ("", "")  # type: ignore[method-assign]


def hear(reflector: Reflector[Any], body: Object, *, deleted: bool = False) -> None:
    """A cache that was deaf hears of one object."""
    type(reflector)._observe(reflector, body, deleted=deleted)
