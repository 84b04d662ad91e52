"""What unpacking an archive will do, decided before anything is done: folders, then files, then links.

Whoever checks an archive and whoever unpacks it make the same plan, so what one accepts the other can carry out.
Nothing in a plan leads out of its folder. Links point wherever they like, as Lambda keeps them (`/opt/nodejs`,
`/tmp/cache`): they are made last, and nothing is ever written through one, because no entry lies below a link.
"""

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Final

from kubelambda.api import limits
from kubelambda.core.code import zip_reader
from kubelambda.core.code.invalid_archive import InvalidArchive, refused, shown, too_large
from kubelambda.core.code.zip_reader import ENTRIES_MAX, LIST_MAX_BYTES, Entry

NAME_MAX_BYTES: Final = 255
PATH_MAX_BYTES: Final = 3_900
"""What Linux takes, less room for the folder that everything is unpacked into."""
LINK_MAX_BYTES: Final = 4_095

_READABLE = 0o644


@dataclass(frozen=True, slots=True)
class PackedFile:
    """A file to write: `contents` has its bytes, `mode` its permissions (no set-user-id, always readable to us)."""

    path: str
    mode: int
    entry: Entry


@dataclass(frozen=True, slots=True)
class PackedLink:
    """A symbolic link to make."""

    path: str
    target: str


@dataclass(frozen=True, slots=True)
class UnpackingPlan:
    """The steps in their order. Paths are relative, have no `..`, and each occurs once.

    Names are text as `os.fsdecode` gives it: bytes that are no UTF-8 are surrogates.
    """

    directories: tuple[str, ...]
    """Parents first; none of them is the folder itself."""
    files: tuple[PackedFile, ...]
    links: tuple[PackedLink, ...]
    size: int
    """Bytes of all files."""


def plan(file: IO[bytes], *, max_bytes: int = limits.UNZIPPED_MAX_BYTES) -> UnpackingPlan:
    """Reads the list of files and the links of an archive, but no other content.

    `max_bytes` is what all files must stay below. Raises `InvalidArchive` for what cannot be unpacked.
    """
    directories: dict[str, None] = {}
    leaves: dict[str, Entry] = {}
    size, letters = 0, 0
    for entry in zip_reader.entries(file):
        size += entry.size
        if size >= max_bytes:
            raise InvalidArchive(too_large(max_bytes))
        path, is_directory = _path(entry)
        letters += _add_directories(directories, path if is_directory else path.rpartition("/")[0])
        if not is_directory:
            leaves[path] = entry  # of two entries with one name the later one counts, as in every unpacker
        if len(directories) + len(leaves) > ENTRIES_MAX or letters > LIST_MAX_BYTES:
            raise refused("it lists too many files")
    _refuse_clashes(directories, leaves)
    links = [PackedLink(path, _target(file, entry)) for path, entry in leaves.items() if stat.S_ISLNK(entry.mode)]
    files = [
        PackedFile(path, (entry.mode & 0o777 or _READABLE) | stat.S_IRUSR, entry)
        for path, entry in leaves.items()
        if not stat.S_ISLNK(entry.mode)
    ]
    return UnpackingPlan(tuple(directories), tuple(files), tuple(links), sum(found.entry.size for found in files))


def contents(file: IO[bytes], packed: PackedFile) -> Iterator[bytes]:
    """The bytes of a planned file, in pieces of at most 64 KiB. Raises `InvalidArchive` when they are damaged."""
    return zip_reader.content(file, packed.entry)


def _path(entry: Entry) -> tuple[str, bool]:
    """The path of an entry without what means nothing in it, and whether it is a folder. Raises `InvalidArchive`."""
    name = entry.name
    if name.startswith("/") or ".." in name.replace("\\", "/").split("/"):
        raise refused(f"{shown(name)} in it leads out of its folder")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    path = "/".join(parts)
    is_directory = name.endswith("/") or stat.S_ISDIR(entry.mode)
    if "\0" in name or not (path or is_directory):
        raise refused(f"{shown(name)} in it is no name of a file")
    if max(map(_bytes, parts), default=0) > NAME_MAX_BYTES or _bytes(path) > PATH_MAX_BYTES:
        raise refused(f"{shown(name)} in it is longer than a file's name can be")
    return path, is_directory


def _bytes(name: str) -> int:
    return len(name.encode("utf-8", "surrogateescape"))


def _add_directories(directories: dict[str, None], path: str) -> int:
    """Adds a folder and those above it, parents first; returns the letters of the names that it added."""
    missing = []
    while path and path not in directories:
        missing.append(path)
        path = path.rpartition("/")[0]
    directories.update(dict.fromkeys(reversed(missing)))
    return sum(map(len, missing))


def _refuse_clashes(directories: dict[str, None], leaves: dict[str, Entry]) -> None:
    for path, entry in leaves.items():
        if path in directories:
            kind = "link" if stat.S_ISLNK(entry.mode) else "file"
            raise refused(f"{shown(path)} in it is both a {kind} and a folder")


def _target(file: IO[bytes], entry: Entry) -> str:
    if not 0 < entry.size <= LINK_MAX_BYTES:
        raise refused(f"the link {shown(entry.name)} in it leads nowhere")
    target = b"".join(zip_reader.content(file, entry))
    if b"\0" in target:
        raise refused(f"the link {shown(entry.name)} in it leads nowhere")
    return target.decode("utf-8", "surrogateescape")
