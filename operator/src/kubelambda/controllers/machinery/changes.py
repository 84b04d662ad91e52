"""What a change of one object means for others: the map from what was observed to the keys to look at."""

from typing import Any

from kubelambda.controllers.machinery.cluster_state import FunctionFacts, NamespaceFacts
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.work_queue import Key

COUNT_DELAY_S = 2.0
"""Counts in the status of a Runtime may lag: many changes, one write."""


def function_key(namespace: str, name: str) -> Key:
    """The key of a Function."""
    return Key("Function", namespace, name)


def take_in_function(context: Context, namespace: str, name: str, view: FunctionFacts | None) -> bool:
    """Remembers a Function, or that it is gone; queues what depends on it. Whether anything changed."""
    known = context.state.function(namespace, name)
    if not context.state.replace_function(namespace, name, view):
        return False
    if _pool_of(known) != _pool_of(view):
        for runtime in {found.runtime for found in (known, view) if found is not None and found.runtime}:
            context.queue.add(Key("Pool", namespace, runtime))
            context.queue.add(Key("Runtime", "", runtime), COUNT_DELAY_S)
    if (known is None) != (view is None):
        context.queue.add(Key("Namespace", namespace, namespace))
    if known is not None and _reservation(known) != _reservation(view):
        _ask_again(context, namespace)
    return not (known is None if view is None else view.same_as(known))


def take_in_runtime(context: Context, name: str, body: dict[str, Any] | None) -> None:
    """Remembers a Runtime, or that it is gone; a new spec concerns its functions and pools."""
    known = context.state.runtimes.get(name)
    if body is None:
        context.state.runtimes.pop(name, None)
    else:
        context.state.runtimes[name] = {"spec": body["spec"], "uid": body["metadata"]["uid"]}
    if known == context.state.runtimes.get(name):
        return
    context.queue.add(Key("Runtime", "", name))
    users = context.state.functions_of_runtime(name)
    for namespace, function in users:
        context.queue.add(function_key(namespace, function))
    for namespace in {namespace for namespace, _ in users}:
        context.queue.add(Key("Pool", namespace, name))


def take_in_namespace(context: Context, name: str, view: NamespaceFacts | None) -> None:
    """Remembers a namespace; new annotations concern everything in it."""
    known = context.state.namespaces.get(name)
    if view is None:
        context.state.namespaces.pop(name, None)
        return
    context.state.namespaces[name] = view
    if known == view:
        return
    context.queue.add(Key("Namespace", name, name))
    found = context.state.functions.get(name, {})
    for function in found:
        context.queue.add(function_key(name, function))
    for runtime in {each.runtime for each in found.values() if each.runtime}:
        context.queue.add(Key("Pool", name, runtime))


def _pool_of(view: FunctionFacts | None) -> tuple[str | None, bool]:
    return (view.runtime, view.pooled) if view else (None, False)


def _reservation(view: FunctionFacts | None) -> tuple[int | None, int | None]:
    return (view.requested, view.granted) if view else (None, None)


def _ask_again(context: Context, namespace: str) -> None:
    """What one function gave back, another may have been refused."""
    for name, view in context.state.functions.get(namespace, {}).items():
        if view.requested is not None and view.requested != view.granted:
            context.queue.add(function_key(namespace, name))
