"""Layers are published as versions, and functions deployed with them: the real operator, store and API server."""

import asyncio
import base64
import hashlib
import io
import json
import time
import zipfile
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from aiohttp import web
from tests.integration.control_plane import ControlPlane
from tests.integration.functions import Functions, condition, eventually, told
from tests.integration.processes import Installation
from tests.integration.stage import Stage

from kubelambda.kube.errors import NotFound
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import FUNCTIONS, LAYER_VERSIONS, LAYERS


def zipped(**files: str) -> bytes:
    """An archive of `python/<name>.py` files: the same bytes for the same files."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as folder:
        for name, text in files.items():
            folder.writestr(zipfile.ZipInfo(f"python/{name}.py"), text, zipfile.ZIP_DEFLATED)
    return archive.getvalue()


class Layers:
    """Layers of one namespace, as their users see them."""

    def __init__(self, control_plane: ControlPlane, client: KubeClient, namespace: str) -> None:
        self.control_plane = control_plane
        self.client = client
        self.namespace = namespace

    def apply(self, name: str, data: bytes | None = None, **spec: Any) -> None:
        """`kubectl apply` of a Layer that must be accepted."""
        content = {} if data is None else {"content": {"zipFile": base64.b64encode(data).decode()}}
        manifest = {
            "apiVersion": "kubelambda.dev/v1alpha1",
            "kind": "Layer",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {**content, **spec},
        }
        applied = self.control_plane.apply([manifest])
        assert applied.returncode == 0, applied.stderr

    async def until(self, name: str, holds: Callable[[Object], bool], seconds: float = 90) -> Object:
        """Its status once that speaks of the current generation and `holds`."""
        deadline = time.monotonic() + seconds
        while True:
            found = await self.client.get(LAYERS, name, self.namespace)
            status: Object = found.get("status", {})
            if status.get("observedGeneration") == found["metadata"]["generation"] and holds(status):
                return status
            assert time.monotonic() < deadline, json.dumps(status, indent=1)
            await asyncio.sleep(0.05)

    async def ready(self, name: str) -> Object:
        """Its status once Ready is True."""
        return await self.until(name, lambda status: condition(status, "Ready").get("status") == "True")

    async def version(self, name: str, number: int) -> Object:
        """A LayerVersion."""
        return await self.client.get(LAYER_VERSIONS, f"{name}-{number}", self.namespace)


@pytest.fixture
def layers(control_plane: ControlPlane, client: KubeClient, namespace: str) -> Layers:
    """Layers of the test's namespace."""
    return Layers(control_plane, client, namespace)


@pytest.fixture(scope="module")
def running(stage: Stage) -> Installation:
    """An installation that forgets archives quickly."""
    return stage.operated(codeRetentionSeconds=5)


async def test_every_change_of_content_is_published_once(running: Installation, layers: Layers) -> None:
    """Numbers grow, versions are owned by their Layer and cannot be edited, and the same content is no new version."""
    first, second = zipped(shared="name = 1"), zipped(shared="name = 2")
    layers.apply("numpy", first, compatibleRuntimes=["python3.13"], description="one")
    status = await layers.ready("numpy")
    assert status["latestVersion"] == 1
    assert status["latestVersionArn"].endswith(":layer:numpy:1")
    version = await layers.version("numpy", 1)
    assert version["spec"]["content"]["sha256"] == hashlib.sha256(first).hexdigest()
    assert version["spec"]["content"]["unzippedSize"] == len("name = 1")
    assert version["metadata"]["ownerReferences"][0]["name"] == "numpy"
    layers.apply("numpy", second, compatibleRuntimes=["python3.13"], description="one")
    assert (await layers.until("numpy", lambda status: status.get("latestVersion") == 2))["latestVersion"] == 2
    changed = layers.control_plane.kubectl(
        "patch",
        "layerversion",
        "numpy-1",
        "--namespace",
        layers.namespace,
        "--type=merge",
        "--patch",
        json.dumps({"spec": {"description": "other"}}),
    )
    assert "a published layer version is never changed" in changed.stderr
    with pytest.raises(NotFound):
        await layers.version("numpy", 3)


