"""Code from addresses, and the code store's contents: the real operator, store, API server and web servers."""

import asyncio
import base64
import hashlib
import io
import shutil
import time
import zipfile
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import web
from tests.integration.functions import Functions, condition, eventually
from tests.integration.processes import Installation
from tests.integration.stage import Stage
from tests.lying_archives import LIES
from tests.ports import free_port

from kubelambda.kube.resources import FUNCTIONS

LAMBDA_SAYS = "Could not unzip uploaded file. Please check your file, then try to upload again."


def zipped(text: str) -> bytes:
    """An archive with one file: the same bytes for the same text, and so a digest that the store may know already."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as folder:
        folder.writestr(zipfile.ZipInfo("index.py"), text)
    return archive.getvalue()


class Site:
    """A web server: some files, and some ways to misbehave."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.requests: list[str] = []
        self.released = asyncio.Event()
        self.address = ""

    def code(self, name: str, data: bytes | None = None) -> dict[str, Any]:
        """`spec.code` for a file; with other `data`, the digest of that."""
        content = self.files.get(name, b"") if data is None else data
        return {"url": f"{self.address}/{name}", "sha256": hashlib.sha256(content).hexdigest()}

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Files by name; `hangs` never ends, `endless` sends for ever, `held` waits until it is released.

        Those say a word now and then: of silence a caller has enough after a quarter of a minute.
        """
        name = request.match_info["name"]
        self.requests.append(name)
        if name.startswith("hangs"):
            slow = web.StreamResponse()
            await slow.prepare(request)
            while True:
                await slow.write(b".")
                await asyncio.sleep(1)
        if name.startswith("held"):
            return await self._hold(request, self.files[name])
        if name == "endless":
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(bytes(1 << 20))
        if name in self.redirects:
            raise web.HTTPFound(self.redirects[name])
        if name not in self.files:
            raise web.HTTPNotFound
        return web.Response(body=self.files[name])

    async def _hold(self, request: web.Request, content: bytes) -> web.StreamResponse:
        """A byte a second, and all that is left once it is released."""
        slow = web.StreamResponse()
        await slow.prepare(request)
        sent = 0
        while sent < len(content) and not self.released.is_set():
            await slow.write(content[sent : sent + 1])
            sent += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(self.released.wait(), 1)
        await slow.write(content[sent:])
        return slow


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A running web server."""
    found = Site()
    app = web.Application()
    app.router.add_get("/{name}", found.serve)
    dispatcher = web.AppRunner(app, shutdown_timeout=0.1)
    await dispatcher.setup()
    await web.TCPSite(dispatcher, "0.0.0.0", 0).start()
    found.address = f"http://127.0.0.1:{dispatcher.addresses[0][1]}"
    yield found
    await dispatcher.cleanup()


@pytest.fixture(scope="module")
def running(stage: Stage) -> Installation:
    """An installation that forgets archives quickly."""
    return stage.operated(codeRetentionSeconds=5)


async def test_an_archive_is_fetched_once(running: Installation, functions: Functions, site: Site) -> None:
    """Two functions of one archive share it; a change of configuration does not fetch it again."""
    site.files["a.zip"] = zipped("a = 1")
    functions.apply("one", code=site.code("a.zip"))
    status = await functions.ready("one")
    assert status["deployed"]["code"]["size"] == len(site.files["a.zip"])
    functions.apply("two", code=site.code("a.zip"))
    functions.apply("one", code=site.code("a.zip"), timeout=9)
    await functions.ready("two")
    await functions.ready("one")
    assert site.requests == ["a.zip"]


async def test_a_digest_is_no_key_to_the_code_of_another_account(
    running: Installation, functions: Functions, site: Site
) -> None:
    """Whoever names the digest of an archive that is in the store already must have the archive too."""
    site.files["private.zip"] = zipped("private = 1")
    functions.apply("owner", code=site.code("private.zip"))
    await functions.ready("owner")
    stranger = Functions(functions.control_plane, functions.client, "default")
    stranger.apply("stranger", code=site.code("elsewhere.zip", site.files["private.zip"]))
    status = await stranger.until("stranger", lambda status: status["state"] == "Failed")
    assert "elsewhere.zip answered 404" in status["stateReason"]
    site.files["elsewhere.zip"] = site.files["private.zip"]
    assert (await stranger.ready("stranger"))["state"] == "Active"
    await functions.client.delete(FUNCTIONS, "stranger", "default")


async def test_a_wrong_digest_is_told_until_the_right_archive_is_there(
    running: Installation, functions: Functions, site: Site
) -> None:
    """Both digests are in the message; nothing unverified is ever deployed."""
    site.files["b.zip"] = zipped("wrong")
    functions.apply("promised", code=site.code("b.zip", zipped("right")))
    status = await functions.until("promised", lambda status: status["state"] == "Failed")
    for text in ("right", "wrong"):
        assert hashlib.sha256(zipped(text)).hexdigest() in status["stateReason"]
    assert (status["stateReasonCode"], condition(status, "Ready")["reason"]) == (
        "InvalidZipFileException",
        "InvalidCode",
    )
    assert "deployed" not in status
    site.files["b.zip"] = zipped("right")
    assert (await functions.ready("promised"))["state"] == "Active"


