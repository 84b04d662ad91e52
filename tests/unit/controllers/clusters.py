"""What controllers work with where there is no cluster: objects as the API server has them, and a context."""

from typing import Any, cast

from kubelambda.api.settings import Settings
from kubelambda.controllers.code.code_state import CodeState
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.queues import Queues
from kubelambda.controllers.registry import controllers

NOBODY = cast("Any", None)
"""In the place of what nobody calls."""


def context_of(client: object = NOBODY, code: CodeState | None = None) -> Context:
    """A context of all controllers."""
    found = controllers(code or CodeState(NOBODY, NOBODY))
    return Context(cast("Any", client), Settings(), b"", found, Queues(found))


def body_of(name: str, spec: dict[str, Any], version: int = 1, **more: Any) -> dict[str, Any]:
    """An object of namespace `a`; `metadata` is added to what it has."""
    metadata = {
        "name": name,
        "namespace": "a",
        "uid": f"uid-of-{name}",
        "resourceVersion": str(version),
        "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    return {"metadata": metadata | more.pop("metadata", {}), "spec": spec, **more}
