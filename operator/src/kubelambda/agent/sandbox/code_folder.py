"""The function's code: verified by size and digest, then unpacked without ever leaving its folder."""

import hashlib
import io
import stat
import zipfile
from pathlib import Path

from kubelambda.agent.process.configuration import Unusable
from kubelambda.api import limits
from kubelambda.api.environment_protocol import ArchiveReference


def fetch(code: ArchiveReference) -> bytes:
    """Downloads the archive. Raises `Unusable`."""
    import urllib.request  # noqa: PLC0415 - megabytes that only large archives need

    if code.url is None or not code.url.startswith(("http://", "https://")):
        raise Unusable("the archive came neither along nor with an address")
    try:
        with urllib.request.urlopen(code.url, timeout=60) as response:  # noqa: S310 - the scheme is checked above
            data: bytes = response.read(code.size + 1)
            return data
    except OSError as error:
        raise Unusable(f"the archive could not be fetched: {error}") from error


def verify(code: ArchiveReference, archive: bytes) -> None:
    """Raises `Unusable` unless the archive is the one that was verified when the function was deployed."""
    digest = hashlib.sha256(archive).hexdigest()
    if len(archive) != code.size or digest != code.sha256:
        raise Unusable(f"the archive has {len(archive)} bytes and digest {digest}, not {code.size} and {code.sha256}")


def unpack(archive: bytes, folder: Path) -> None:
    """Unpacks into `folder`. Raises `Unusable` for what is no archive, too large, or tries to leave the folder."""
    root = folder.resolve()
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as found:
            if sum(entry.file_size for entry in found.infolist()) >= limits.UNZIPPED_MAX_BYTES:
                raise Unusable(f"Unzipped size must be smaller than {limits.UNZIPPED_MAX_BYTES} bytes")
            for entry in found.infolist():
                _unpack_entry(found, entry, root)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        raise Unusable(f"the archive cannot be unpacked: {error}") from error


def _unpack_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, root: Path) -> None:
    target = root / entry.filename
    if not target.parent.resolve().is_relative_to(root) or ".." in Path(entry.filename).parts:
        raise Unusable(f"the archive's entry {entry.filename!r} leads out of its folder")
    mode = entry.external_attr >> 16
    if entry.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if stat.S_ISLNK(mode):
        link = archive.read(entry).decode()
        if not (target.parent / link).resolve().is_relative_to(root):
            raise Unusable(f"the archive's link {entry.filename!r} leads out of its folder")
        target.symlink_to(link)
        return
    target.write_bytes(archive.read(entry))
    target.chmod((mode & 0o777) or 0o644)
