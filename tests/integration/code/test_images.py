"""Container images of functions: the real operator and API server, and a registry that wants a token."""

import hashlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from tests.integration.functions import Functions, condition, eventually
from tests.integration.processes import Installation
from tests.integration.stage import Stage

from kubelambda.api import labels
from kubelambda.kube.resources import DEPLOYMENTS, FUNCTION_VERSIONS

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
RUNTIME = {
    "apiVersion": "kubelambda.dev/v1alpha1",
    "kind": "Runtime",
    "metadata": {"name": "image"},
    "spec": {"image": "localhost/agent:1", "inlineFileName": "bootstrap", "pool": {"size": 0}},
}


class Registry:
    """Documents by digest, names by tag; whoever has no token is sent for one."""

    def __init__(self) -> None:
        self.documents: dict[str, bytes] = {}
        self.tags: dict[str, str] = {}
        self.denied: set[str] = set()
        self.host = ""

    def add(self, document: Any) -> str:
        """Its digest."""
        data = json.dumps(document).encode()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.documents[digest] = data
        return digest

    def push(self, name: str, *, architecture: str = "amd64", **config: Any) -> str:
        """An image for one platform, in an index; returns the digest of that."""
        configuration = self.add({"os": "linux", "architecture": architecture, "config": config})
        manifest = self.add({"schemaVersion": 2, "config": {"digest": configuration}, "layers": []})
        platform = {"os": "linux", "architecture": architecture}
        index = self.add({"schemaVersion": 2, "manifests": [{"digest": manifest, "platform": platform}]})
        self.tags[name] = index
        return index

    def uri(self, name: str) -> str:
        """Its full name."""
        return f"{self.host}/{name}:v1"

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """The distribution API, and the tokens that it wants."""
        if request.path == "/token":
            assert request.query["scope"].startswith("repository:")
            return web.json_response({"token": "sesame"})
        if request.headers.get("Authorization") != "Bearer sesame":
            realm = f'Bearer realm="http://{self.host}/token",service="tests"'
            return web.Response(status=401, headers={"WWW-Authenticate": realm})
        name, _, reference = request.path.removeprefix("/v2/").rsplit("/", 2)
        if name in self.denied:
            raise web.HTTPForbidden
        digest = self.tags.get(name, "") if reference == "v1" else reference
        if digest not in self.documents:
            raise web.HTTPNotFound
        return web.Response(body=self.documents[digest], content_type=INDEX)


@pytest.fixture(scope="module")
def running(stage: Stage) -> Installation:
    """An installation that asks registries every second whether they still have what is deployed."""
    return stage.operated(images={"recheckSeconds": 1})


