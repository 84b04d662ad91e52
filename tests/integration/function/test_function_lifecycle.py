"""The life of a Function, seen through its status: the real operator, code store and API server (§1.4)."""

import base64
import hashlib
import io
import zipfile

from tests.integration.functions import Functions, condition, eventually
from tests.integration.preparation import RUNTIME
from tests.integration.processes import Installation

from kubelambda.kube.errors import NotFound
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import CONFIG_MAPS, DEPLOYMENTS, FUNCTIONS, NAMESPACES, NETWORK_POLICIES, SECRETS

POOL = "kubelambda-pool-python3-13"


def zipped(text: str) -> bytes:
    """An archive with one file."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as folder:
        folder.writestr("index.py", text)
    return archive.getvalue()


def stored(installation: Installation, sha256: str) -> bool:
    """Whether the code store's folder has an archive."""
    return (installation.blobs / sha256).is_file()


async def gone(client: KubeClient, *arguments: object) -> bool:
    """Whether an object is not there."""
    try:
        await client.get(*arguments)  # type: ignore[arg-type]
    except NotFound:
        return True
    return False


async def test_a_function_becomes_active_and_gets_what_it_needs(running: Installation, functions: Functions) -> None:
    """Code published, snapshot written, pool, policy and account id made."""
    functions.apply("hello", memorySize=256)
    status = await functions.ready("hello")
    assert (status["state"], status["lastUpdateStatus"]) == ("Active", "Successful")
    account = await eventually(lambda: account_id(functions))
    assert status["functionArn"] == f"arn:aws:lambda:us-east-1:{account}:function:hello"
    deployed = status["deployed"]
    assert (deployed["memorySize"], deployed["handler"]) == (256, "index.handler")
    assert base64.b64decode(status["codeSha256"]).hex() == deployed["code"]["sha256"]
    assert stored(running, deployed["code"]["sha256"])
    pool = await eventually(lambda: functions.client.find(DEPLOYMENTS, POOL, functions.namespace))
    assert pool["spec"]["replicas"] == 2
    assert pool["metadata"]["ownerReferences"][0]["kind"] == "Runtime"
    name = "kubelambda-environments"
    policy = await eventually(lambda: functions.client.find(NETWORK_POLICIES, name, functions.namespace))
    assert policy["spec"]["policyTypes"] == ["Ingress"]


async def account_id(functions: Functions) -> str | None:
    """The account id that the namespace has, as far as it has one: it is written beside the Function's own status."""
    metadata = (await functions.client.get(NAMESPACES, functions.namespace))["metadata"]
    found: str | None = (metadata.get("annotations") or {}).get("kubelambda.dev/account-id")
    return found


async def test_kubectl_waits_and_describes(running: Installation, functions: Functions) -> None:
    """`kubectl wait` ends, columns are filled, events are shown."""
    functions.apply("shown")
    kubectl = functions.control_plane.kubectl
    scope = ("--namespace", functions.namespace)
    waited = kubectl(*scope, "wait", "--for=condition=Ready", "function/shown", "--timeout=90s")
    assert waited.returncode == 0, waited.stderr
    row = kubectl(*scope, "get", "fn", "shown").stdout.splitlines()[1].split()
    assert row[:5] == ["shown", "python3.13", "Active", "128", "3"]
    assert "True" in row

    def told() -> bool:
        events = kubectl(*scope, "describe", "fn", "shown").stdout.partition("Events:")[2]
        return "Normal" in events and "Deployed" in events and "environments run this configuration" in events

    await eventually(told)


async def test_every_source_of_code_is_published(running: Installation, functions: Functions) -> None:
    """Inline text, a zip in the object, text and a zip in a ConfigMap."""
    archive = zipped("x = 2")
    text = base64.b64encode(archive).decode()
    manifest = {"metadata": {"name": "code"}, "data": {"text": "x = 1"}, "binaryData": {"zip": text}}
    await functions.client.create(CONFIG_MAPS, manifest, functions.namespace)
    functions.apply("inline", code={"inline": "x = 1"})
    functions.apply("text", code={"configMapRef": {"name": "code", "key": "text"}})
    functions.apply("zip-file", code={"zipFile": text})
    functions.apply("binary", code={"configMapRef": {"name": "code", "key": "zip"}})
    digests = {name: (await functions.ready(name))["codeSha256"] for name in ("inline", "text", "zip-file", "binary")}
    assert digests["inline"] == digests["text"]
    expected = base64.b64encode(hashlib.sha256(archive).digest()).decode()
    assert digests["zip-file"] == digests["binary"] == expected


