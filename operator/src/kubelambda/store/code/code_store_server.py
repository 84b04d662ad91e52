"""The embedded code store: a content-addressed folder, served over HTTP (DESIGN §4)."""

import asyncio
import contextlib
import hashlib
import hmac
import os
import re
import tempfile
import time
from pathlib import Path
from typing import IO

from aiohttp import web

from kubelambda.api import limits
from kubelambda.core.environment import tokens

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SECONDS = re.compile(r"[0-9]{1,12}")
_UPLOAD = ".upload-"
_CHUNK_BYTES = 1 << 18


class CodeStoreServer:
    """Serves `folder`. Reading needs a signed address, writing a token for uploads, and the rest the operator's."""

    def __init__(self, folder: Path, key: bytes) -> None:
        self._folder = folder
        self._code_key = tokens.code_key(key)
        self._full = f"Bearer {tokens.code_store_token(key)}"
        self._uploads = f"Bearer {tokens.upload_token(self._code_key)}"
        folder.mkdir(parents=True, exist_ok=True)
        for interrupted in folder.glob(f"{_UPLOAD}*"):
            interrupted.unlink(missing_ok=True)

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application()
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/blobs", self._list)
        app.router.add_get("/blobs/{digest}", self._get)
        app.router.add_put("/blobs/{digest}", self._put)
        app.router.add_delete("/blobs/{digest}", self._delete)
        return app

    async def _health(self, _: web.Request) -> web.Response:
        writable = os.access(self._folder, os.W_OK)
        return web.Response(status=200 if writable else 503, text="ok" if writable else "the folder is not writable")

    async def _list(self, request: web.Request) -> web.Response:
        self._require_token(request, self._full)
        names = await asyncio.to_thread(os.listdir, self._folder)
        return web.Response(text="\n".join(name for name in names if _DIGEST.fullmatch(name)))

    async def _get(self, request: web.Request) -> web.StreamResponse:
        digest = _digest(request)
        expires, signature = request.query.get("expires", ""), request.query.get("signature", "")
        valid = _SECONDS.fullmatch(expires) is not None and int(expires) > time.time()
        if not valid or not _same(signature, tokens.code_signature(self._code_key, digest, int(expires))):
            raise web.HTTPForbidden(text="the address is not signed, or has expired")
        path = self._folder / digest
        if not path.is_file():
            raise web.HTTPNotFound(text=f"no archive {digest}")
        return web.FileResponse(path)

    async def _put(self, request: web.Request) -> web.Response:
        self._require_token(request, self._full, self._uploads)
        digest = _digest(request)
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix=_UPLOAD, delete=False) as file:
            temporary = Path(file.name)
            try:
                found = await _received(request, file)
                if found != digest:
                    raise web.HTTPBadRequest(text=f"the archive's SHA-256 is {found}, not {digest}")
                await asyncio.to_thread(_keep, file, self._folder / digest)
            except web.RequestPayloadError as error:
                raise web.HTTPBadRequest(text=f"the archive cannot be read: {error}") from error
            except OSError as error:
                raise web.HTTPInsufficientStorage(text=f"the archive could not be written: {error}") from error
            finally:
                with contextlib.suppress(FileNotFoundError):
                    temporary.unlink()  # noqa: ASYNC240 - quick
        return web.Response(status=201)

    async def _delete(self, request: web.Request) -> web.Response:
        self._require_token(request, self._full)
        (self._folder / _digest(request)).unlink(missing_ok=True)
        return web.Response(status=204)

    def _require_token(self, request: web.Request, *tokens: str) -> None:
        given = request.headers.get("Authorization", "")
        if not any(_same(given, token) for token in tokens):
            raise web.HTTPUnauthorized(text="the token does not allow this")


def _same(given: str, expected: str) -> bool:
    """Compares secrets in constant time; what was given may be any text."""
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())


def _digest(request: web.Request) -> str:
    digest = request.match_info["digest"]
    if not _DIGEST.fullmatch(digest):
        raise web.HTTPBadRequest(text="an archive is named by its SHA-256 in hex")
    return digest


async def _received(request: web.Request, file: IO[bytes]) -> str:
    """Writes the body to `file`; returns its SHA-256."""
    hasher = hashlib.sha256()
    size = 0
    async for chunk in request.content.iter_chunked(_CHUNK_BYTES):
        size += len(chunk)
        if size > limits.UNZIPPED_MAX_BYTES:
            raise web.HTTPRequestEntityTooLarge(max_size=limits.UNZIPPED_MAX_BYTES, actual_size=size)
        hasher.update(chunk)
        file.write(chunk)
    return hasher.hexdigest()


def _keep(file: IO[bytes], target: Path) -> None:
    """On the disk first, under its name after that, and the name on the disk: never half an archive, never lost."""
    file.flush()
    os.fsync(file.fileno())
    Path(file.name).replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
