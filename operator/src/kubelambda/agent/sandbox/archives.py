"""Brings the archives of an environment: fetched in pieces, verified by size and digest, and unpacked."""

import hashlib
import io
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from kubelambda.agent.process.configuration import Paths, Unusable
from kubelambda.agent.sandbox import folder
from kubelambda.api import limits
from kubelambda.api.environment_protocol import ArchiveReference, Specialization
from kubelambda.core.code import unpacking
from kubelambda.core.code.invalid_archive import InvalidArchive

_PIECE_BYTES = 65_536
_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Before an archive that broke off goes on: a store whose pod is replaced is away for longer."""
_LOOK_S = 0.05
"""Within such a pause, between two looks at whether anybody wants the archive still."""


class NotFetched(Exception):
    """An archive could not be fetched; it may be possible a moment later, or elsewhere."""


def unpack(wanted: Specialization, along: bytes, paths: Paths, *, held_bytes: int | None = None) -> None:
    """Code to `/var/task`, then layers in their order to `/opt`; what is there cannot be written to afterwards.

    `along` are the archives that came along. `held_bytes`: `/opt` has the layers already, and in them so many.
    Raises `Unusable` for what no environment could use, and `NotFetched`.
    """
    if sum(archive.size for archive in wanted.inline) != len(along):
        raise Unusable(f"{len(along)} bytes of archives came along, not those that the message lists")
    if wanted.code is None and not wanted.layers:
        return  # a container image brings its own, and the folders here are none of it
    remaining = limits.UNZIPPED_MAX_BYTES - (held_bytes or 0)
    if wanted.code is not None:
        remaining, along = _unpack_one(wanted.code, along, paths.task, remaining)
    folder.seal(paths.task)
    if held_bytes is None:
        for layer in wanted.layers:
            remaining, along = _unpack_one(layer, along, paths.opt, remaining)
        folder.seal(paths.opt)


def unpack_layers(layers: Sequence[ArchiveReference], opt: Path, proceed: Callable[[], None]) -> int:
    """Layers that have addresses, as `unpack` does; returns how many bytes they have.

    `proceed` is called again and again, and raises to end it. Raises as `unpack`.
    """
    remaining = limits.UNZIPPED_MAX_BYTES
    for layer in layers:
        remaining, _ = _unpack_one(layer, b"", opt, remaining, proceed)
    folder.seal(opt)
    return limits.UNZIPPED_MAX_BYTES - remaining


def _unpack_one(
    archive: ArchiveReference, along: bytes, target: Path, remaining: int, proceed: Callable[[], None] = lambda: None
) -> tuple[int, bytes]:
    """Returns how many bytes may still be unpacked, and what came along after this one."""
    if archive.url is None:
        data, along = along[: archive.size], along[archive.size :]
        _verify(archive, [data])
        file: IO[bytes] = io.BytesIO(data)
    else:
        file = _fetch(archive, archive.url, target, proceed)
    with file:
        try:
            plan = unpacking.plan(file, max_bytes=remaining)
            folder.unpack(file, plan, target, proceed)
        except (InvalidArchive, OSError) as error:
            raise Unusable(f"the archive cannot be unpacked: {error}") from error
    return remaining - plan.size, along


def _fetch(archive: ArchiveReference, url: str, target: Path, proceed: Callable[[], None]) -> IO[bytes]:
    """Into a file without a name, on the volume that it is unpacked to: nothing of it stays in memory."""
    if not url.startswith(("http://", "https://")):
        raise Unusable("the archive came neither along nor with an address")
    file = _nameless(target / ".archive")

    def pieces() -> Iterable[bytes]:
        for piece in _sent(archive, url, proceed):
            proceed()
            file.write(piece)
            yield piece

    try:
        _verify(archive, pieces())
    except OSError as error:
        file.close()
        raise NotFetched(f"the archive could not be fetched: {error}") from error
    except BaseException:
        file.close()
        raise
    return file


def _sent(archive: ArchiveReference, url: str, proceed: Callable[[], None]) -> Iterator[bytes]:
    """What the store sends. Where that breaks off it goes on a moment later, unless it is refused. Raises `OSError`."""
    from http.client import HTTPException  # noqa: PLC0415 - as below
    from urllib.error import HTTPError  # noqa: PLC0415 - as below

    size = 0
    for pause in (*_PAUSES_S, None):
        why: Exception = OSError("it was cut off")
        try:
            for piece in _answer(archive, url, size):
                size += len(piece)
                yield piece
                if size > archive.size:
                    return
        except (OSError, HTTPException) as error:
            why = error
        if size >= archive.size:
            return
        refused = False
        if isinstance(why, HTTPError):
            why.close()
            refused = why.code < 500  # its address is good for a while only
        if not size or pause is None or refused:
            raise OSError(f"{why} (after {size} of {archive.size} bytes)") from why
        _wait(pause, proceed)


def _wait(seconds: float, proceed: Callable[[], None]) -> None:
    """Cut short where it is not to go on."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        proceed()
        time.sleep(min(left, _LOOK_S))


def _answer(archive: ArchiveReference, url: str, begin: int) -> Iterator[bytes]:
    import urllib.request  # noqa: PLC0415 - megabytes that only large archives need

    rest = {"Range": f"bytes={begin}-", "If-Range": f'"{archive.sha256}"'} if begin else {}
    asked = urllib.request.Request(url, headers=rest)  # noqa: S310 - the scheme is checked by who asks
    with urllib.request.urlopen(asked, timeout=60) as response:  # noqa: S310 - as above
        if begin and response.status != 206:
            raise OSError("the store does not go on where it was cut off")
        while piece := response.read(_PIECE_BYTES):
            yield piece


def _nameless(path: Path) -> IO[bytes]:
    file = path.open("x+b")
    path.unlink()
    return file


def _verify(archive: ArchiveReference, pieces: Iterable[bytes]) -> None:
    """Raises `Unusable` unless the archive is the one that was verified when the function was deployed."""
    found, size = hashlib.sha256(), 0
    for piece in pieces:
        found.update(piece)
        size += len(piece)
    digest = found.hexdigest()
    if size != archive.size or digest != archive.sha256:
        raise Unusable(f"the archive has {size} bytes and digest {digest}, not {archive.size} and {archive.sha256}")
