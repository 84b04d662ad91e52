"""Serves fetches: code of a namespace, from a source that it names, into the code store under its digest."""

import asyncio
import hashlib
import hmac
import logging
import tempfile
from dataclasses import dataclass
from typing import IO, Any, Final

from aiohttp import web

from kubelambda.core.code import archive
from kubelambda.core.code.invalid_archive import InvalidArchive
from kubelambda.core.code.remote_source import FetchFailed, FetchFailure, OciSource, RemoteSource, decoded_source
from kubelambda.core.code.tar_archive import ZIP_MAGIC, zip_of_tar
from kubelambda.core.environment import tokens
from kubelambda.fetcher.oci_artifact import OciRegistries
from kubelambda.fetcher.s3_access import S3Directory
from kubelambda.fetcher.s3_object import fetch_object
from kubelambda.kube.fair_slots import FairSlots
from kubelambda.store.code.code_fetcher import FETCH_S, FetchedCode
from kubelambda.store.code.code_store import CodeStore, CodeStoreUnavailable

AT_ONCE: Final = 6
"""Archives that may be on the disk at once."""
PER_NAMESPACE: Final = 3
_CHUNK_BYTES: Final = 1 << 20

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a request asks for."""

    namespace: str
    source: RemoteSource
    seconds: float


class CodeFetcherServer:
    """Fetches for whoever has the code key: it says for which namespace, and gets digests, never keys or code."""

    def __init__(self, store: CodeStore, s3: S3Directory, registries: OciRegistries, code_key: bytes) -> None:
        self._store = store
        self._s3 = s3
        self._registries = registries
        self._token = f"Bearer {tokens.fetch_token(code_key)}"
        self._slots: FairSlots[str] = FairSlots(PER_NAMESPACE, AT_ONCE)
        self._checking = asyncio.Lock()

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application(client_max_size=65_536)
        app.router.add_get("/healthz", self._health)
        app.router.add_post("/fetch", self._fetch)
        return app

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _fetch(self, request: web.Request) -> web.Response:
        given = request.headers.get("Authorization", "").encode(errors="replace")
        if not hmac.compare_digest(given, self._token.encode()):
            raise web.HTTPUnauthorized(text="the token does not allow this")
        try:
            asked = _asked(await request.json())
        except ValueError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        try:
            async with asyncio.timeout(asked.seconds), self._slots.hold(asked.namespace):
                found = await self._published(asked)
        except TimeoutError:
            text = f"{asked.source.name} did not arrive within {asked.seconds:g} seconds"
            return self._failed(asked, FetchFailed(FetchFailure.UNAVAILABLE, text))
        except FetchFailed as failed:
            return self._failed(asked, failed)
        log.info("namespace %s: %s is %s, %d bytes", asked.namespace, asked.source.name, found.sha256, found.size)
        return web.json_response({"sha256": found.sha256, "size": found.size, "resolved": found.resolved})

    def _failed(self, asked: _Asked, failed: FetchFailed) -> web.Response:
        log.info("namespace %s: %s: %s", asked.namespace, asked.source.name, failed)
        return web.json_response({"kind": failed.kind, "message": str(failed)}, status=422)

    async def _published(self, asked: _Asked) -> FetchedCode:
        """An archive that has come, is one, and is in the store."""
        resolved = None
        with tempfile.TemporaryFile() as file, tempfile.TemporaryFile() as zipped:
            found: IO[bytes] = file
            if isinstance(asked.source, OciSource):
                resolved = await self._registries.fetch(asked.namespace, asked.source, file)
                file.seek(0)
                found = file if file.read(len(ZIP_MAGIC)) == ZIP_MAGIC else zipped
            else:
                await fetch_object(asked.source, await self._s3.find(asked.namespace), file)
            try:
                async with self._checking:  # one at a time: it takes memory and a core
                    if found is zipped:
                        file.seek(0)
                        await asyncio.to_thread(zip_of_tar, file, zipped)
                    digest, size = await asyncio.to_thread(_checked, found)
                await self._store.publish(digest, found)
            except InvalidArchive as error:
                raise FetchFailed(FetchFailure.INVALID, str(error)) from error
            except CodeStoreUnavailable as error:
                raise FetchFailed(FetchFailure.UNAVAILABLE, str(error)) from error
            return FetchedCode(digest, size, resolved)


def _checked(file: IO[bytes]) -> tuple[str, int]:
    """Digest and bytes of an archive that can be unpacked. Raises `InvalidArchive`."""
    archive.check(file)
    file.seek(0)
    hasher = hashlib.sha256()
    while chunk := file.read(_CHUNK_BYTES):
        hasher.update(chunk)
    return hasher.hexdigest(), file.tell()


def _asked(body: Any) -> _Asked:
    if not isinstance(body, dict) or not isinstance(body.get("namespace"), str) or not body["namespace"]:
        raise ValueError("a fetch needs a namespace")
    seconds = body.get("seconds", FETCH_S)
    if not isinstance(seconds, int | float) or not 0 < seconds <= FETCH_S:
        raise ValueError(f"seconds must be a number up to {FETCH_S:g}")
    source = body.get("source")
    return _Asked(body["namespace"], decoded_source(source if isinstance(source, dict) else {}), float(seconds))
