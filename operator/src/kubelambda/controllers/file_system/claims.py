"""PersistentVolumeClaims of access points: who uses one, whether it can be mounted, and its finalizer while it is used.

Kubernetes itself keeps a claim only while a pod mounts it; a function that is not called has none.
"""

from collections.abc import Iterable

from kubelambda.api import labels
from kubelambda.controllers.function.function_facts import WATCHED_FUNCTIONS
from kubelambda.controllers.function.version_facts import WATCHED_VERSIONS
from kubelambda.controllers.machinery.cluster import Cluster
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.finalizers import hold
from kubelambda.core.file_system.mounts import FoundClaim, claim_problem, unbound, volume_zones
from kubelambda.core.function.observation import Problem
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES


def claim_users(cluster: Cluster, namespace: str, claim: str) -> list[str]:
    """Functions and versions whose environments mount it, sorted. One that is only named is not used."""
    functions = cluster[WATCHED_FUNCTIONS].within(namespace)
    versions = cluster[WATCHED_VERSIONS].within(namespace)
    found = [f"Function {name}" for name, each in functions if claim in each.claims]
    found += [f"FunctionVersion {name}" for name, each in versions if claim in each.claims]
    return sorted(found)


async def look_at(context: Context, namespace: str, name: str, claim: Object | None) -> FoundClaim | Problem:
    """Whether environments can mount a claim, and where; `claim` is what there is of it. Raises `KubeError`."""
    problem = claim_problem(name, claim, claim_users(context.cluster, namespace, name))
    if problem is not None or claim is None:
        return problem or FoundClaim(name, bound=False)
    return FoundClaim(name, bound=not unbound(claim), zones=await _zones(context, claim))


async def keep_claims(context: Context, namespace: str, names: Iterable[str]) -> dict[str, Object]:
    """Holds those of the claims that are used, and lets the others go; all that there are. Raises `KubeError`.

    Where the installation has no right to hold claims, they stay as they are.
    """
    found: dict[str, Object] = {}
    for name in dict.fromkeys(names):
        claim = await context.client.find(PERSISTENT_VOLUME_CLAIMS, name, namespace)
        if claim is not None and context.settings.file_systems.hold_claims:
            users = claim_users(context.cluster, namespace, name)
            claim = await hold(context, PERSISTENT_VOLUME_CLAIMS, claim, labels.CLAIM_FINALIZER, held=bool(users))
        if claim is not None:
            found[name] = claim
    return found


def is_held(claim: Object) -> bool:
    """Whether it has our finalizer."""
    return labels.CLAIM_FINALIZER in claim["metadata"].get("finalizers", [])


async def _zones(context: Context, claim: Object) -> tuple[str, ...]:
    volume = (claim.get("spec") or {}).get("volumeName")
    found = await context.client.find(PERSISTENT_VOLUMES, volume) if volume else None
    return volume_zones(found) if found is not None else ()