async def test_an_update_makes_a_new_revision(running: Installation, functions: Functions) -> None:
    """Of code or configuration; a description changes nothing that runs."""
    functions.apply("updated")
    first = await functions.ready("updated")
    functions.apply("updated", description="only words")
    second = await functions.ready("updated")
    functions.apply("updated", code={"inline": "x = 2"})
    third = await functions.ready("updated")
    assert first["deployed"] == second["deployed"]
    assert first["lastModified"] == second["lastModified"]
    assert third["deployed"]["revision"] != second["deployed"]["revision"]
    assert third["lastModified"] > second["lastModified"]


async def test_a_broken_update_leaves_the_old_deployment(running: Installation, functions: Functions) -> None:
    """The status says what is wrong with Lambda's words; a good update repairs it."""
    functions.apply("survivor")
    before = await functions.ready("survivor")
    functions.apply("survivor", code={"zipFile": base64.b64encode(b"no archive").decode()})
    status = await functions.until("survivor", lambda status: status["lastUpdateStatus"] == "Failed")
    assert (status["state"], status["lastUpdateStatusReasonCode"]) == ("Active", "InvalidZipFileException")
    text = "Could not unzip uploaded file. Please check your file, then try to upload again."
    assert status["lastUpdateStatusReason"] == text
    assert status["deployed"] == before["deployed"]
    assert condition(status, "Stalled")["message"] == text
    functions.apply("survivor", code={"inline": "x = 3"})
    status = await functions.ready("survivor")
    assert condition(status, "Stalled") == {}


async def test_missing_references_are_named_until_they_are_there(running: Installation, functions: Functions) -> None:
    """Object and key, which the operator, that reads no Secret, hears from a frontend; Active once both exist."""
    running.frontend(running.frontend_port)
    source = {"name": "TOKEN", "secretKeyRef": {"name": "late", "key": "token"}}
    optional = {"name": "MODE", "configMapKeyRef": {"name": "nowhere", "key": "mode", "optional": True}}
    functions.apply("late", environment={"from": [source, optional]})
    status = await functions.until(
        "late", lambda status: "Secret late" in condition(status, "Ready").get("message", "")
    )
    message = condition(status, "Ready")["message"]
    assert (status["state"], condition(status, "Ready")["reason"]) == ("Failed", "ReferenceMissing")
    assert "Secret late does not exist" in message
    assert "token" in message
    assert "nowhere" not in message
    assert condition(status, "CodeReady")["status"] == "True"
    await functions.client.create(
        SECRETS, {"metadata": {"name": "late"}, "stringData": {"other": "x"}}, functions.namespace
    )
    await functions.until("late", lambda status: "has no key token" in condition(status, "Ready")["message"])
    await functions.client.patch(SECRETS, "late", {"stringData": {"token": "x"}}, functions.namespace)
    status = await functions.ready("late")
    assert status["state"] == "Active"


async def test_an_unknown_runtime_is_named_and_may_come_later(running: Installation, functions: Functions) -> None:
    """The Function becomes Active by itself when the Runtime appears, and loses its pool when that goes."""
    functions.apply("early", runtime="cobol85")
    status = await functions.until("early", lambda status: status["state"] == "Failed")
    assert status["stateReasonCode"] == "InvalidRuntime"
    assert "Runtime cobol85 does not exist; there are: " in status["stateReason"]
    assert "python3.13" in status["stateReason"]
    applied = functions.control_plane.apply([{**RUNTIME, "metadata": {"name": "cobol85"}}])
    assert applied.returncode == 0, applied.stderr
    await functions.ready("early")
    await eventually(lambda: has(functions, "kubelambda-pool-cobol85"))
    functions.control_plane.kubectl("delete", "runtime", "cobol85")
    status = await functions.until("early", lambda status: condition(status, "RuntimeReady").get("status") == "False")
    assert (status["state"], status["lastUpdateStatus"]) == ("Active", "Successful")
    await eventually(lambda: gone(functions.client, DEPLOYMENTS, "kubelambda-pool-cobol85", functions.namespace))


