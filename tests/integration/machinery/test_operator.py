"""The operator as a process: idle when nothing changes, replaced when it dies, unmoved by a restarted API server."""

import json
import re
import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from tests.integration.control_plane import SYSTEM_NAMESPACE, ControlPlane
from tests.integration.functions import Functions, condition, eventually, listed
from tests.integration.processes import Installation, http

from kubelambda.api import labels
from kubelambda.kube import lease
from kubelambda.kube.errors import NotFound
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import (
    ALIASES,
    CUSTOM_RESOURCE_DEFINITIONS,
    DEPLOYMENTS,
    FUNCTIONS,
    LEASES,
    NAMESPACES,
    NETWORK_POLICIES,
    RUNTIMES,
)

POOL = "kubelambda-pool-python3-13"


@pytest.fixture
def installation(tmp_path: Any, control_plane: ControlPlane) -> Iterator[Installation]:
    """An installation for each test."""
    found = Installation(tmp_path, control_plane, SYSTEM_NAMESPACE)
    found.code_store()
    yield found
    found.stop()


def report(figure: str) -> None:
    """Shows a figure to those who run the tests with -s."""
    sys.stdout.write(f"\n{figure}")


async def holder(client: KubeClient) -> str:
    """Name of the operator that leads; empty when none does."""
    try:
        spec = (await client.get(LEASES, "kubelambda-operator", SYSTEM_NAMESPACE))["spec"]
    except NotFound:
        return ""
    return str(spec.get("holderIdentity") or "").partition("_")[0]


async def leads(client: KubeClient, name: str) -> bool:
    """Whether an operator leads."""
    return await holder(client) == name


async def versions(functions: Functions) -> dict[str, str]:
    """Resource versions of everything that the operator writes."""
    client, namespace = functions.client, functions.namespace
    objects: list[Object] = [
        await client.get(NAMESPACES, namespace),
        await client.get(DEPLOYMENTS, POOL, namespace),
        await client.get(NETWORK_POLICIES, "kubelambda-environments", namespace),
        await client.get(RUNTIMES, "python3.13"),
        *await listed(client, FUNCTIONS, namespace),
    ]
    return {body["metadata"]["uid"]: body["metadata"]["resourceVersion"] for body in objects}


async def test_a_second_run_changes_nothing(installation: Installation, functions: Functions) -> None:
    """Everything is looked at again after a start, and not one object is written."""
    first, _ = installation.operator("operator-1")
    functions.apply("good", reservedConcurrentExecutions=5)
    functions.apply("bad", runtime="nothing")
    await functions.ready("good")
    await functions.until("bad", lambda status: status["state"] == "Failed")
    await eventually(lambda: counted(functions))
    await eventually(lambda: named(functions))
    assert first.stop() == 0
    before = await versions(functions)
    _, port = installation.operator("operator-2")

    def looked() -> bool:
        return metric(port, 'kubelambda_reconcile_total{kind="Function",outcome="ok"}') >= 1

    await eventually(looked)
    functions.control_plane.kubectl("annotate", "namespace", functions.namespace, "kubelambda.dev/note=look-again")
    before[next(iter(before))] = (await versions(functions))[next(iter(before))]

    def looked_again() -> bool:
        return metric(port, 'kubelambda_reconcile_total{kind="Function",outcome="ok"}') >= 3

    await eventually(looked_again)
    assert await versions(functions) == before


async def counted(functions: Functions) -> bool:
    """Whether the Runtime's status counts the functions and the pool that there are, a little later than they come."""
    users = [body async for body in functions.client.each(FUNCTIONS) if body["spec"].get("runtime") == "python3.13"]
    status = (await functions.client.get(RUNTIMES, "python3.13")).get("status", {})
    return bool(status.get("functions") == len(users) and status.get("pools"))


async def named(functions: Functions) -> bool:
    """Whether the namespace has its policies, and its account id after them."""
    metadata = (await functions.client.get(NAMESPACES, functions.namespace))["metadata"]
    return labels.ACCOUNT_ID in (metadata.get("annotations") or {})


def metric(port: int, name: str) -> float:
    """A sample of the operator's metrics; 0 when it is not there."""
    found = re.search(rf"^{re.escape(name)} (\S+)$", http(f"http://127.0.0.1:{port}/metrics")[1], re.MULTILINE)
    return float(found.group(1)) if found else 0.0


