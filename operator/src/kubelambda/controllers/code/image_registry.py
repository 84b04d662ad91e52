"""Asks a registry for an image by the OCI distribution API: its digest, and what it runs."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

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
from kubelambda.core.code.refused_networks import never_fetched
from kubelambda.outbound.guarded_sockets import outside

_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=5, sock_read=10)
_DOCUMENT_MAX_BYTES = 4 << 20
_ACCEPT = {"Accept": ", ".join((*INDEXES, *MANIFESTS))}
_LOOPBACK = ("localhost", "127.0.0.1")
"""Registries there are spoken to without TLS, as Docker and containerd do."""
_PARAMETER = re.compile(r'([a-z]+)="([^"]*)"')


class RegistryAway(Exception):
    """The registry does not answer, or not as one: it may do so a moment later."""


class RegistryRefused(Exception):
    """The registry has no such image, or not for us."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


async def look_up(settings: Settings, uri: str, reference: ImageReference) -> DeployedImage:
    """The image that a name stands for now. Raises `RegistryAway`, `RegistryRefused` or `UnusableImage`."""
    connector = aiohttp.TCPConnector(socket_factory=outside(settings.code_url_refused_networks, never_fetched))
    try:
        async with aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT, trust_env=True) as session:
            return await _Registry(session, settings, uri, reference).image()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise RegistryAway(f"{reference.host} does not answer: {error or type(error).__name__}") from error


class _Registry:
    """One look-up."""

    def __init__(self, session: aiohttp.ClientSession, settings: Settings, uri: str, reference: ImageReference) -> None:
        self._session = session
        self._uri = uri
        self._reference = reference
        plain = reference.host in settings.images.insecure_registries or reference.host.split(":")[0] in _LOOPBACK
        scheme = "http" if plain else "https"
        self._base = f"{scheme}://{reference.host}/v2/{reference.path}"
        self._basic = _credentials(settings.images.credentials_file, reference.host)
        self._authorization: dict[str, str] = {}

    async def image(self) -> DeployedImage:
        """Index, manifest and configuration, each checked by its digest."""
        body = await self._get(f"manifests/{self._reference.wanted}", self._reference.digest)
        digest = hashlib.sha256(body).hexdigest()
        manifest = _document(body)
        if (ours := own_manifest(manifest)) is not None:
            manifest = _document(await self._get(f"manifests/sha256:{ours.sha256}", ours.sha256))
        named: Digest = configuration_of(manifest)
        configuration = _document(await self._get(f"blobs/sha256:{named.sha256}", named.sha256))
        return deployed_image(self._uri, self._reference, digest, configuration)

    async def _get(self, path: str, digest: str) -> bytes:
        """A document; what is named by its digest has that."""
        status, challenge, body = await self._ask(path)
        if status == 401 and (authorization := await self._authorized(challenge)) is not None:
            self._authorization = authorization
            status, _, body = await self._ask(path)
        if status in (401, 403):
            text = (
                f"Source image {self._uri} cannot be accessed: the registry answered {status}. Check its permissions."
            )
            raise RegistryRefused(Reason.IMAGE_ACCESS_DENIED, text)
        if status == 404:
            text = f"Source image {self._uri} does not exist. Provide a valid source image."
            raise RegistryRefused(Reason.IMAGE_DELETED, text)
        if status != 200:
            raise RegistryAway(f"{self._reference.host} answered {status}")
        if digest and hashlib.sha256(body).hexdigest() != digest:
            raise UnusableImage(f"the registry has something else under sha256:{digest}")
        return body

    async def _ask(self, path: str) -> tuple[int, str, bytes]:
        headers = _ACCEPT | self._authorization
        async with self._session.get(f"{self._base}/{path}", headers=headers) as answer:
            challenge = answer.headers.get("WWW-Authenticate", "")
            return answer.status, challenge, await _limited(answer)

    async def _authorized(self, challenge: str) -> dict[str, str] | None:
        """The header that a challenge asks for; None when there is none."""
        kind, _, rest = challenge.partition(" ")
        if kind.lower() == "basic":
            return {"Authorization": f"Basic {self._basic}"} if self._basic else None
        given = dict(_PARAMETER.findall(rest))
        if kind.lower() != "bearer" or not given.get("realm", "").startswith(("http://", "https://")):
            return None
        scope = given.get("scope") or f"repository:{self._reference.path}:pull"
        query = urlencode({"scope": scope} | ({"service": given["service"]} if "service" in given else {}))
        headers = {"Authorization": f"Basic {self._basic}"} if self._basic else {}
        async with self._session.get(f"{given['realm']}?{query}", headers=headers) as answer:
            if answer.status != 200:
                return None
            found = _document(await _limited(answer))
        token = found.get("token") or found.get("access_token")
        return {"Authorization": f"Bearer {token}"} if token else None


async def _limited(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_chunked(65_536):
        body += chunk
        if len(body) > _DOCUMENT_MAX_BYTES:
            raise UnusableImage(f"a document of it has more than {_DOCUMENT_MAX_BYTES} bytes")
    return bytes(body)


def _document(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnusableImage("the registry answers with something else than JSON") from error
    if not isinstance(found, dict):
        raise UnusableImage("the registry answers with something else than a document")
    return found


def _credentials(file: str | None, host: str) -> str:
    """What `docker login` wrote for a registry, in base64; empty when it did not."""
    if file is None:
        return ""
    try:
        found = json.loads(Path(file).read_bytes())["auths"]
        entry = found.get(host) or found.get(f"https://{host}") or {}
        if "auth" in entry:
            return str(entry["auth"])
        pair = f"{entry['username']}:{entry['password']}" if "username" in entry else ""
        return base64.b64encode(pair.encode()).decode()
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return ""