async def test_a_function_says_that_its_runtime_gets_no_environments_until_it_does(
    running: Installation, functions: Functions
) -> None:
    """As for an image that cannot be pulled: it is Active, is not Ready while its pool has none, and mends itself."""
    functions.apply("waits")
    await functions.ready("waits")

    async def pool(*, progressing: str, ready: int) -> None:
        told = {"type": "Progressing", "status": progressing, "reason": "Told", "message": "it has timed out."}
        status = {"conditions": [told], "readyReplicas": ready, "replicas": 2, "availableReplicas": ready}
        await functions.client.patch(DEPLOYMENTS, POOL, {"status": status}, functions.namespace, subresource="status")

    await eventually(lambda: has(functions, POOL))
    await pool(progressing="False", ready=0)
    status = await functions.until("waits", lambda status: condition(status, "Ready").get("status") == "False")
    assert (status["state"], status["lastUpdateStatus"]) == ("Active", "Successful")
    for kind in ("Ready", "RuntimeReady"):
        assert condition(status, kind)["reason"] == "PoolFailing"
        assert "it has timed out. See why: kubectl describe pods" in condition(status, kind)["message"]
    assert condition(status, "Reconciling")
    await pool(progressing="False", ready=1)
    status = await functions.ready("waits")
    assert condition(status, "RuntimeReady")["status"] == "False"
    await pool(progressing="True", ready=2)
    await functions.until("waits", lambda status: condition(status, "RuntimeReady").get("status") == "True")


async def has(functions: Functions, pool: str) -> bool:
    """Whether a pool is there."""
    return not await gone(functions.client, DEPLOYMENTS, pool, functions.namespace)


async def test_a_new_image_of_the_runtime_reaches_pools_and_revisions(
    running: Installation, functions: Functions
) -> None:
    """Environments of the old image are replaced."""
    runtime = {**RUNTIME, "metadata": {"name": "moving"}}
    assert functions.control_plane.apply([runtime]).returncode == 0
    functions.apply("moved", runtime="moving")
    before = await functions.ready("moved")
    runtime["spec"] = {**runtime["spec"], "image": "localhost/python:2"}  # type: ignore[dict-item]
    assert functions.control_plane.apply([runtime]).returncode == 0
    revision = before["deployed"]["revision"]
    await functions.until("moved", lambda status: status["deployed"]["revision"] != revision)

    async def rolled() -> bool:
        pool = await functions.client.find(DEPLOYMENTS, "kubelambda-pool-moving", functions.namespace)
        return pool is not None and pool["spec"]["template"]["spec"]["containers"][0]["image"] == "localhost/python:2"

    await eventually(rolled)
    functions.control_plane.kubectl("delete", "runtime", "moving")


async def test_an_annotation_sets_the_size_of_a_pool(running: Installation, functions: Functions) -> None:
    """At once, and somebody else's change of the Deployment is undone."""
    functions.apply("sized")
    await functions.ready("sized")
    kubectl = functions.control_plane.kubectl
    kubectl("annotate", "namespace", functions.namespace, "pool-size.kubelambda.dev/python3.13=5")

    async def five() -> bool:
        pool = await functions.client.find(DEPLOYMENTS, POOL, functions.namespace)
        return pool is not None and pool["spec"]["replicas"] == 5

    await eventually(five)
    kubectl("--namespace", functions.namespace, "scale", f"deployment/{POOL}", "--replicas=1")
    await eventually(five)


