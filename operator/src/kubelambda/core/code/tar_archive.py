"""Makes the zip archive that environments unpack out of a tar archive: the same bytes for the same files."""

import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from typing import IO, Any, Final, Self

from kubelambda.api import limits
from kubelambda.core.code.invalid_archive import InvalidArchive, refused, shown, too_large
from kubelambda.core.code.zip_reader import ENTRIES_MAX

ZIP_MAGIC: Final = b"PK\x03\x04"
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_EXTENSIONS: Final = (b"x", b"g", b"X", b"L", b"K")
"""Types of headers whose content is read into memory at once."""
_EXTENSION_MAX_BYTES: Final = 65_536
_CHUNK_BYTES: Final = 1 << 18
_FORGETTING: Final[dict[str, Any]] = {"stream": True}
"""Headers that were read are not kept."""


class _Header(tarfile.TarInfo):
    """A header whose own content is small."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Raises `InvalidArchive`."""
        found = super().frombuf(buf, encoding, errors)
        if found.type in _EXTENSIONS and found.size > _EXTENSION_MAX_BYTES:
            raise refused("a header in it is longer than anybody needs")
        return found


def zip_of_tar(tar: IO[bytes], target: IO[bytes]) -> None:
    """Reads a tar archive, packed by gzip or not packed, from its start to its end. Raises `InvalidArchive`."""
    try:
        with (
            tarfile.open(fileobj=tar, mode="r|*", tarinfo=_Header, errorlevel=2, **_FORGETTING) as archive,
            zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as folder,
        ):
            for member in _bounded(archive):
                _add(folder, archive, member)
    except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError) as error:
        raise refused(f"its tar archive cannot be read: {error or type(error).__name__}") from error


def _bounded(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Members whose sizes together stay below the limit, before anything of one that does not is read."""
    size = 0
    for number, member in enumerate(archive):
        size += member.size
        if size >= limits.UNZIPPED_MAX_BYTES:
            raise InvalidArchive(too_large())
        if number >= ENTRIES_MAX:
            raise refused("it lists too many files")
        yield member


def _add(folder: zipfile.ZipFile, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    name = member.name.removeprefix("./")
    if name in ("", "."):
        return
    kind = stat.S_IFLNK if member.issym() else stat.S_IFDIR if member.isdir() else stat.S_IFREG
    if kind == stat.S_IFREG and not member.isreg():
        raise refused(f"{shown(name)} in it is neither a file nor a folder nor a symbolic link")
    entry = zipfile.ZipInfo(f"{name}/" if member.isdir() else name, _EPOCH)
    entry.create_system = 3  # Unix, as the modes are
    entry.external_attr = (kind | member.mode & 0o777) << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    if member.issym():
        folder.writestr(entry, member.linkname)
        return
    with folder.open(entry, "w", force_zip64=False) as written:
        content = archive.extractfile(member) if member.isreg() else None
        if content is not None:
            shutil.copyfileobj(content, written, _CHUNK_BYTES)
