"""Code that is an OCI artifact: operator, code fetcher, code store, API server, and Debian's registry."""

import asyncio
import base64
import hashlib
import io
import tarfile
from collections.abc import AsyncIterator, Iterator

import pytest
from aiohttp import ClientSession, web
from tests.integration.code.test_code import zipped
from tests.integration.code.test_layers import Layers
from tests.integration.control_plane import ControlPlane
from tests.integration.functions import Functions, condition
from tests.integration.processes import Installation
from tests.integration.registries import PASSWORD, USER, Artifacts, pull_secret, serving_registry
from tests.integration.stage import Stage

from kubelambda.kube.kube_client import KubeClient, Object

PATIENCE_S = 60


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Artifacts]:
    """A registry that gives everything to everybody."""
    with serving_registry(tmp_path_factory.mktemp("registry") / "open", accounts=False) as found:
        yield found


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Artifacts]:
    """One that asks for a password."""
    with serving_registry(tmp_path_factory.mktemp("registry") / "private", accounts=True) as found:
        yield found


@pytest.fixture(scope="module")
def running(stage: Stage) -> Installation:
    """An installation with a code fetcher."""
    return stage.operated(fetcher=True)


@pytest.fixture
def functions(running: Installation, control_plane: ControlPlane, client: KubeClient, namespace: str) -> Functions:
    """Functions of the test's namespace, while everything runs."""
    return Functions(control_plane, client, namespace)


def artifact(reference: str, secret: str | None = None, **more: str) -> Object:
    """`spec.code` for an artifact."""
    found: Object = {"reference": reference}
    return {"oci": found if secret is None else {**found, "pullSecret": {"name": secret}}, **more}