async def test_a_killed_leader_is_replaced(installation: Installation, functions: Functions) -> None:
    """Within the time of its lease; a stopped one is replaced at once, because it gives the lease up."""
    leader, _ = installation.operator("operator-1")
    await eventually(lambda: leads(functions.client, "operator-1"))
    second, _ = installation.operator("operator-2")
    third, _ = installation.operator("operator-3")
    functions.apply("before")
    await functions.ready("before")
    leader.kill()
    killed = time.monotonic()
    functions.apply("after")
    await functions.ready("after")
    report(f"another operator made a Function ready {time.monotonic() - killed:.1f} s after the leader was killed")
    next_leader = {"operator-2": second, "operator-3": third}[await holder(functions.client)]
    name = await holder(functions.client)
    assert next_leader.stop() == 0
    assert await holder(functions.client) != name
    functions.apply("at-once")
    await functions.ready("at-once")


async def test_a_leader_that_cannot_renew_ends(installation: Installation, functions: Functions) -> None:
    """Somebody else holds the lease: the process is gone before it can write anything more."""
    leader, _ = installation.operator("operator-1")
    await eventually(lambda: leads(functions.client, "operator-1"))
    patch = {"spec": {"holderIdentity": "somebody-else", "leaseDurationSeconds": 15}}
    await functions.client.patch(LEASES, "kubelambda-operator", patch, SYSTEM_NAMESPACE)
    await eventually(lambda: leader.process.poll() is not None)
    assert leader.process.returncode == 1
    assert "is lost" in leader.log.read_text()
    await functions.client.delete(LEASES, "kubelambda-operator", SYSTEM_NAMESPACE)


async def test_a_restarted_api_server_is_survived(
    installation: Installation, functions: Functions, control_plane: ControlPlane
) -> None:
    """The same process goes on with what changes afterwards; where that was away for too long, the next one does."""
    operator, port = installation.operator("operator-1")
    functions.apply("before")
    await functions.ready("before")
    began = time.monotonic()
    control_plane.crash_api_server()
    control_plane.start_api_server()
    renewed = time.monotonic() - began < lease.RENEW_DEADLINE_S - 2 * lease.RETRY_S
    installation.operator("operator-2")  # a leader may end by then, and Kubernetes begins it anew
    functions.apply("after")
    await functions.ready("after")
    if renewed and "is used by transport" not in operator.log.read_text():  # an error of the event loop, now and then
        assert operator.process.poll() is None
        assert http(f"http://127.0.0.1:{port}/healthz") == (200, "ok")


async def test_a_watch_that_fails_for_good_ends_the_leader(
    installation: Installation, functions: Functions, control_plane: ControlPlane
) -> None:
    """By itself, though kopf does not end: it would lead on and hear of nothing."""
    leader, _ = installation.operator("operator-1", watch_fails=True)
    await eventually(lambda: leads(functions.client, "operator-1"))
    functions.apply("before")
    await functions.ready("before")
    installation.operator("operator-2")
    control_plane.crash_api_server()
    control_plane.start_api_server()
    await eventually(lambda: leader.process.poll() is not None)
    assert "is used by transport" in leader.log.read_text()
    functions.apply("after")
    await functions.ready("after")


async def test_an_api_server_that_stays_away_ends_the_leader(
    installation: Installation, functions: Functions, control_plane: ControlPlane
) -> None:
    """It cannot know whether another one leads by now. Its next life, or the other replica, goes on."""
    leader, _ = installation.operator("operator-1")
    await eventually(lambda: leads(functions.client, "operator-1"))
    follower, _ = installation.operator("operator-2")
    control_plane.crash_api_server()
    await eventually(lambda: leader.process.poll() is not None)
    assert (leader.process.returncode, follower.process.poll()) == (1, None)
    control_plane.start_api_server()
    functions.apply("after")
    await functions.ready("after")


async def test_what_happened_while_no_operator_ran_is_made_up_for(
    installation: Installation, functions: Functions
) -> None:
    """The last function went, and another namespace got its first one."""
    operator, _ = installation.operator("operator-1")
    functions.apply("last")
    await functions.ready("last")
    operator.stop()
    await functions.client.delete(FUNCTIONS, "last", functions.namespace)
    installation.operator("operator-2")

    async def nothing() -> bool:
        listed = [await functions.client.list(kind, functions.namespace) for kind in (DEPLOYMENTS, NETWORK_POLICIES)]
        return not any(found["items"] for found in listed)

    await eventually(nothing)


def ready(port: int) -> bool:
    """Whether an operator says that it is ready."""
    return http(f"http://127.0.0.1:{port}/readyz") == (200, "ok")


