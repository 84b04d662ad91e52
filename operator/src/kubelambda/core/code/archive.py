"""Archives of function code: made out of source text, and checked before anything trusts them (§1.3, Appendix A)."""

import io
import stat
import struct
import zipfile
import zlib
from pathlib import PurePosixPath
from typing import IO, Final

from kubelambda.api import limits

UNREADABLE: Final = "Could not unzip uploaded file. Please check your file, then try to upload again."
TOO_LARGE: Final = f"Unzipped size must be smaller than {limits.UNZIPPED_MAX_BYTES} bytes"

_EPOCH = (1980, 1, 1, 0, 0, 0)
_EXECUTABLE = 0o755
_READABLE = 0o644
_DIRECTORY_MAX_BYTES = 8 << 20
"""A list of 65 535 files with long names fits; one that is only made to fill the reader's memory does not."""
_END = b"PK\x05\x06"
_END_SEARCH_BYTES = 22 + 65_535
_LOCATOR = b"PK\x06\x07"
_FAULTS = (zipfile.BadZipFile, zlib.error, OSError, ValueError, NotImplementedError, RuntimeError, EOFError)


class InvalidArchive(Exception):
    """The code cannot be used; the message is Lambda's own where Lambda has one."""


def from_text(file_name: str, text: str) -> bytes:
    """An archive with one file, the same bytes for the same text. A bootstrap can be executed."""
    mode = _EXECUTABLE if file_name == "bootstrap" else _READABLE
    entry = zipfile.ZipInfo(file_name, _EPOCH)
    entry.external_attr = (stat.S_IFREG | mode) << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(entry, text)
    return buffer.getvalue()


def check(file: IO[bytes]) -> None:
    """Reads all of an archive. Raises `InvalidArchive` for what is none, is too large, or leads out of its folder."""
    try:
        if _directory_size(file) > _DIRECTORY_MAX_BYTES:
            raise InvalidArchive(f"{UNREADABLE} (it lists too many files)")
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            # The sizes that entries claim are also all that is ever read of them.
            if sum(entry.file_size for entry in entries) >= limits.UNZIPPED_MAX_BYTES:
                raise InvalidArchive(TOO_LARGE)
            damaged = archive.testzip()
    except _FAULTS as error:
        raise InvalidArchive(UNREADABLE) from error
    if damaged is not None:
        raise InvalidArchive(f"{UNREADABLE} ({damaged!r} in it is damaged)")
    for entry in entries:
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts:
            raise InvalidArchive(f"{UNREADABLE} ({entry.filename!r} in it leads out of its folder)")


def _directory_size(file: IO[bytes]) -> int:
    """Bytes of the list of files, read before the list itself is; 0 when there is none."""
    size = file.seek(0, io.SEEK_END)
    start = max(0, size - _END_SEARCH_BYTES)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < 22:
        return 0
    found: int = struct.unpack_from("<L", tail, at + 12)[0]
    if at >= 20 and tail[at - 20 : at - 16] == _LOCATOR:
        file.seek(start + at - 20 - 56)
        found = max(found if found != 0xFFFFFFFF else 0, struct.unpack_from("<Q", file.read(56), 40)[0])
    return found