@pytest.fixture
async def registry(functions: Functions) -> AsyncIterator[Registry]:
    """A running registry, and the Runtime of images."""
    assert functions.control_plane.apply([RUNTIME]).returncode == 0
    found = Registry()
    app = web.Application()
    app.router.add_get("/{path:.*}", found.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.host = f"127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


def image(functions: Functions, name: str, uri: str, **spec: Any) -> None:
    """A function that is an image."""
    functions.apply(name, packageType="Image", runtime=None, handler=None, code={"imageUri": uri}, **spec)


async def test_an_image_is_pinned_when_it_is_deployed(
    running: Installation, functions: Functions, registry: Registry
) -> None:
    """A tag that moves changes nothing; a new name does. Its pool has the image by its digest."""
    digest = registry.push("team/app", Entrypoint=["/entry"], Cmd=["app.handler"], WorkingDir="/var/task")
    image(functions, "app", registry.uri("team/app"), imageConfig={"command": ["other.handler"]})
    status = await functions.ready("app")
    deployed = status["deployed"]
    assert deployed["image"]["reference"] == f"{registry.host}/team/app@{digest}"
    assert deployed["code"] == {"sha256": digest.removeprefix("sha256:"), "size": 0}
    assert (deployed["image"]["entryPoint"], deployed["image"]["config"]["command"]) == (["/entry"], ["other.handler"])

    async def pool() -> Any:
        found = (await functions.client.list(DEPLOYMENTS, functions.namespace, label_selector=labels.POOL))["items"]
        return found and found[0]["spec"]["template"]["spec"]

    pod = await eventually(pool)
    assert pod["containers"][0]["image"] == deployed["image"]["reference"]
    assert (pod["initContainers"][0]["image"], pod["initContainers"][0]["restartPolicy"]) == (
        "localhost/agent:1",
        "Always",
    )

    moved = registry.push("team/app", Entrypoint=["/moved"])
    image(functions, "app", registry.uri("team/app"), timeout=9)
    again = await functions.ready("app")
    assert again["deployed"]["image"]["reference"].endswith(digest)
    image(functions, "app", f"{registry.host}/team/app@{moved}", timeout=9)
    await functions.until("app", lambda found: found["deployed"]["image"]["reference"].endswith(moved))


def failed_with(code: str) -> Callable[[Any], bool]:
    """Whether a status says so."""
    return lambda found: bool(found.get("stateReasonCode") == code)


async def test_what_cannot_be_had_is_said_with_lambdas_reasons(
    running: Installation, functions: Functions, registry: Registry
) -> None:
    """What is pushed later is found; what can never run waits for a change of the spec."""
    registry.denied.add("team/denied")
    registry.push("team/arm", architecture="arm64", Entrypoint=["/entry"])
    registry.push("team/empty")
    expected = {
        "missing": (registry.uri("team/missing"), "ImageDeleted"),
        "denied": (registry.uri("team/denied"), "ImageAccessDenied"),
        "arm": (registry.uri("team/arm"), "InvalidImage"),
        "empty": (registry.uri("team/empty"), "InvalidImage"),
        "unnamed": ("app", "InvalidImage"),
    }
    for name, (uri, _) in expected.items():
        image(functions, name, uri)
    for name, (_, code) in expected.items():
        # A registry that does not answer in time is another failure, and is asked again.
        status = await functions.until(name, failed_with(code))
        assert status["state"] == "Failed", status
        assert condition(status, "CodeReady")["reason"] == code
    registry.push("team/missing", Entrypoint=["/entry"])
    await functions.ready("missing")


async def test_a_version_keeps_its_image(running: Installation, functions: Functions, registry: Registry) -> None:
    """Though its function has another one since."""
    first = registry.push("team/app", Entrypoint=["/one"])
    second = registry.push("team/next", Entrypoint=["/two"])
    image(functions, "app", registry.uri("team/app"), publish=True)
    await functions.ready("app")

    async def versions(count: int) -> list[str]:
        found = json.loads(
            functions.control_plane.kubectl("get", "fnv", "-n", functions.namespace, "-o", "json").stdout
        )
        references = [
            each["status"]["deployed"]["image"]["reference"].rpartition("@")[2]
            for each in found["items"]
            if each.get("status", {}).get("state") == "Active"
        ]
        return references if len(references) == count else []

    assert await eventually(lambda: versions(1)) == [first]
    image(functions, "app", registry.uri("team/next"), publish=True)
    assert sorted(await eventually(lambda: versions(2))) == sorted([first, second])


async def test_a_deployed_image_that_is_gone_is_said(
    running: Installation, functions: Functions, registry: Registry
) -> None:
    """Deleted or denied: it stays deployed, for nodes that have it; function and version say so until it is back."""
    digest = registry.push("team/app", Entrypoint=["/entry"])
    image(functions, "app", registry.uri("team/app"), publish=True)
    deployed = (await functions.ready("app"))["deployed"]

    async def version_says(reason: str) -> bool:
        found = (await functions.client.list(FUNCTION_VERSIONS, functions.namespace))["items"]
        statuses = [each.get("status") or {} for each in found]
        said = [(each.get("state"), condition(each, "Ready").get("reason")) for each in statuses]
        return said == [("Active", reason)]

    await eventually(lambda: version_says("Published"))
    document = registry.documents.pop(digest)
    status = await functions.until("app", lambda found: found.get("lastUpdateStatusReasonCode") == "ImageDeleted")
    assert (status["state"], status["lastUpdateStatus"], status["deployed"]) == ("Active", "Failed", deployed)
    assert condition(status, "CodeReady")["reason"] == "ImageDeleted"
    await eventually(lambda: version_says("ImageDeleted"))
    registry.documents[digest] = document
    await functions.ready("app")
    await eventually(lambda: version_says("Published"))
    registry.denied.add("team/app")
    await functions.until("app", lambda found: found.get("lastUpdateStatusReasonCode") == "ImageAccessDenied")
    registry.denied.clear()
    assert (await functions.ready("app"))["deployed"] == deployed