async def test_a_broken_archive_is_refused_with_lambdas_words(
    running: Installation, functions: Functions, site: Site
) -> None:
    """Its digest is right, so asking again cannot help, and nobody does."""
    site.files["c.zip"] = b"this is no archive"
    functions.apply("broken", code=site.code("c.zip"))
    status = await functions.until("broken", lambda status: status["state"] == "Failed")
    assert status["stateReason"] == LAMBDA_SAYS
    assert condition(status, "Stalled")["status"] == "True"
    await asyncio.sleep(3)
    assert site.requests == ["c.zip"]


async def test_text_is_no_code_for_a_runtime_that_names_no_file_for_it(
    running: Installation, functions: Functions
) -> None:
    """The function says so, and takes an archive."""
    runtime = {"apiVersion": "kubelambda.dev/v1alpha1", "kind": "Runtime", "metadata": {"name": "java21"}}
    applied = functions.control_plane.apply([{**runtime, "spec": {"image": "localhost/java:1", "pool": {"size": 0}}}])
    assert applied.returncode == 0, applied.stderr
    functions.apply("text", runtime="java21")
    said = "the runtime takes no code as text: give it an archive"
    # It fails for another reason before the operator has seen the Runtime.
    status = await functions.until("text", lambda status: condition(status, "CodeReady").get("message") == said)
    assert status["state"] == "Failed"
    functions.apply("text", runtime="java21", code={"zipFile": base64.b64encode(zipped("class Handler {}")).decode()})
    await functions.ready("text")
    functions.control_plane.kubectl("delete", "runtime", "java21")


async def test_a_function_that_changes_while_its_archive_comes_does_not_fetch_it_twice(
    running: Installation, functions: Functions, site: Site
) -> None:
    """Each change asks for the archive; the download that runs answers all of them, with what the last one says."""
    site.files["held.zip"] = b"this is no archive either" * 10
    functions.apply("changing", code=site.code("held.zip"))
    await eventually(lambda: site.requests == ["held.zip"])
    functions.apply("changing", code=site.code("held.zip"), timeout=9)
    await functions.until("changing", lambda status: status.get("observedGeneration") == 2)
    site.released.set()
    status = await functions.until("changing", lambda status: status["state"] == "Failed")
    assert (status["stateReason"], status["observedGeneration"]) == (LAMBDA_SAYS, 2)
    await asyncio.sleep(1)
    assert site.requests == ["held.zip"]


async def test_a_change_of_address_while_an_archive_comes_is_followed(
    running: Installation, functions: Functions, site: Site
) -> None:
    """What comes of the old address is not taken for the new one's."""
    site.files["held.zip"], site.files["new.zip"] = b"this is no archive either" * 10, zipped("new = 1")
    functions.apply("moved", code=site.code("held.zip"))
    await eventually(lambda: site.requests == ["held.zip"])
    functions.apply("moved", code=site.code("new.zip"))
    await functions.until("moved", lambda status: status.get("observedGeneration") == 2)
    site.released.set()
    status = await functions.ready("moved")
    assert status["deployed"]["code"]["sha256"] == hashlib.sha256(site.files["new.zip"]).hexdigest()
    assert site.requests == ["held.zip", "new.zip"]


async def test_an_archive_over_the_limit_is_refused_while_it_comes(
    running: Installation, functions: Functions, site: Site
) -> None:
    """A server that sends for ever is left after 262 144 000 bytes."""
    functions.apply("huge", code=site.code("endless", b"x"))
    status = await functions.until("huge", lambda status: status["state"] == "Failed")
    assert status["stateReason"] == "Unzipped size must be smaller than 262144000 bytes"


async def test_a_source_that_fails_is_tried_again(running: Installation, functions: Functions, site: Site) -> None:
    """404 and a closed port are told, and end when the archive is there."""
    functions.apply("absent", code=site.code("d.zip", zipped("d = 1")))
    closed = f"http://127.0.0.1:{free_port()}/e.zip"
    functions.apply("closed", code={"url": closed, "sha256": "0" * 64})
    status = await functions.until("absent", lambda status: status["state"] == "Failed")
    assert "d.zip answered 404" in status["stateReason"]
    assert condition(status, "Reconciling")["reason"] == "CodeUnavailable"
    status = await functions.until("closed", lambda status: status["state"] == "Failed")
    assert closed in status["stateReason"]
    site.files["d.zip"] = zipped("d = 1")
    assert (await functions.ready("absent"))["state"] == "Active"


async def test_code_never_comes_from_networks_that_are_refused(
    running: Installation, functions: Functions, site: Site
) -> None:
    """Neither by address nor behind a redirect: the operator reaches more than who writes a Function may."""
    site.files["h.zip"] = zipped("h = 1")
    forbidden = site.address.replace("127.0.0.1", "127.0.0.66")
    site.redirects["leads-there"] = f"{forbidden}/h.zip"
    for name, url in (("direct", f"{forbidden}/h.zip"), ("redirected", f"{site.address}/leads-there")):
        functions.apply(name, code=site.code("h.zip") | {"url": url})
        status = await functions.until(name, lambda status: status["state"] == "Failed")
        assert "code is never fetched from 127.0.0.66 (codeUrlRefusedNetworks)" in status["stateReason"]
    assert "h.zip" not in site.requests