async def test_health_and_metrics_say_what_is(installation: Installation, functions: Functions) -> None:
    """A leader that has read the cluster is ready; the second replica is ready too, and does not lead."""
    _, first = installation.operator("operator-1")
    await eventually(lambda: leads(functions.client, "operator-1"))
    _, second = installation.operator("operator-2")
    functions.apply("measured")
    await functions.ready("measured")
    for port in (first, second):
        await eventually(partial(ready, port))
    assert metric(first, "kubelambda_leader") == 1
    assert metric(second, "kubelambda_leader") == 0
    await eventually(lambda: metric(first, 'kubelambda_reconcile_duration_seconds_count{kind="Function"}') >= 1)
    await eventually(
        lambda: metric(first, 'kubelambda_queue_depth{queue="quick"}') >= 1
    )  # the code store, every minute
    assert metric(second, 'kubelambda_queue_depth{queue="quick"}') == 0
    assert metric(first, "process_resident_memory_bytes") > 0


async def test_a_function_that_cannot_be_understood_stops_nobody(
    installation: Installation, functions: Functions
) -> None:
    """A status that somebody garbled is written anew; the others do not notice."""
    installation.operator("operator-1")
    functions.apply("garbled")
    functions.apply("good")
    await functions.ready("garbled")
    garbled: Object = {"status": {"state": "Active", "deployed": None, "conditions": []}}
    await functions.client.patch(FUNCTIONS, "garbled", garbled, functions.namespace, subresource="status")
    await functions.until("garbled", lambda status: condition(status, "Ready").get("status") == "True")
    await functions.ready("good")


async def test_two_hundred_functions_at_once(installation: Installation, functions: Functions) -> None:
    """All become Ready; prints how long it took and what memory the operator has."""
    operator, _ = installation.operator("operator-1")
    await eventually(lambda: leads(functions.client, "operator-1"))
    idle = operator.resident_mb
    manifests = [functions.manifest(f"many-{index}", code={"inline": f"x = {index}"}) for index in range(200)]
    started = time.monotonic()
    assert functions.control_plane.apply(manifests).returncode == 0
    applied = time.monotonic() - started

    async def all_ready() -> bool:
        items = (await functions.client.list(FUNCTIONS, functions.namespace))["items"]
        ready = [item for item in items if condition(item.get("status", {}), "Ready").get("status") == "True"]
        return len(ready) == 200

    await eventually(all_ready)
    took = time.monotonic() - started
    report(f"200 Functions: applied in {applied:.1f} s, Ready after {took:.1f} s")
    report(f"operator: {idle:.0f} MB idle, {operator.resident_mb:.0f} MB with 200 Functions")
    assert operator.resident_mb < 400


async def test_an_object_of_a_later_release_stops_nobody(
    installation: Installation, functions: Functions, control_plane: ControlPlane
) -> None:
    """It is skipped, counted, and told in an Event on it; when it can be read, it is an object like any other."""
    operator, port = installation.operator("operator-1")
    functions.apply("good")
    await functions.ready("good")
    definition = await functions.client.get(CUSTOM_RESOURCE_DEFINITIONS, "aliases.kubelambda.dev")
    definition["metadata"] = {
        "name": definition["metadata"]["name"],
        "resourceVersion": definition["metadata"]["resourceVersion"],
    }
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    schema["properties"]["functionVersion"] = {"x-kubernetes-preserve-unknown-fields": True}
    schema["x-kubernetes-validations"] = []
    replaced = control_plane.kubectl("replace", "--filename", "-", stdin=json.dumps(definition))
    assert replaced.returncode == 0, replaced.stderr
    try:
        spec = {"functionName": "good", "name": "later", "functionVersion": {"newest": True}}
        later = {"apiVersion": ALIASES.api_version, "kind": "Alias", "metadata": {"name": "later"}, "spec": spec}

        async def stored() -> bool:
            """The API server needs a moment for the new definition."""
            created = control_plane.kubectl(
                "--namespace", functions.namespace, "create", "--filename", "-", stdin=json.dumps(later)
            )
            return created.returncode == 0

        await eventually(stored)
        await eventually(lambda: metric(port, 'kubelambda_unreadable_objects{kind="Alias"}') == 1)

        def told() -> bool:
            """It is counted a moment before."""
            described = ("--namespace", functions.namespace, "describe", "alias", "later")
            said = control_plane.kubectl(*described).stdout.partition("Events:")[2]
            return "Unreadable" in said and "functionVersion" in said

        await eventually(told)
        functions.apply("good", timeout=9)
        await functions.ready("good")
        patch = {"spec": {"functionVersion": "$LATEST"}}
        await functions.client.patch(ALIASES, "later", patch, functions.namespace)
        await eventually(lambda: metric(port, 'kubelambda_unreadable_objects{kind="Alias"}') == 0)
        assert operator.process.poll() is None
    finally:
        control_plane.upgrade_definitions()