async def test_reservations_stay_within_the_account(running: Installation, functions: Functions) -> None:
    """Refused with Lambda's words, the previous grant stays, and what is given back goes to who waits."""
    functions.apply("first", reservedConcurrentExecutions=600)
    assert (await functions.ready("first"))["reservedConcurrentExecutions"] == 600
    functions.apply("second", reservedConcurrentExecutions=400)
    status = await functions.until("second", lambda status: bool(condition(status, "Stalled")))
    assert (status["state"], status.get("reservedConcurrentExecutions")) == ("Active", None)
    assert condition(status, "ConcurrencyGranted")["message"] == (
        "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
        "below its minimum value of [100]."
    )
    functions.apply("first", reservedConcurrentExecutions=950)
    status = await functions.until("first", lambda status: bool(condition(status, "Stalled")))
    assert status["reservedConcurrentExecutions"] == 600
    functions.apply("first", reservedConcurrentExecutions=500)
    assert (await functions.ready("first"))["reservedConcurrentExecutions"] == 500
    assert (await functions.ready("second"))["reservedConcurrentExecutions"] == 400
    functions.control_plane.kubectl(
        "annotate", "namespace", functions.namespace, "kubelambda.dev/concurrent-executions=2000"
    )
    functions.apply("first", reservedConcurrentExecutions=1500)
    assert (await functions.ready("first"))["reservedConcurrentExecutions"] == 1500


async def test_of_many_reservations_at_once_never_too_many_are_granted(
    running: Installation, functions: Functions
) -> None:
    """Twelve ask for a hundred each where nine hundred can be had."""
    names = [f"asks-{index:02}" for index in range(12)]
    manifests = [functions.manifest(name, reservedConcurrentExecutions=100) for name in names]
    assert functions.control_plane.apply(manifests).returncode == 0
    for name in names:
        await functions.until(name, lambda status: bool(condition(status, "Ready")))
    granted = [(await functions.status(name)).get("reservedConcurrentExecutions", 0) for name in names]
    assert sorted(granted) == [0] * 3 + [100] * 9


async def test_a_changed_config_map_is_deployed(running: Installation, functions: Functions) -> None:
    """Any look at the Function finds the new text."""
    manifest = {"metadata": {"name": "source"}, "data": {"index.py": "x = 1"}}
    await functions.client.create(CONFIG_MAPS, manifest, functions.namespace)
    functions.apply("following", code={"configMapRef": {"name": "source", "key": "index.py"}})
    before = await functions.ready("following")
    await functions.client.patch(CONFIG_MAPS, "source", {"data": {"index.py": "x = 2"}}, functions.namespace)
    functions.control_plane.kubectl(
        "--namespace", functions.namespace, "patch", "fn", "following", "--type=merge", '--patch={"spec":{"timeout":4}}'
    )
    await functions.until("following", lambda status: status["codeSha256"] != before["codeSha256"])


async def test_deleting_the_last_function_leaves_nothing(running: Installation, functions: Functions) -> None:
    """Pool and policy go; with another function there they stay."""
    functions.apply("one")
    functions.apply("two")
    await functions.ready("one")
    await functions.ready("two")
    await eventually(lambda: has(functions, POOL))
    await functions.client.delete(FUNCTIONS, "one", functions.namespace)
    functions.apply("two", timeout=5)
    await functions.ready("two")
    assert await has(functions, POOL)
    await functions.client.delete(FUNCTIONS, "two", functions.namespace)
    await eventually(lambda: gone(functions.client, DEPLOYMENTS, POOL, functions.namespace))
    await eventually(lambda: gone(functions.client, NETWORK_POLICIES, "kubelambda-environments", functions.namespace))


async def test_a_runtime_counts_its_functions(running: Installation, functions: Functions) -> None:
    """In the columns of `kubectl get runtimes`."""
    runtime = {**RUNTIME, "metadata": {"name": "counted"}}
    assert functions.control_plane.apply([runtime]).returncode == 0
    functions.apply("one", runtime="counted")
    functions.apply("two", runtime="counted")

    def counted() -> bool:
        lines = functions.control_plane.kubectl("get", "rt", "counted").stdout.splitlines()
        return lines[1].split()[1:7] == ["localhost/python:1", "python", "2", "2", "0", "True"]

    await eventually(counted)
    functions.control_plane.kubectl("delete", "runtime", "counted")
