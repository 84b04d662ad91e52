"""Archives on their way into the folder of the code store and out of it, a piece at a time."""

import asyncio
import contextlib
import hashlib
import os
import tempfile
from pathlib import Path
from typing import BinaryIO

from kubelambda.wire.background_tasks import BackgroundTasks
from kubelambda.wire.flow import Headers
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
    """An archive as the body of an answer, no faster than its caller reads. A `Flow`."""

    def __init__(self, request: Request, file: BinaryIO) -> None:
        self._request = request
        self._file = file
        self._open = asyncio.Event()
        self._open.set()

    async def run(self) -> None:
        """Sends all of it, or as much as the caller stays for."""
        size = os.fstat(self._file.fileno()).st_size
        self._request.begin(200, b"Content-Type: application/octet-stream\r\n", length=size, flow=self)
        if self._request.method != b"HEAD":
            await self._send()
        self._request.end()

    async def _send(self) -> None:
        while self._request.alive and (chunk := self._file.read(_CHUNK_BYTES)):
            self._request.write(chunk)
            await asyncio.sleep(0)  # a caller who reads fast is not alone
            await self._open.wait()

    def pause(self) -> None:
        """The caller cannot take more now."""
        self._open.clear()

    def resume(self) -> None:
        """The caller can take more."""
        self._open.set()

    def cancel(self) -> None:
        """The caller is gone."""
        self._open.set()
