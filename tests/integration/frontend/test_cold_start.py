"""From nothing to an answer, and what is left when it comes to nothing: real API server, code store and agents."""

import asyncio
import base64

import pytest
from prometheus_client import generate_latest
from tests.eventually import eventually
from tests.integration.loopback import Cluster, Relay
from tests.integration.processes import KEY

from kubelambda.api import labels
from kubelambda.core.environment import start_backoff, strays
from kubelambda.core.environment.pool_identity import PoolIdentity
from kubelambda.frontend.account import stray_collection
from kubelambda.frontend.cluster import unseen_functions
from kubelambda.frontend.cold_start import claiming, unclaimed_pods
from kubelambda.frontend.cold_start.creation import Creation
from kubelambda.frontend.cold_start.held_pods import HeldPods
from kubelambda.frontend.cold_start.start import Target
from kubelambda.frontend.frontend import Frontend
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import CONFIG_MAPS, FUNCTIONS, NAMESPACES, SECRETS
from kubelambda.store.code.code_store import CodeStore

ECHO = "def handler(event, context): return event"
BROKEN = "raise RuntimeError('no luck')\ndef handler(event, context): return event"


async def test_a_pool_pod_answers_the_first_call(cluster: Cluster) -> None:
    """And is the function's from then on."""
    await cluster.function("echo", ECHO)
    (pod,) = await cluster.pool(1)
    await cluster.frontend()
    answer = await cluster.invoke("echo", {"n": 1})
    assert (answer.status, answer.json) == (200, {"n": 1})

    async def claimed() -> bool:
        return await cluster.claimed_pods() == [pod]

    await eventually(claimed)


