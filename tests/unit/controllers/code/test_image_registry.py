"""What a registry is asked about the image of a function, over a real connection."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from kubelambda.api.reasons import Reason
from kubelambda.api.settings import Settings
from kubelambda.controllers.code import image_registry
from kubelambda.controllers.code.image_registry import RegistryAway, RegistryRefused, look_again
from kubelambda.core.code.image_reference import ImageReference, parse_image

DIGEST = "sha256:" + "0" * 64
SETTINGS = Settings(code_url_refused_networks=())


class Registry:
    """Answers with a status, and keeps what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.asked: list[str] = []
        self.host = ""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Whatever is asked, for a token."""
        if request.path == "/token":
            return web.json_response({"token": "sesame"})
        if request.headers.get("Authorization") != "Bearer sesame":
            realm = f'Bearer realm="http://{self.host}/token"'
            return web.Response(status=401, headers={"WWW-Authenticate": realm})
        self.asked.append(f"{request.method} {request.path}")
        return web.Response(status=self.status)

    @property
    def image(self) -> ImageReference:
        """A deployed image of it."""
        found = parse_image(f"{self.host}/team/app@{DIGEST}")
        assert isinstance(found, ImageReference)
        return found


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    """A running one."""
    found, app = Registry(), web.Application()
    app.router.add_route("*", "/{path:.*}", found.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.host = f"127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


async def test_whether_an_image_is_still_there_is_one_question_that_is_no_pull(registry: Registry) -> None:
    """Registries count what is read: asked every ten minutes, a few functions would use up what nodes need."""
    await look_again(SETTINGS, "any", registry.image)
    assert registry.asked == [f"HEAD /v2/team/app/manifests/{DIGEST}"]


@pytest.mark.parametrize(("status", "reason"), [(404, Reason.IMAGE_DELETED), (403, Reason.IMAGE_ACCESS_DENIED)])
async def test_an_image_that_is_gone_is_refused(registry: Registry, status: int, reason: Reason) -> None:
    """Deleted, or denied."""
    registry.status = status
    with pytest.raises(RegistryRefused) as refused:
        await look_again(SETTINGS, "any", registry.image)
    assert refused.value.reason is reason


@pytest.mark.parametrize("status", [429, 500])
async def test_a_registry_that_does_not_say_is_away(registry: Registry, status: int) -> None:
    """It is no reason to believe that the image is gone."""
    registry.status = status
    with pytest.raises(RegistryAway, match=f"answered {status}"):
        await look_again(SETTINGS, "any", registry.image)


async def test_a_registry_that_cannot_be_asked_like_that_is_believed(registry: Registry) -> None:
    """One that answers no HEAD has the image as far as anybody knows."""
    registry.status = 405
    await look_again(SETTINGS, "any", registry.image)


async def test_everything_about_an_image_has_a_bound(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """However a registry spreads its answers over its requests."""
    monkeypatch.setattr(image_registry, "_WHOLE_S", 0.0)
    with pytest.raises(RegistryAway, match="does not answer: TimeoutError"):
        await look_again(SETTINGS, "any", registry.image)
