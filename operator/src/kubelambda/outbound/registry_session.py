"""Asks a registry by the OCI distribution API, with the credentials that somebody has for it."""

import base64
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
from pydantic import IPvAnyNetwork

from kubelambda.core.code.image_reference import ImageReference
from kubelambda.core.code.refused_networks import never_fetched
from kubelambda.outbound.guarded_sockets import outside

DOCUMENT_MAX_BYTES: Final = 4 << 20
_LOOPBACK = ("localhost", "127.0.0.1")
"""Registries there are spoken to without TLS, as Docker and containerd do."""
_PARAMETER = re.compile(r'([a-z]+)="([^"]*)"')


class UnreadableDocument(Exception):
    """What the registry sends is too large, or no document."""


@asynccontextmanager
async def http_session(
    refused: Sequence[IPvAnyNetwork], limit: aiohttp.ClientTimeout
) -> AsyncIterator[aiohttp.ClientSession]:
    """Connections that lead outside of `refused`, for redirects too: registries keep what is large elsewhere."""
    connector = aiohttp.TCPConnector(socket_factory=outside(refused, never_fetched))
    async with aiohttp.ClientSession(connector=connector, timeout=limit, trust_env=True) as session:
        yield session


class RegistrySession:
    """One repository. `basic` is what its credentials are in base64, or empty; it speaks TLS unless told otherwise."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        reference: ImageReference,
        *,
        basic: str,
        insecure_registries: Sequence[str] = (),
    ) -> None:
        self._session = session
        self._reference = reference
        plain = reference.host in insecure_registries or reference.host.split(":")[0] in _LOOPBACK
        self._base = f"{'http' if plain else 'https'}://{reference.host}/v2/{reference.path}"
        self._basic = basic
        self._authorization: dict[str, str] = {}

    @asynccontextmanager
    async def ask(
        self, path: str, accept: Mapping[str, str] | None = None, *, method: str = "GET"
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer for a path of the repository, after whatever the registry asks to be shown first."""
        for _ in range(2):
            headers = {**(accept or {}), **self._authorization}
            async with self._session.request(method, f"{self._base}/{path}", headers=headers) as answer:
                authorization = None
                if answer.status == 401 and not self._authorization:
                    authorization = await self._authorized(answer.headers.get("WWW-Authenticate", ""))
                if authorization is None:
                    yield answer
                    return
                self._authorization = authorization

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
            found = json_document(await limited_body(answer))
        token = found.get("token") or found.get("access_token")
        return {"Authorization": f"Bearer {token}"} if token else None


async def limited_body(answer: aiohttp.ClientResponse) -> bytes:
    """The body of a document. Raises `UnreadableDocument`."""
    body = bytearray()
    async for chunk in answer.content.iter_chunked(65_536):
        body += chunk
        if len(body) > DOCUMENT_MAX_BYTES:
            raise UnreadableDocument(f"a document of it has more than {DOCUMENT_MAX_BYTES} bytes")
    return bytes(body)


def json_document(body: bytes) -> Mapping[str, Any]:
    """Raises `UnreadableDocument`."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnreadableDocument("the registry answers with something else than JSON") from error
    if not isinstance(found, dict):
        raise UnreadableDocument("the registry answers with something else than a document")
    return found


def basic_credentials(document: bytes, host: str) -> str:
    """What `docker login` wrote for a registry, in base64; empty when it did not."""
    try:
        found = json.loads(document)["auths"]
        entry = found.get(host) or found.get(f"https://{host}") or {}
        if "auth" in entry:
            return str(entry["auth"])
        pair = f"{entry['username']}:{entry['password']}" if "username" in entry else ""
        return base64.b64encode(pair.encode()).decode()
    except (ValueError, KeyError, AttributeError, TypeError):
        return ""
