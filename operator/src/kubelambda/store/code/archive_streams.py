"""Archives on their way into the folder of the code store and out of it, a piece at a time."""

import asyncio
import contextlib
import hashlib
import os
import tempfile
from pathlib import Path
from typing import BinaryIO

from kubelambda.store.code.byte_range import Unsatisfiable, wanted_range
from kubelambda.wire.background_tasks import BackgroundTasks
from kubelambda.wire.flow import Headers
from kubelambda.wire.pace import Pace
from kubelambda.wire.plain_text import respond_text
from kubelambda.wire.request import Request

_UNFINISHED = ".upload-"
_CHUNK_BYTES = 1 << 17


def discard_unfinished(folder: Path) -> None:
    """Removes the uploads of an earlier life."""
    for interrupted in folder.glob(f"{_UNFINISHED}*"):
        interrupted.unlink(missing_ok=True)


class ArchiveUpload:
    """A body that becomes the archive `digest` of `folder` once all of it is there. A `BodySink`.

    Raises `OSError` when no file can be made. Answers the request in every case, but for a caller who is gone.
    """

    def __init__(self, request: Request, folder: Path, digest: str, max_bytes: int, tasks: BackgroundTasks) -> None:
        self._request = request
        self._folder = folder
        self._digest = digest
        self._max_bytes = max_bytes
        self._tasks = tasks
        self._hasher = hashlib.sha256()
        self._size = 0
        number, name = tempfile.mkstemp(dir=folder, prefix=_UNFINISHED)
        self._temporary = Path(name)
        self._file: BinaryIO | None = os.fdopen(number, "wb")

    def data(self, data: bytes) -> None:
        """More of the archive."""
        file = self._file
        if file is None:
            return
        self._size += len(data)
        if self._size > self._max_bytes:
            self._refuse(413, f"an archive has at most {self._max_bytes} bytes")
            return
        self._hasher.update(data)
        try:
            file.write(data)
        except OSError as error:
            self._refuse(507, f"the archive could not be written: {error}")

    def end(self, trailers: Headers) -> None:  # noqa: ARG002 - a sink's
        """All of it is there."""
        found = self._hasher.hexdigest()
        if self._file is None:
            return
        if found != self._digest:
            self._refuse(400, f"the archive's SHA-256 is {found}, not {self._digest}")
            return
        self._tasks.start(self._keep(self._file))

    def abort(self, why: str) -> None:  # noqa: ARG002 - nobody is left to be told
        """The rest will never come."""
        self._discard()

    async def _keep(self, file: BinaryIO) -> None:
        self._file = None
        try:
            await asyncio.to_thread(_keep, file, self._temporary, self._folder / self._digest)
        except OSError as error:
            respond_text(self._request, 507, f"the archive could not be written: {error}")
        else:
            self._request.respond(201)
        finally:
            self._temporary.unlink(missing_ok=True)

    def _refuse(self, status: int, text: str) -> None:
        self._discard()
        respond_text(self._request, status, text)

    def _discard(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):  # what it still holds may find no room either
                file.close()
            self._temporary.unlink(missing_ok=True)


def _keep(file: BinaryIO, temporary: Path, target: Path) -> None:
    """On the disk first, under its name after that, and the name on the disk: never half an archive, never lost."""
    with file:
        file.flush()
        os.fsync(file.fileno())
        temporary.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class ArchiveDownload:
    """An archive, or a part of it, as the body of an answer, no faster than its caller reads."""

    def __init__(self, request: Request, digest: str, file: BinaryIO) -> None:
        self._request = request
        self._tag = b'"%b"' % digest.encode()
        self._file = file
        self._pace = Pace()

    async def run(self) -> None:
        """Sends all of it, or as much as the caller stays for."""
        size = os.fstat(self._file.fileno()).st_size
        headers = self._request.headers
        asked = headers.get(b"range") if self._request.method == b"GET" else None
        try:
            part = wanted_range(asked, headers.get(b"if-range"), self._tag, size)
        except Unsatisfiable:
            self._request.respond(416, b"", b"Content-Range: bytes */%d\r\n" % size)
            return
        about = b"Content-Type: application/octet-stream\r\nAccept-Ranges: bytes\r\nETag: %b\r\n" % self._tag
        if part is None:
            self._request.begin(200, about, length=size, flow=self._pace)
        else:
            about += b"Content-Range: %b\r\n" % part.header
            self._request.begin(206, about, length=part.length, flow=self._pace)
            self._file.seek(part.first)
        if self._request.method != b"HEAD":
            await self._send(size if part is None else part.length)
        self._request.end()

    async def _send(self, left: int) -> None:
        while self._request.alive and (chunk := self._file.read(min(left, _CHUNK_BYTES))):
            self._request.write(chunk)
            left -= len(chunk)
            await asyncio.sleep(0)  # a caller who reads fast is not alone
            await self._pace.open.wait()
