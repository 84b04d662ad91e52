"""Looks whether the Secrets and ConfigMaps exist that a function takes environment variables from."""

from collections.abc import Awaitable, Callable, Iterable

from kubelambda.api.kinds.environment_variables import EnvironmentVariables
from kubelambda.api.reasons import Reason
from kubelambda.core.environment.secret_keys import SecretKeys
from kubelambda.core.function.observation import Problem
from kubelambda.kube.errors import Forbidden, NotFound
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import CONFIG_MAPS

type AskForSecrets = Callable[[str, Iterable[str]], Awaitable[SecretKeys]]
"""Keys of the Secrets of a namespace, by names."""


async def missing(
    client: KubeClient, ask: AskForSecrets, namespace: str, environment: EnvironmentVariables
) -> Problem | None:
    """What is missing, all of it, by variable, object and key. Optional references may be.

    Raises what `ask` raises: nothing is said of Secrets that nobody looked at.
    """
    needed = [
        (variable.name, "Secret" if variable.secret_key_ref else "ConfigMap", reference)
        for variable in environment.from_
        if (reference := variable.secret_key_ref or variable.config_map_key_ref) is not None and not reference.optional
    ]
    if not needed:
        return None
    maps = {reference.name for _, kind, reference in needed if kind == "ConfigMap"}
    secrets = {reference.name for _, kind, reference in needed if kind == "Secret"}
    keys = {
        "ConfigMap": {name: await _keys(client, name, namespace) for name in maps},
        "Secret": await ask(namespace, secrets) if secrets else {},
    }
    faults = []
    for variable, kind, reference in needed:
        found = keys[kind][reference.name]
        where = f"environment.from {variable}: {kind} {reference.name}"
        if isinstance(found, str):
            faults.append(f"{where} {found}; key {reference.key} is needed")
        elif reference.key not in found:
            faults.append(f"{where} has no key {reference.key}")
    return Problem(Reason.REFERENCE_MISSING, "; ".join(faults)) if faults else None


async def _keys(client: KubeClient, name: str, namespace: str) -> frozenset[str] | str:
    """Keys of a ConfigMap, or why there are none."""
    try:
        found = await client.get(CONFIG_MAPS, name, namespace)
    except NotFound:
        return f"does not exist in namespace {namespace}"
    except Forbidden as error:
        return f"cannot be read ({error})"
    return frozenset(found.get("data") or {}) | frozenset(found.get("binaryData") or {})
