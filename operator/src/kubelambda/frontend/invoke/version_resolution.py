"""Which version an invocation gets, and whether it can be invoked (§1.2, §1.5.2)."""

from collections.abc import Callable

from kubelambda.core.file_system import mount_failure
from kubelambda.core.invoke import invoke_error
from kubelambda.core.invoke.invoke_error import InvokeError
from kubelambda.core.invoke.routing import LATEST, is_alias
from kubelambda.frontend.cluster.published import Published
from kubelambda.frontend.cluster.views import FunctionView, VersionView
from kubelambda.kube.reflector import Name


def resolve(
    published: Published,
    function: Name,
    qualifier: str,
    *,
    view: FunctionView,
    arn: str,
    chance: Callable[[], float],
) -> FunctionView | VersionView:
    """What an alias or version means for one invocation, by a `chance` in [0, 1) where its alias leads to two versions.

    `arn` is that of the function, unqualified. Raises `InvokeError` when there is no such version or alias.
    """
    route = published.route(function, qualifier)
    if route is None:
        missing = invoke_error.alias_not_found if is_alias(qualifier) else invoke_error.not_found
        raise missing(f"{arn}:{qualifier}")
    version = route.choose(chance())
    found = view if version == LATEST else published.version(function, version)
    if found is None:
        raise invoke_error.not_found(f"{arn}:{version}")
    return found


def is_pending(view: FunctionView) -> bool:
    """Whether the function is being created."""
    return view.deployed is None and view.state == "Pending"


def not_invocable(view: FunctionView | VersionView) -> InvokeError:
    """Why nothing of the function or version can run."""
    if view.state == "Failed":
        code = view.state_reason_code if isinstance(view, FunctionView) else ""
        if (refusal := mount_failure.never_mounted(code, view.state_reason)) is not None:
            return refusal
        return invoke_error.not_ready(f"The function is in state Failed: {view.state_reason}")
    return invoke_error.state_conflict(view.state)
