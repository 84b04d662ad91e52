"""The embedded code store: a content-addressed folder, served over HTTP (DESIGN §4)."""

import asyncio
import hmac
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, unquote

from kubelambda.api import limits
from kubelambda.core.environment import tokens
from kubelambda.store.code.archive_streams import ArchiveDownload, ArchiveUpload, discard_unfinished
from kubelambda.wire.background_tasks import BackgroundTasks
from kubelambda.wire.connections import Connections
from kubelambda.wire.flow import BodySink
from kubelambda.wire.plain_text import respond_text
from kubelambda.wire.protocol import ServerProtocol
from kubelambda.wire.request import Request

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SECONDS = re.compile(r"[0-9]{1,12}")
_FOLDER = "/blobs"
_USED = "/used"
"""Behind an archive's path: when somebody put it, or would have."""


class Refused(Exception):
    """A request that is not served; the message is for its caller."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class CodeStoreServer:
    """Serves `folder`. Reading needs a signed address, writing a token for uploads, and the rest the operator's."""

    def __init__(self, folder: Path, key: bytes) -> None:
        self._folder = folder
        self._code_key = tokens.code_key(key)
        self._full = f"Bearer {tokens.code_store_token(key)}"
        self._uploads = f"Bearer {tokens.upload_token(self._code_key)}"
        self._tasks = BackgroundTasks()
        folder.mkdir(parents=True, exist_ok=True)
        discard_unfinished(folder)

    def protocol(self, connections: Connections) -> ServerProtocol:
        """The server side of a new connection."""
        return ServerProtocol(self._serve, max_body=0, admit=self._admit, connections=connections)

    def _admit(self, request: Request) -> int | BodySink | None:
        """Archives are taken in as they come; nothing else has a body."""
        path, _ = _address(request)
        if request.method != b"PUT" or not path.startswith(f"{_FOLDER}/") or path.endswith(_USED):
            return 0
        try:
            self._require_token(request, self._full, self._uploads)
            return ArchiveUpload(request, self._folder, _digest(path), limits.UNZIPPED_MAX_BYTES, self._tasks)
        except Refused as error:
            respond_text(request, error.status, str(error))
        except OSError as error:
            respond_text(request, 507, f"the archive could not be written: {error}")
        return None

    def _serve(self, request: Request) -> None:
        self._tasks.answer(request, self._answer(request))

    async def _answer(self, request: Request) -> None:
        path, query = _address(request)
        try:
            match request.method, path:
                case b"GET" | b"HEAD", "/healthz":
                    self._health(request)
                case b"GET" | b"HEAD", "/blobs":
                    await self._list(request)
                case b"GET" | b"HEAD", str() if path.startswith(f"{_FOLDER}/"):
                    await self._get(request, _digest(path), query)
                case b"PUT", str() if path.startswith(f"{_FOLDER}/"):
                    self._renew(request, _digest(path.removesuffix(_USED)))
                case b"DELETE", str() if path.startswith(f"{_FOLDER}/"):
                    self._delete(request, _digest(path), query)
                case _:
                    raise Refused(404, f"there is no {request.method.decode()} {path}")
        except Refused as error:
            respond_text(request, error.status, str(error))

    def _health(self, request: Request) -> None:
        writable = os.access(self._folder, os.W_OK)
        respond_text(request, 200 if writable else 503, "ok" if writable else "the folder is not writable")

    async def _list(self, request: Request) -> None:
        self._require_token(request, self._full)
        names = await asyncio.to_thread(os.listdir, self._folder)
        respond_text(request, 200, "\n".join(name for name in names if _DIGEST.fullmatch(name)))

    async def _get(self, request: Request, digest: str, query: str) -> None:
        given = parse_qs(query, errors="replace")
        expires, signature = (given.get(name, [""])[0] for name in ("expires", "signature"))
        valid = _SECONDS.fullmatch(expires) is not None and int(expires) > time.time()
        if not valid or not _same(signature, tokens.code_signature(self._code_key, digest, int(expires))):
            raise Refused(403, "the address is not signed, or has expired")
        try:
            file = (self._folder / digest).open("rb")
        except FileNotFoundError:
            raise Refused(404, f"no archive {digest}") from None
        with file:
            await ArchiveDownload(request, digest, file).run()

    def _renew(self, request: Request, digest: str) -> None:
        """Whoever finds an archive here may name it soon: until then it is as if it had just come."""
        self._require_token(request, self._full, self._uploads)
        try:
            os.utime(self._folder / digest)
        except FileNotFoundError:
            raise Refused(404, f"no archive {digest}") from None
        request.respond(204)

    def _delete(self, request: Request, digest: str, query: str) -> None:
        self._require_token(request, self._full)
        given = parse_qs(query, errors="replace").get("unused", ["0"])[0]
        if not _SECONDS.fullmatch(given):
            raise Refused(400, "unused is a number of whole seconds")
        path = self._folder / digest
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime < int(given):
                raise Refused(409, f"somebody put or renewed {digest} less than {given} seconds ago")
            path.unlink()
        request.respond(204)

    def _require_token(self, request: Request, *tokens: str) -> None:
        given = request.headers.get(b"authorization", b"").decode(errors="replace")
        if not any(_same(given, token) for token in tokens):
            raise Refused(401, "the token does not allow this")


def _same(given: str, expected: str) -> bool:
    """Compares secrets in constant time; what was given may be any text."""
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())


def _address(request: Request) -> tuple[str, str]:
    """Path and query of what is asked for."""
    path, _, query = request.target.decode(errors="replace").partition("?")
    return unquote(path), query


def _digest(path: str) -> str:
    digest = path.removeprefix(f"{_FOLDER}/")
    if not _DIGEST.fullmatch(digest):
        raise Refused(400, "an archive is named by its SHA-256 in hex")
    return digest
