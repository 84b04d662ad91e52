"""Looks whether the Secrets and ConfigMaps exist that a function takes environment variables from."""

from kubelambda.api.kinds.function import EnvironmentVariables
from kubelambda.api.reasons import Reason
from kubelambda.core.function.problems import Problem
from kubelambda.kube.errors import Forbidden, NotFound
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import CONFIG_MAPS, SECRETS, Resource


async def missing(client: KubeClient, namespace: str, environment: EnvironmentVariables) -> Problem | None:
    """What is missing, all of it, by variable, object and key. Optional references may be."""
    keys: dict[tuple[str, str], set[str] | str] = {}
    faults = []
    for variable in environment.from_:
        secret = variable.secret_key_ref
        reference = secret or variable.config_map_key_ref
        if reference is None or reference.optional:
            continue
        resource = SECRETS if secret else CONFIG_MAPS
        found = keys.get((resource.kind, reference.name))
        if found is None:
            found = keys[resource.kind, reference.name] = await _keys(client, resource, reference.name, namespace)
        where = f"environment.from {variable.name}: {resource.kind} {reference.name}"
        if isinstance(found, str):
            faults.append(f"{where} {found}; key {reference.key} is needed")
        elif reference.key not in found:
            faults.append(f"{where} has no key {reference.key}")
    return Problem(Reason.REFERENCE_MISSING, "; ".join(faults)) if faults else None


async def _keys(client: KubeClient, resource: Resource, name: str, namespace: str) -> set[str] | str:
    """Keys of an object, or why there are none."""
    try:
        found = await client.get(resource, name, namespace)
    except NotFound:
        return f"does not exist in namespace {namespace}"
    except Forbidden as error:
        return f"cannot be read ({error})"
    return set(found.get("data") or {}) | set(found.get("binaryData") or {})