def tarred(text: str) -> bytes:
    """A packed tar archive with one file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as found:
        entry = tarfile.TarInfo("index.py")
        entry.size = len(text)
        found.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


async def failed(functions: Functions, name: str) -> Object:
    """The status of a function whose code does not come."""
    return await functions.until(name, lambda status: status["state"] == "Failed", PATIENCE_S)


async def test_an_artifact_is_pinned_when_it_is_deployed(functions: Functions, registry: Artifacts) -> None:
    """A tag that moves changes nothing until the function names another one, or the digest."""
    data = zipped("artifact = 1")
    digest = registry.push("teams/app", data)
    name = f"{registry.host}/teams/app:latest"
    functions.apply("pinned", code=artifact(name))
    deployed = (await functions.ready("pinned", PATIENCE_S))["deployed"]
    code = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "size": len(data),
        "source": f"oci://{name}",
        "resolved": f"{registry.host}/teams/app@sha256:{digest}",
    }
    assert deployed["code"] == code
    moved = registry.push("teams/app", zipped("artifact = 2"))
    functions.apply("pinned", code=artifact(name), timeout=9)
    assert (await functions.ready("pinned", PATIENCE_S))["deployed"]["code"] == code
    functions.apply("pinned", code=artifact(f"{registry.host}/teams/app@sha256:{moved}"), timeout=9)
    status = await functions.ready("pinned", PATIENCE_S)
    assert status["deployed"]["code"]["sha256"] == hashlib.sha256(zipped("artifact = 2")).hexdigest()


async def test_a_tar_archive_is_code_too(functions: Functions, registry: Artifacts) -> None:
    """Environments get the zip archive that is made of it."""
    registry.push("tar", tarred("tar = 1"))
    functions.apply("tar", code=artifact(f"{registry.host}/tar:latest"))
    assert (await functions.ready("tar", PATIENCE_S))["state"] == "Active"


async def test_a_layer_may_be_an_artifact(
    running: Installation, control_plane: ControlPlane, client: KubeClient, namespace: str, registry: Artifacts
) -> None:
    """With its digest in the version."""
    digest = registry.push("layer", zipped("layer = 1"))
    layers = Layers(control_plane, client, namespace)
    layers.apply("artifact", content=artifact(f"{registry.host}/layer:latest"))
    await layers.until("artifact", lambda status: status.get("latestVersion") == 1, PATIENCE_S)
    content = (await layers.version("artifact", 1))["spec"]["content"]
    assert content["resolved"] == f"{registry.host}/layer@sha256:{digest}"


@pytest.mark.parametrize(
    ("layers", "reason", "text"),
    [
        ((b"no archive",), "InvalidCode", "Could not unzip uploaded file"),
        ((zipped("a = 1"), zipped("b = 2")), "InvalidCode", "has 2 layers: an artifact with code has one"),
        (None, "CodeUnavailable", "does not exist"),
    ],
    ids=["no-archive", "two-layers", "missing"],
)
async def test_what_cannot_be_code_is_refused(
    functions: Functions, registry: Artifacts, layers: tuple[bytes, ...] | None, reason: str, text: str
) -> None:
    """The status says which artifact, and why."""
    repository = f"refused-{functions.namespace}"
    if layers is not None:
        registry.push(repository, *layers)
    functions.apply("refused", code=artifact(f"{registry.host}/{repository}:latest"))
    status = await failed(functions, "refused")
    assert text in status["stateReason"]
    assert condition(status, "Ready")["reason"] == reason


async def test_a_private_registry_needs_its_pull_secret(functions: Functions, private: Artifacts) -> None:
    """Without one, with one that does not exist, with a wrong one, and with the right one."""
    private.push("app", zipped("private = 1"))
    name = f"{private.host}/app:latest"
    functions.apply("anonymous", code=artifact(name))
    assert "the registry answered 401" in (await failed(functions, "anonymous"))["stateReason"]
    functions.apply("missing", code=artifact(name, "absent"))
    assert "there is no Secret absent" in (await failed(functions, "missing"))["stateReason"]
    functions.control_plane.apply([pull_secret("wrong", functions.namespace, private.host, "guessed")])
    functions.apply("wrong", code=artifact(name, "wrong"))
    status = await failed(functions, "wrong")
    assert "the registry answered 401" in status["stateReason"]
    assert "guessed" not in str(status)
    functions.control_plane.apply([pull_secret("right", functions.namespace, private.host)])
    functions.apply("right", code=artifact(name, "right"))
    assert (await functions.ready("right", PATIENCE_S))["state"] == "Active"


@pytest.fixture
async def tokens(registry: Artifacts) -> AsyncIterator[str]:
    """A registry in front of the open one that wants a bearer token, which it gives for a password."""
    asked: dict[str, str] = {}

    async def handle(request: web.Request) -> web.Response:
        if request.path == "/token":
            basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            if request.headers.get("Authorization") != f"Basic {basic}":
                return web.Response(status=401)
            asked.update(request.query)
            return web.json_response({"token": "the token"})
        if request.headers.get("Authorization") != "Bearer the token":
            realm = f'Bearer realm="http://{request.host}/token",service="tests",scope="repository:bearer:pull"'
            return web.Response(status=401, headers={"WWW-Authenticate": realm})
        assert asked == {"service": "tests", "scope": "repository:bearer:pull"}
        headers = {"Accept": request.headers["Accept"]}
        async with (
            ClientSession() as session,
            session.get(f"http://{registry.host}{request.path}", headers=headers) as found,
        ):
            return web.Response(status=found.status, body=await found.read(), content_type=found.content_type)

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_a_registry_that_wants_a_token_gets_one(functions: Functions, registry: Artifacts, tokens: str) -> None:
    """As registries of clouds do: the password goes to where tokens are made, and the token to the registry."""
    await asyncio.to_thread(registry.push, "bearer", zipped("bearer = 1"))
    functions.control_plane.apply([pull_secret("login", functions.namespace, tokens)])
    functions.apply("bearer", code=artifact(f"{tokens}/bearer:latest", "login"))
    assert (await functions.ready("bearer", PATIENCE_S))["state"] == "Active"