async def test_a_version_in_use_is_held_until_nobody_uses_it(
    running: Installation, layers: Layers, functions: Functions
) -> None:
    """Whoever deletes it is told who uses it; when they name another one, it goes, and its number is not used again."""
    layers.apply("held", zipped(a="1"))
    arn = (await layers.ready("held"))["latestVersionArn"]
    functions.apply("user", layers=["held:1"])
    await functions.ready("user")
    await layers.client.delete(LAYER_VERSIONS, "held-1", layers.namespace)

    async def refused() -> str:
        status = (await layers.version("held", 1)).get("status", {})
        return str(condition(status, "DeletionRefused").get("message", ""))

    assert "Function user" in await eventually(refused)
    assert (await layers.version("held", 1))["status"]["layerVersionArn"] == arn
    functions.apply("user", layers=[])

    async def gone() -> bool:
        return await layers.client.find(LAYER_VERSIONS, "held-1", layers.namespace) is None

    await eventually(gone)
    layers.apply("held", zipped(a="2"))
    assert (await layers.until("held", lambda status: status.get("latestVersion") == 2))["latestVersion"] == 2


async def test_a_function_is_deployed_with_its_layers_in_order(
    running: Installation, layers: Layers, functions: Functions
) -> None:
    """Names and ARNs do; the snapshot has the digests; a layer that comes later makes a waiting function ready."""
    first, second = zipped(a="1"), zipped(b="2")
    layers.apply("first", first)
    arn = (await layers.ready("first"))["latestVersionArn"]
    functions.apply("uses", layers=["second:1", arn])
    status = await functions.until("uses", lambda status: status["state"] == "Failed")
    assert status["stateReason"].endswith(":layer:second:1 does not exist.")
    assert condition(status, "LayersReady")["reason"] == "LayerNotFound"
    layers.apply("second", second)
    status = await functions.ready("uses")
    assert [layer["sha256"] for layer in status["deployed"]["layers"]] == [
        hashlib.sha256(data).hexdigest() for data in (second, first)
    ]
    assert status["deployed"]["layers"][1] == {
        "arn": arn,
        "sha256": hashlib.sha256(first).hexdigest(),
        "size": len(first),
    }


async def test_layers_that_do_not_fit_are_refused_with_lambdas_words(
    running: Installation, layers: Layers, functions: Functions
) -> None:
    """Twice the same layer, another runtime, another region, more than five."""
    layers.apply("node", zipped(a="1"), compatibleRuntimes=["nodejs20.x"])
    arn = (await layers.ready("node"))["latestVersionArn"]
    cases = [
        (["node:1", "node:2"], "Two different versions of the same layer are not allowed to be referenced"),
        (["node:1"], f"Layer version {arn} is compatible with nodejs20.x, not with python3.13."),
        ([arn.replace("us-east-1", "eu-west-1")], "Layers are expected to be in region us-east-1."),
    ]
    for number, (names, said) in enumerate(cases):
        functions.apply(f"refused-{number}", layers=names)
        status = await functions.until(f"refused-{number}", lambda status: status["state"] == "Failed")
        assert said in status["stateReason"]
        assert condition(status, "Stalled")["reason"] == "InvalidLayers"
    manifest = functions.manifest("six", layers=[f"layer-{number}:1" for number in range(6)])
    refused = functions.control_plane.apply([manifest])
    assert "Cannot reference more than 5 layers." in refused.stderr


