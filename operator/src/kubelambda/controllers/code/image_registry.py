"""Asks a registry for an image: its digest, and what it runs."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from kubelambda.api.kinds.function_image import DeployedImage
from kubelambda.api.reasons import Reason
from kubelambda.api.settings import Settings
from kubelambda.core.code.image_manifest import (
    INDEXES,
    MANIFESTS,
    Digest,
    UnusableImage,
    configuration_of,
    deployed_image,
    own_manifest,
)
from kubelambda.core.code.image_reference import ImageReference
from kubelambda.outbound.registry_session import (
    RegistrySession,
    UnreadableDocument,
    basic_credentials,
    http_session,
    json_document,
    limited_body,
)

_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=5, sock_read=10)
_WHOLE_S = 45.0
"""For everything that is asked about one image: a registry that takes its time holds up whoever waits behind it."""
_NO_SUCH_QUESTION = (405, 501)
"""Answers of a registry that tells of nothing without sending it: it is not known to lack the image."""
_ACCEPT = {"Accept": ", ".join((*INDEXES, *MANIFESTS))}


class RegistryAway(Exception):
    """The registry does not answer, or not as one: it may do so a moment later."""


class RegistryRefused(Exception):
    """The registry has no such image, or not for us."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


async def look_up(settings: Settings, uri: str, reference: ImageReference) -> DeployedImage:
    """The image that a name stands for now. Raises `RegistryAway`, `RegistryRefused` or `UnusableImage`."""
    async with _registry(settings, reference) as registry:
        return await _image(registry, uri, reference)


async def look_again(settings: Settings, uri: str, reference: ImageReference) -> None:
    """Returns while the registry has the image of a digest. Raises as `look_up`.

    One question without an answer's body: registries count documents that are read as pulls, and allow a few of them.
    """
    async with _registry(settings, reference) as registry:
        async with registry.ask(f"manifests/{reference.wanted}", _ACCEPT, method="HEAD") as answer:
            status = answer.status
        if status not in _NO_SUCH_QUESTION:
            _check(status, uri, reference)


@asynccontextmanager
async def _registry(settings: Settings, reference: ImageReference) -> AsyncIterator[RegistrySession]:
    try:
        async with (
            asyncio.timeout(_WHOLE_S),
            http_session(settings.code_url_refused_networks, _TIMEOUT) as session,
        ):
            basic = _credentials(settings.images.credentials_file, reference.host)
            insecure = settings.images.insecure_registries
            yield RegistrySession(session, reference, basic=basic, insecure_registries=insecure)
    except UnreadableDocument as error:
        raise UnusableImage(str(error)) from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        text = str(error) or type(error).__name__
        raise RegistryAway(f"{reference.host} does not answer: {text}") from error


async def _image(registry: RegistrySession, uri: str, reference: ImageReference) -> DeployedImage:
    """Index, manifest and configuration, each checked by its digest."""

    async def get(path: str, digest: str) -> bytes:
        async with registry.ask(path, _ACCEPT) as answer:
            status, body = answer.status, await limited_body(answer)
        _check(status, uri, reference)
        if digest and hashlib.sha256(body).hexdigest() != digest:
            raise UnusableImage(f"the registry has something else under sha256:{digest}")
        return body

    body = await get(f"manifests/{reference.wanted}", reference.digest)
    digest = hashlib.sha256(body).hexdigest()
    manifest = json_document(body)
    if (ours := own_manifest(manifest)) is not None:
        manifest = json_document(await get(f"manifests/sha256:{ours.sha256}", ours.sha256))
    named: Digest = configuration_of(manifest)
    configuration = json_document(await get(f"blobs/sha256:{named.sha256}", named.sha256))
    return deployed_image(uri, reference, digest, configuration)


def _check(status: int, uri: str, reference: ImageReference) -> None:
    if status in (401, 403):
        text = f"Source image {uri} cannot be accessed: the registry answered {status}. Check its permissions."
        raise RegistryRefused(Reason.IMAGE_ACCESS_DENIED, text)
    if status == 404:
        text = f"Source image {uri} does not exist. Provide a valid source image."
        raise RegistryRefused(Reason.IMAGE_DELETED, text)
    if status != 200:
        raise RegistryAway(f"{reference.host} answered {status}")


def _credentials(file: str | None, host: str) -> str:
    """What is mounted for a registry; empty when nothing is."""
    try:
        return "" if file is None else basic_credentials(Path(file).read_bytes(), host)
    except OSError:
        return ""
