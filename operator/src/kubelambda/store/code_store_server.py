"""The embedded code store: a content-addressed folder, served over HTTP (DESIGN §4)."""

import hashlib
import hmac
import os
import re
import tempfile
import time
from pathlib import Path

from aiohttp import web

from kubelambda.api import limits
from kubelambda.core import tokens

_DIGEST = re.compile(r"[0-9a-f]{64}")
_COLLECTABLE_SECONDS = 60.0


class CodeStoreServer:
    """Serves `folder`. Reading needs a signed address, writing the operator's token."""

    def __init__(self, folder: Path, key: bytes) -> None:
        self._folder = folder
        self._key = key
        folder.mkdir(parents=True, exist_ok=True)

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application(client_max_size=limits.UNZIPPED_MAX_BYTES)
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
        self._require_token(request)
        horizon = time.time() - _COLLECTABLE_SECONDS
        old = [path.name for path in self._folder.iterdir() if _DIGEST.fullmatch(path.name) and _mtime(path) < horizon]
        return web.Response(text="\n".join(old))

    async def _get(self, request: web.Request) -> web.StreamResponse:
        digest = _digest(request)
        expires, signature = request.query.get("expires", ""), request.query.get("signature", "")
        valid = expires.isdigit() and int(expires) > time.time()
        if not valid or not hmac.compare_digest(signature, tokens.code_signature(self._key, digest, int(expires))):
            raise web.HTTPForbidden(text="the address is not signed, or has expired")
        path = self._folder / digest
        if not path.is_file():
            raise web.HTTPNotFound(text=f"no archive {digest}")
        return web.FileResponse(path)

    async def _put(self, request: web.Request) -> web.Response:
        self._require_token(request)
        digest = _digest(request)
        hasher = hashlib.sha256()
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix=".upload-", delete=False) as file:
            temporary = Path(file.name)
            try:
                async for chunk in request.content.iter_chunked(1 << 18):
                    hasher.update(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
                if hasher.hexdigest() != digest:
                    raise web.HTTPBadRequest(text=f"the archive's digest is {hasher.hexdigest()}")
                temporary.replace(self._folder / digest)  # noqa: ASYNC240 - a rename is quick
            finally:
                temporary.unlink(missing_ok=True)  # noqa: ASYNC240
        return web.Response(status=201)

    async def _delete(self, request: web.Request) -> web.Response:
        self._require_token(request)
        (self._folder / _digest(request)).unlink(missing_ok=True)
        return web.Response(status=204)

    def _require_token(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given, f"Bearer {tokens.code_store_token(self._key)}"):
            raise web.HTTPUnauthorized(text="only the operator may do this")


def _digest(request: web.Request) -> str:
    digest = request.match_info["digest"]
    if not _DIGEST.fullmatch(digest):
        raise web.HTTPBadRequest(text="an archive is named by its SHA-256 in hex")
    return digest


def _mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()