async def test_code_and_layers_have_one_limit_together(
    running: Installation, layers: Layers, functions: Functions
) -> None:
    """Each is small enough alone; together they are not, and the previous deployment stays."""
    half = zipped(zeros="\0" * 131_072_000)
    layers.apply("half", half)
    layers.apply("other", zipped(zeros="\0" * 131_071_999, more=""))
    await layers.until("half", lambda status: "latestVersion" in status)
    await layers.until("other", lambda status: "latestVersion" in status)
    functions.apply("large", layers=["half:1"])
    before = await functions.ready("large")
    functions.apply("large", layers=["half:1", "other:1"])
    status = await functions.until("large", lambda status: status["lastUpdateStatus"] == "Failed")
    assert status["lastUpdateStatusReason"] == (
        "Function code combined with layers exceeds the maximum allowed size of 262144000 bytes. "
        f"The actual size is {131_072_000 + 131_071_999 + len('x = 1')} bytes."
    )
    assert status["deployed"] == before["deployed"]


async def test_archives_stay_while_a_version_has_them(running: Installation, layers: Layers) -> None:
    """The archive of an old version is kept; what nobody has any more is collected."""
    old, new = zipped(kept="old"), zipped(kept="new")
    layers.apply("kept", old)
    await layers.ready("kept")
    layers.apply("kept", new)
    await layers.until("kept", lambda status: status.get("latestVersion") == 2)
    blobs = running.folder / "blobs"
    old_digest, new_digest = (hashlib.sha256(data).hexdigest() for data in (old, new))
    await layers.client.delete(LAYER_VERSIONS, "kept-1", layers.namespace)
    await eventually(lambda: not (blobs / old_digest).exists())
    assert (blobs / new_digest).exists()


