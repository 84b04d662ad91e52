"""Role bindings and policies of an account, against a real API server: written once, and again where they are lost."""

from functools import partial

from tests.integration.functions import Functions, eventually
from tests.integration.processes import Installation

from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import NETWORK_POLICIES, ROLE_BINDINGS, Resource

POLICY = "kubelambda-environments-egress"
BINDING = "kubelambda-pollers-account"
EACH_ONCE = {"patch rolebindings": 4, "patch networkpolicies": 3, "patch namespaces": 1}


def written(functions: Functions) -> dict[str, int]:
    """How often the operator has written what a namespace has whatever its functions are."""
    found = functions.control_plane.operator_writes(functions.namespace)
    return {what: count for what, count in found.items() if what in EACH_ONCE}


async def test_a_namespace_is_written_to_once_however_many_functions_it_has(
    running: Installation, functions: Functions
) -> None:
    """At once or one after the other: neither they nor the operator's own writes are a reason to write again."""
    several = [functions.manifest(f"f-{number}") for number in range(8)]
    assert functions.control_plane.apply(several).returncode == 0
    for number in range(8):
        await functions.ready(f"f-{number}")
    await eventually(lambda: written(functions).keys() == EACH_ONCE.keys())
    for name in ("one-more", "and-another"):
        functions.apply(name)
        await functions.ready(name)
    assert written(functions) == EACH_ONCE


async def test_what_somebody_takes_away_or_changes_comes_back_and_nothing_else_is_written(
    running: Installation, functions: Functions
) -> None:
    """Policies and role bindings: nobody waits for the next function or resync."""
    client, namespace = functions.client, functions.namespace
    functions.apply("first")
    await functions.ready("first")
    await eventually(lambda: written(functions).keys() == EACH_ONCE.keys())
    before = {
        resource: await client.get(resource, name, namespace)
        for resource, name in ((NETWORK_POLICIES, POLICY), (ROLE_BINDINGS, BINDING))
    }

    async def restored(resource: Resource) -> bool:
        found = await client.find(resource, before[resource]["metadata"]["name"], namespace)
        return found is not None and content(found) == content(before[resource])

    await client.patch(NETWORK_POLICIES, POLICY, {"spec": {"egress": [{}]}}, namespace)
    await eventually(partial(restored, NETWORK_POLICIES))
    await client.delete(NETWORK_POLICIES, POLICY, namespace)
    await eventually(partial(restored, NETWORK_POLICIES))
    await client.patch(ROLE_BINDINGS, BINDING, {"subjects": []}, namespace)
    await eventually(partial(restored, ROLE_BINDINGS))
    await client.delete(ROLE_BINDINGS, BINDING, namespace)
    await eventually(partial(restored, ROLE_BINDINGS))
    functions.apply("second")
    await functions.ready("second")
    assert written(functions) == {"patch rolebindings": 6, "patch networkpolicies": 5, "patch namespaces": 1}


def content(body: Object) -> Object:
    """What somebody wants of an object."""
    return {name: value for name, value in body.items() if name != "metadata"} | {"labels": body["metadata"]["labels"]}