async def test_a_failed_init_leaves_no_pod_and_is_not_repeated_for_every_call(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every caller hears why; the pool keeps its pods though the function is called again and again."""
    monkeypatch.setattr(start_backoff, "_PAUSE_S", 600.0)
    monkeypatch.setattr(start_backoff, "PAUSE_MAX_S", 600.0)
    await cluster.function("broken", BROKEN)
    await cluster.pool(6)
    await cluster.frontend()
    for _ in range(20):
        answer = await cluster.invoke("broken")
        assert answer.headers["X-Amz-Function-Error"] == "Unhandled"
        assert answer.json["errorMessage"] == "no luck"

    async def cleaned() -> bool:
        return await cluster.claimed_pods() == []

    await eventually(cleaned)
    assert len(await cluster.pool_pods()) >= 2


async def test_whoever_asks_for_the_log_gets_that_of_an_init_that_failed(cluster: Cluster) -> None:
    """There is no other; whoever does not ask gets none."""
    await cluster.function("broken", "print('before it broke')\n" + BROKEN)
    await cluster.pool(4)
    await cluster.frontend()
    for number in range(5):  # the last ones begin no INIT
        answer = await cluster.invoke("broken", headers={"X-Amz-Log-Type": "Tail"})
        assert answer.json["errorMessage"] == "no luck"
        log = base64.b64decode(answer.headers["X-Amz-Log-Result"]).decode()
        assert log.startswith("INIT_START "), number
        assert log.index("before it broke\n") < log.index("[ERROR] RuntimeError: no luck") < log.index("INIT_REPORT ")
    assert "X-Amz-Log-Result" not in (await cluster.invoke("broken")).headers


async def test_a_function_that_is_mended_starts_at_once(cluster: Cluster) -> None:
    """What failed was another revision."""
    await cluster.function("mended", BROKEN)
    await cluster.pool(6)
    await cluster.frontend()
    for _ in range(5):
        assert "X-Amz-Function-Error" in (await cluster.invoke("mended")).headers
    await cluster.function("mended", ECHO, revision="b" * 16)

    async def works() -> bool:
        return "X-Amz-Function-Error" not in (await cluster.invoke("mended")).headers

    await eventually(works)


async def test_no_pool_pod_is_taken_while_the_code_store_is_away(cluster: Cluster) -> None:
    """The request waits for the store, and is answered when that is back."""
    await cluster.function("patient", ECHO)
    await cluster.pool(3)
    real, missing = cluster.store, CodeStore("http://127.0.0.1:9", KEY)
    async with missing:
        cluster.store = missing
        frontend = await cluster.frontend()
        call = cluster.calls("patient", 1)[0]
        await asyncio.sleep(2)
        assert not call.done()
        assert len(await cluster.pool_pods()) == 3
        frontend._archives._store = real
        assert (await call).status == 200


async def test_a_variable_without_a_value_is_an_error_of_its_own(cluster: Cluster) -> None:
    """At once, with what is missing, and without a pod; and no error any more once it is there."""
    reference = {"name": "TOKEN", "secretKeyRef": {"name": "api", "key": "token"}}
    await cluster.function("secretive", ECHO, environment={"from": [reference]})
    await cluster.pool(1)
    await cluster.frontend()
    answer = await cluster.invoke("secretive")
    assert answer.status == 502
    assert answer.json["Message"] == "The function cannot start: TOKEN: Secret api does not exist"
    assert len(await cluster.pool_pods()) == 1
    await cluster.client.create(SECRETS, {"metadata": {"name": "api"}, "data": {"token": "/w=="}}, cluster.namespace)
    assert "no UTF-8" in (await cluster.invoke("secretive")).json["Message"]
    await cluster.client.patch(SECRETS, "api", {"data": {"token": "c2VzYW1l"}}, cluster.namespace)

    async def works() -> bool:
        return (await cluster.invoke("secretive")).status == 200

    await eventually(works)


async def test_functions_get_the_credentials_of_their_account(cluster: Cluster) -> None:
    """Out of the Secret that their namespace names; one that does not exist is an error of its own."""
    code = "import os\ndef handler(event, context):\n    return dict(os.environ)"
    annotations = {labels.CREDENTIALS_SECRET: "role"}
    await cluster.client.patch(NAMESPACES, cluster.namespace, {"metadata": {"annotations": annotations}})
    await cluster.function("signing", code)
    await cluster.pool(1)
    await cluster.frontend()
    message = "The function cannot start: AWS_ACCESS_KEY_ID: Secret role does not exist"
    assert (await cluster.invoke("signing")).json["Message"] == message
    secret = {"metadata": {"name": "role"}, "stringData": {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key"}}
    await cluster.client.create(SECRETS, secret, cluster.namespace)

    async def given() -> bool:
        found = (await cluster.invoke("signing")).json
        return (found.get("AWS_ACCESS_KEY_ID"), found.get("AWS_SECRET_ACCESS_KEY")) == ("id", "key")

    await eventually(given)


async def test_binary_data_of_a_config_map_is_no_variable(cluster: Cluster) -> None:
    """And the error says where it is."""
    reference = {"name": "BLOB", "configMapKeyRef": {"name": "blobs", "key": "one"}}
    manifest = {"metadata": {"name": "blobs"}, "binaryData": {"one": "/w=="}}
    await cluster.client.create(CONFIG_MAPS, manifest, cluster.namespace)
    await cluster.function("binary", ECHO, environment={"from": [reference]})
    await cluster.frontend()
    assert "key one in its binaryData" in (await cluster.invoke("binary")).json["Message"]


async def test_a_start_that_waits_takes_the_pool_pod_that_appears(cluster: Cluster) -> None:
    """Though it has made a pod of its own, which finds no place; that one goes."""
    await cluster.function("waiting", ECHO)
    cluster.agents.schedules = lambda pod: "kubelambda.dev/pool" in pod["metadata"]["labels"]
    await cluster.frontend()
    call = cluster.calls("waiting", 1)[0]

    async def own() -> bool:
        return len(await cluster.claimed_pods()) == 1

    await eventually(own)
    (pooled,) = await cluster.pool(1)
    assert (await call).status == 200

    async def only_that() -> bool:
        return await cluster.claimed_pods() == [pooled]

    await eventually(only_that)


async def test_a_start_that_nobody_waits_for_any_more_is_given_up(cluster: Cluster) -> None:
    """Requests that a busy environment takes after all leave none behind those that are stuck."""
    await cluster.function("busy", "import time\ndef handler(event, context): time.sleep(event)")
    await cluster.pool(1)
    await cluster.frontend(concurrent_pod_creations=2, start_timeout_seconds=600)
    cluster.agents.schedules = lambda _: False
    for _ in range(5):
        answers = await asyncio.gather(*cluster.calls("busy", 8, 0.02))
        assert {answer.status for answer in answers} == {200}

    def left() -> bool:
        names = [getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()]
        return names.count("EnvironmentStarts._run") <= 2

    await eventually(left)


async def test_an_api_server_that_is_away_poisons_no_pool(cluster: Cluster, relay: Relay, relayed: KubeClient) -> None:
    """Calls are answered meanwhile; claims and deletions are made up for when it is back."""
    await cluster.function("echo", ECHO)
    await cluster.function("broken", BROKEN)
    await cluster.pool(2)
    await cluster.frontend(client=relayed)
    relay.cut()
    assert (await cluster.invoke("echo", 7)).json == 7
    assert "X-Amz-Function-Error" in (await cluster.invoke("broken")).headers
    await asyncio.sleep(1)
    assert len(await cluster.pool_pods()) == 2
    relay.mend()

    async def settled() -> bool:
        return len(await cluster.claimed_pods()) == 1 and await cluster.pool_pods() == []

    await eventually(settled)
    assert (await cluster.invoke("echo", 8)).json == 8


def tried_first(monkeypatch: pytest.MonkeyPatch, cluster: Cluster, frontend: Frontend, names: list[str]) -> None:
    """Starts try these pods before all others: which of several is first is nowhere said."""
    uids = {frontend.caches.pods.items[cluster.namespace, name].uid for name in names}
    monkeypatch.setattr(HeldPods, "ranking", lambda *_: lambda uid: int(uid not in uids))


async def test_a_pool_pod_that_serves_already_is_passed_over_and_becomes_what_it_is(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever specialized it never told Kubernetes: the next start takes another one, and tells it in its place."""
    await cluster.function("echo", ECHO)
    await cluster.function("other", ECHO)
    taken = await cluster.pool(2)
    frontend = await cluster.frontend()
    for pod in taken:
        await cluster.specialize(frontend, "other", pod)
    tried_first(monkeypatch, cluster, frontend, taken)
    await cluster.pool(1, seen_by=frontend)
    assert (await cluster.invoke("echo", 1)).json == 1

    async def known() -> bool:
        functions = [pod["metadata"]["labels"].get(labels.FUNCTION) for pod in await cluster.pods()]
        return sorted(map(str, functions)) == ["echo", "other", "other"]

    await eventually(known)
    await cluster.heard(frontend, 3)
    assert (await cluster.invoke("other", 2)).json == 2
    assert len(await cluster.pods()) == 3


async def test_a_pool_pod_of_a_function_that_is_gone_goes(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once: nobody will ever call it."""
    await cluster.function("echo", ECHO)
    await cluster.function("other", ECHO)
    (taken,) = await cluster.pool(1)
    frontend = await cluster.frontend()
    await cluster.specialize(frontend, "other", taken)
    tried_first(monkeypatch, cluster, frontend, [taken])
    await cluster.client.delete(FUNCTIONS, "other", cluster.namespace)
    await eventually(lambda: (cluster.namespace, "other") not in frontend.caches.functions.items)
    (fresh,) = await cluster.pool(1, seen_by=frontend)
    assert (await cluster.invoke("echo", 1)).json == 1

    async def gone() -> bool:
        return [pod["metadata"]["name"] for pod in await cluster.pods()] == [fresh]

    await eventually(gone)


async def test_a_pool_pod_that_says_nothing_of_whose_it_is_goes_later(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its agent obeys a token that is none of ours: no claim can ever be completed.

    It goes out of the pool, or as nobody's if the claim that came with the attempt arrived all the same.
    """
    monkeypatch.setattr(claiming, "_POISONED_S", 0.5)
    monkeypatch.setattr(strays, "PATIENCE_S", 2)
    monkeypatch.setattr(stray_collection, "INTERVAL_S", 0.5)
    monkeypatch.setattr(unclaimed_pods.UnclaimedPods, "look", lambda *_: None)
    await cluster.function("echo", ECHO)
    await cluster.function("other", ECHO)
    (taken,) = await cluster.pool(1)
    frontend = await cluster.frontend()
    await cluster.specialize(frontend, "other", taken)
    tried_first(monkeypatch, cluster, frontend, [taken])
    (fresh,) = await cluster.pool(1, seen_by=frontend)
    assert (await cluster.invoke("echo", 1)).json == 1

    async def purged() -> bool:
        return await cluster.pool_pods() == [] and await cluster.claimed_pods() == [fresh]

    await eventually(purged)


async def test_a_function_that_nobody_has_seen_yet_is_looked_up(
    cluster: Cluster, relay: Relay, relayed: KubeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deployed and called at once: never a 404; and one that does not exist is not asked for with every call."""
    monkeypatch.setattr(unseen_functions, "ABSENT_S", 600.0)
    frontend = await cluster.frontend(client=relayed)
    assert (await cluster.invoke("absent")).status == 404
    gets = []
    get = relayed.get

    async def counted(*arguments: object) -> object:
        gets.append(arguments)
        return await get(*arguments)  # type: ignore[arg-type]

    relayed.get = counted  # type: ignore[assignment]
    answers = await asyncio.gather(*cluster.calls("nowhere", 20))
    assert {answer.status for answer in answers} == {404}
    assert len(gets) < 4
    frontend.caches.functions._replace = lambda *_: None  # type: ignore[method-assign]
    await cluster.function("new", ECHO)
    await cluster.pool(1)
    assert (await cluster.invoke("new", 1)).status == 200


async def test_before_the_first_look_nobody_is_told_that_a_function_does_not_exist(
    cluster: Cluster, relay: Relay, relayed: KubeClient
) -> None:
    """503 with Retry-After, as long as nothing is known; and after an outage begins, too."""
    await cluster.function("echo", ECHO)
    frontend = await cluster.frontend(client=relayed)
    frontend.caches.functions.synced.clear()  # though it could ask for this one
    assert (await cluster.invoke("unknown")).status == 503
    frontend.caches.functions.synced.set()
    relay.cut()
    answer = await cluster.invoke("unknown")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    relay.mend()


async def test_a_deleted_function_starts_nothing_any_more(cluster: Cluster) -> None:
    """Who waits is told that it is gone, and no pod is made for it again."""
    await cluster.function("going", ECHO)
    cluster.agents.schedules = lambda _: False
    frontend = await cluster.frontend()
    call = cluster.calls("going", 1)[0]

    async def made() -> bool:
        return len(await cluster.claimed_pods()) == 1

    await eventually(made)
    await cluster.client.delete(FUNCTIONS, "going", cluster.namespace)
    assert (await call).status == 404
    await eventually(lambda: frontend.in_flight == 0)


async def test_a_start_that_fails_as_nobody_expected_answers_and_leaves_nothing(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its caller hears at once; later calls wait for no start that is not there."""
    await cluster.function("echo", ECHO)
    frontend = await cluster.frontend()
    create, broken = Creation.create, 1

    async def once(creation: Creation, target: Target, pool: PoolIdentity) -> tuple[str, str]:
        nonlocal broken
        if broken:
            broken -= 1
            raise RecursionError("nobody expected this")
        return await create(creation, target, pool)

    monkeypatch.setattr(Creation, "create", once)
    assert (await cluster.invoke("echo")).status == 500
    assert frontend.in_flight == 0
    assert (await cluster.invoke("echo", 1)).json == 1


async def test_the_series_of_a_function_go_with_it(cluster: Cluster) -> None:
    """Those of its throttles too."""
    await cluster.function("going", ECHO, reserved=0)
    frontend = await cluster.frontend()
    assert (await cluster.invoke("going")).status == 429
    assert 'function="going"' in generate_latest(frontend.metrics.registry).decode()
    await cluster.client.delete(FUNCTIONS, "going", cluster.namespace)
    await eventually(lambda: 'function="going"' not in generate_latest(frontend.metrics.registry).decode())
