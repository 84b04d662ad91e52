"""Archives of function code: made out of source text, and checked before anything trusts them (§1.3, Appendix A)."""

import hashlib
import io
import stat
import zipfile
from dataclasses import dataclass
from pathlib import PurePosixPath

from kubelambda.api import limits

_EPOCH = (1980, 1, 1, 0, 0, 0)
_EXECUTABLE = 0o755
_READABLE = 0o644


class InvalidArchive(Exception):
    """The code cannot be used; the message is Lambda's own where Lambda has one."""


@dataclass(frozen=True, slots=True)
class Archive:
    """A checked archive and its address in the code store."""

    data: bytes
    sha256: str


def from_text(file_name: str, text: str) -> Archive:
    """An archive with one file, the same bytes for the same text. A bootstrap can be executed."""
    mode = _EXECUTABLE if file_name == "bootstrap" else _READABLE
    entry = zipfile.ZipInfo(file_name, _EPOCH)
    entry.external_attr = (stat.S_IFREG | mode) << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(entry, text)
    return _addressed(buffer.getvalue())


def checked(data: bytes) -> Archive:
    """`data` as an archive. Raises `InvalidArchive` for what is none, is too large, or leads out of its folder."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) >= limits.UNZIPPED_MAX_BYTES:
                raise InvalidArchive(f"Unzipped size must be smaller than {limits.UNZIPPED_MAX_BYTES} bytes")
            damaged = archive.testzip()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, EOFError) as error:
        raise InvalidArchive(
            "Could not unzip uploaded file. Please check your file, then try to upload again."
        ) from error
    except Exception as error:  # zlib.error is no subclass of anything above
        if isinstance(error, InvalidArchive):
            raise
        raise InvalidArchive(
            "Could not unzip uploaded file. Please check your file, then try to upload again."
        ) from error
    if damaged is not None:
        raise InvalidArchive(f"Could not unzip uploaded file: {damaged!r} in it is damaged.")
    for entry in entries:
        path = PurePosixPath(entry.filename)
        if path.is_absolute() or ".." in path.parts:
            raise InvalidArchive(f"Could not unzip uploaded file: {entry.filename!r} in it leads out of its folder.")
    return _addressed(data)


def is_archive(data: bytes) -> bool:
    """Whether `data` begins as a zip archive does."""
    return data[:2] == b"PK"


def _addressed(data: bytes) -> Archive:
    return Archive(data, hashlib.sha256(data).hexdigest())