async def test_content_comes_from_an_address_too(running: Installation, layers: Layers) -> None:
    """Fetched once, verified; a digest that is wrong is told, and nothing is published."""
    data = zipped(remote="1")
    requests: list[str] = []

    async def serve(request: web.Request) -> web.Response:
        requests.append(request.path)
        return web.Response(body=data)

    app = web.Application()
    app.router.add_get("/{name}", serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        address = f"http://127.0.0.1:{runner.addresses[0][1]}/layer.zip"
        layers.apply("remote", content={"url": address, "sha256": "0" * 64})
        status = await layers.until(
            "remote",
            lambda status: (
                condition(status, "Ready").get("status") == "False"
                and condition(status, "Ready")["reason"] == "InvalidCode"
            ),
        )
        assert "latestVersion" not in status
        layers.apply("remote", content={"url": address, "sha256": hashlib.sha256(data).hexdigest()})
        assert (await layers.ready("remote"))["latestVersion"] == 1
        fetched = len(requests)
        layers.apply("remote", description="new", content={"url": address, "sha256": hashlib.sha256(data).hexdigest()})
        await layers.until("remote", lambda status: status.get("latestVersion") == 2)
        assert len(requests) == fetched
    finally:
        await runner.cleanup()


async def test_a_forged_version_is_no_key_to_the_content_of_another_account(
    running: Installation, layers: Layers, functions: Functions
) -> None:
    """Who writes a LayerVersion by hand knows a digest, and cannot sign for it."""
    layers.apply("private", zipped(secret="1"))
    await layers.ready("private")
    stolen = (await layers.version("private", 1))["spec"]
    elsewhere = {
        "apiVersion": "kubelambda.dev/v1alpha1",
        "kind": "LayerVersion",
        "metadata": {"name": "private-1", "namespace": "default"},
        "spec": stolen,
    }
    assert layers.control_plane.apply([elsewhere]).returncode == 0
    stranger = Functions(functions.control_plane, functions.client, "default")
    stranger.apply("thief", layers=["private:1"])
    status = await stranger.until("thief", lambda status: status["state"] == "Failed")
    assert "was not published by this installation" in status["stateReason"]
    await functions.client.delete(FUNCTIONS, "thief", "default")
    await functions.client.delete(LAYER_VERSIONS, "private-1", "default")


SHARED = {"version": 1, "statementId": "all", "principal": "*"}


@pytest.fixture
def guest(functions: Functions, other_namespace: str) -> Functions:
    """Functions of another account than that of the test's layers."""
    return Functions(functions.control_plane, functions.client, other_namespace)


def denied(status: Object, arn: str) -> bool:
    """Whether a function is refused a layer of another account in AWS's words."""
    text = f" is not authorized to perform: lambda:GetLayerVersion on resource: {arn} because no resource-based policy"
    return text in status.get("stateReason", "") and condition(status, "LayersReady")["reason"] == "LayerNotFound"


async def test_a_layer_of_another_account_takes_its_permission(
    running: Installation, layers: Layers, guest: Functions
) -> None:
    """Missing or not shared is one answer; a permission makes it ready; without it, what is deployed stays."""
    data = zipped(a="1")
    layers.apply("tools", data)
    arn = (await layers.ready("tools"))["latestVersionArn"]
    absent = arn.replace(":tools:", ":none:")
    for name, wanted in (("user", arn), ("waits", absent)):
        guest.apply(name, layers=[wanted])
        await guest.until(name, partial(denied, arn=wanted))
    stranger = SHARED | {"principal": "999999999999"}
    layers.apply("tools", data, permissions=[stranger, SHARED | {"version": 2}])
    layers.apply("tools", data, permissions=[SHARED])
    status = await guest.ready("user")
    deployed = [{"arn": arn, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}]
    assert status["deployed"]["layers"] == deployed
    layers.apply("tools", data, permissions=[])
    await layers.ready("tools")
    guest.apply("late", layers=[arn])
    await guest.until("late", lambda status: denied(status, arn))
    guest.apply("user", layers=[arn], memorySize=256)
    status = await guest.until("user", lambda status: status["deployed"]["memorySize"] == 256)
    assert status["deployed"]["layers"] == deployed


async def test_a_version_that_other_accounts_use_is_held(
    running: Installation, layers: Layers, guest: Functions
) -> None:
    """Its owner is told which accounts, and nothing more; who only names it holds nothing; its archive stays."""
    data = zipped(a="held elsewhere")
    layers.apply("common", data, permissions=[SHARED])
    arn = (await layers.ready("common"))["latestVersionArn"]
    guest.apply("secretive", layers=[arn])
    account = (await guest.ready("secretive"))["functionArn"].split(":")[4]
    await told(layers.client, "Function", "secretive", guest.namespace, "Deployed")
    await layers.client.delete(LAYER_VERSIONS, "common-1", layers.namespace)

    async def refused() -> str:
        status = (await layers.version("common", 1)).get("status", {})
        return str(condition(status, "DeletionRefused").get("message", ""))

    said = await eventually(refused)
    assert f"account {account}" in said
    assert "secretive" not in said
    guest.apply("later", layers=[arn])
    await guest.until("later", lambda status: denied(status, arn))
    assert (running.folder / "blobs" / hashlib.sha256(data).hexdigest()).exists()
    guest.apply("secretive", layers=[])

    async def gone() -> bool:
        return await layers.client.find(LAYER_VERSIONS, "common-1", layers.namespace) is None

    await eventually(gone)


async def test_a_namespace_goes_though_others_use_its_layers(
    running: Installation, layers: Layers, guest: Functions, functions: Functions
) -> None:
    """What they have of it they keep: also through changes of theirs."""
    owner = Layers(layers.control_plane, layers.client, guest.namespace)
    data = zipped(a="left behind")
    owner.apply("left", data, permissions=[SHARED])
    arn = (await owner.ready("left"))["latestVersionArn"]
    functions.apply("keeps", layers=[arn])
    deployed = (await functions.ready("keeps"))["deployed"]["layers"]
    # There is no controller of namespaces here: this is what one does.
    owner.control_plane.kubectl("delete", "namespace", owner.namespace, "--wait=false")
    await layers.client.delete(LAYERS, "left", owner.namespace)
    await layers.client.delete(LAYER_VERSIONS, "left-1", owner.namespace)

    async def gone() -> bool:
        return await layers.client.find(LAYER_VERSIONS, "left-1", owner.namespace) is None

    await eventually(gone)
    functions.apply("keeps", layers=[arn], memorySize=256)
    status = await functions.until("keeps", lambda status: status["deployed"]["memorySize"] == 256)
    assert status["deployed"]["layers"] == deployed
    assert (running.folder / "blobs" / deployed[0]["sha256"]).exists()