async def test_servers_that_hang_delay_nobody_else(running: Installation, functions: Functions, site: Site) -> None:
    """Twenty functions wait for a server that never answers; others, also with an address, are deployed at once."""
    hanging = [functions.manifest(f"hangs-{n}", code=site.code(f"hangs-{n}", b"x")) for n in range(20)]
    assert functions.control_plane.apply(hanging).returncode == 0
    await eventually(lambda: any(name.startswith("hangs") for name in site.requests))
    site.files["f.zip"] = zipped("f = 1")
    functions.apply("inline")
    await functions.ready("inline")
    neighbour = Functions(functions.control_plane, functions.client, "default")
    neighbour.apply("fetched", code=site.code("f.zip"))
    await neighbour.ready("fetched")
    status = await functions.status("hangs-0")
    assert (status["state"], status.get("stateReasonCode")) in (("Pending", "Creating"), ("Pending", None))
    assert len([name for name in site.requests if name.startswith("hangs")]) <= 4
    await functions.client.delete(FUNCTIONS, "fetched", "default")


async def test_archives_that_nobody_runs_are_collected(running: Installation, functions: Functions) -> None:
    """After an update and after a deletion; what is still deployed stays."""
    functions.apply("changes", code={"inline": "first = 1"})
    functions.apply("stays", code={"inline": "stays = 1"})
    first = (await functions.ready("changes"))["deployed"]["code"]["sha256"]
    stays = (await functions.ready("stays"))["deployed"]["code"]["sha256"]
    functions.apply("changes", code={"inline": "second = 2"})
    second = (await functions.ready("changes"))["deployed"]["code"]["sha256"]
    await eventually(lambda: not (running.blobs / first).exists())
    assert (running.blobs / second).exists()
    await functions.client.delete(FUNCTIONS, "changes", functions.namespace)
    await eventually(lambda: not (running.blobs / second).exists())
    assert (running.blobs / stays).exists()


async def test_a_lost_volume_is_filled_again_from_the_sources(
    running: Installation, functions: Functions, site: Site
) -> None:
    """Inline and fetched archives come back by themselves, and the functions stay Active."""
    site.files["g.zip"] = zipped("g = 1")
    functions.apply("kept-inline", code={"inline": "kept = 1"})
    functions.apply("kept-url", code=site.code("g.zip"))
    digests = [(await functions.ready(name))["deployed"]["code"]["sha256"] for name in ("kept-inline", "kept-url")]
    for path in running.blobs.iterdir():
        path.unlink(missing_ok=True)  # those of the test before are collected about now
    await eventually(lambda: all((running.blobs / digest).exists() for digest in digests))
    for name in ("kept-inline", "kept-url"):
        assert (await functions.ready(name))["state"] == "Active"


async def test_a_store_that_is_away_is_waited_for(running: Installation, functions: Functions) -> None:
    """A new function is Pending, not Failed, and says why; what is deployed stays Ready until it is back."""
    functions.apply("serves")
    functions.apply("changes")
    before = await functions.ready("serves")
    await functions.ready("changes")
    store = next(component for component in running.components if component.name == "code-store")
    store.stop()
    functions.apply("waits", code={"inline": f"unique = {time.time_ns()}"})
    status = await functions.until("waits", lambda status: bool(condition(status, "Ready")))
    assert (status["state"], condition(status, "Ready")["reason"]) == ("Pending", "CodeStoreUnavailable")
    functions.apply("serves", description="looked at again")
    assert (await functions.ready("serves"))["deployed"] == before["deployed"]
    functions.apply("changes", code={"inline": f"changed = {time.time_ns()}"})
    status = await functions.until("changes", lambda status: condition(status, "Ready").get("status") == "False")
    assert (status["state"], status["lastUpdateStatus"]) == ("Active", "InProgress")
    shutil.rmtree(running.blobs)
    running.code_store()
    assert (await functions.ready("waits"))["state"] == "Active"
    await functions.ready("changes")


async def test_archives_that_lie_are_refused_and_leave_nothing(
    running: Installation, functions: Functions, site: Site
) -> None:
    """Each with its reason in the status; what only looks odd is deployed. The store has nothing of what is refused."""
    for lie in LIES:
        site.files[lie.name] = await asyncio.to_thread(lie.make)
    functions.control_plane.apply([functions.manifest(lie.name, code=site.code(lie.name)) for lie in LIES])
    for lie in LIES:
        wanted = "Failed" if lie.said else "Active"
        status = await functions.until(lie.name, lambda status, wanted=wanted: status["state"] == wanted)  # type: ignore[misc]
        assert lie.said in status.get("stateReason", ""), lie.name
    stored = {path.name for path in running.blobs.iterdir()}
    for lie in LIES:
        assert (hashlib.sha256(site.files[lie.name]).hexdigest() in stored) is not bool(lie.said), lie.name
