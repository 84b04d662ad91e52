"""Reads zip archives of strangers: what lies in them, and the bytes of one entry, in bounded pieces.

Every number in an archive is a claim. No claim decides how much is read or kept at once: the list of files is read in
windows of `_WINDOW_BYTES`, content in pieces of `PIECE_BYTES`, and both end where the bounds do. Python's `zipfile`
reads the whole list in one go, finds another end record than a check in front of it does, and unpacks some methods
without a bound; so operator and agent use this reader instead, and agree on every archive.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Final

from kubelambda.core.code.invalid_archive import UNREADABLE, InvalidArchive, refused, shown

LIST_MAX_BYTES: Final = 16 << 20
ENTRIES_MAX: Final = 100_000
"""More files than fit into the sizes that Lambda allows in practice; each costs its reader about 400 bytes."""
PIECE_BYTES: Final = 1 << 16

_WINDOW_BYTES = 1 << 18
_STORED, _DEFLATED = 0, 8
_METHODS = {1: "shrink", 6: "implode", 9: "deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ", 98: "PPMd"}
_ENCRYPTED = 0x0001 | 0x0040 | 0x2000
_UTF8 = 0x0800
_UNIX, _MACOS = 3, 19

_END = struct.Struct("<4s4H2LH")
END_SEARCH_BYTES: Final = _END.size + 65_535
"""At the end of a file: what the end record and its comment take at most."""
_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LISTED = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_EXTRA_ZIP64 = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as the list of files has it; sizes are claims until the content was read."""

    name: str
    mode: int
    """Unix mode with the file's type; 0 where the archive's maker had none."""
    size: int
    packed_size: int
    crc: int
    method: int
    offset: int
    """Where its own header begins in the file."""


def entries(file: IO[bytes]) -> Iterator[Entry]:
    """What the archive lists, in its order. Raises `InvalidArchive`."""
    start, size, shift = _list_of_files(file)
    if size > LIST_MAX_BYTES:
        raise refused("it lists too many files")
    file.seek(start)
    window, remaining, count, packed = b"", size, 0, 0
    while window or remaining:
        if len(window) < _WINDOW_BYTES and remaining:
            piece = _read(file, min(_WINDOW_BYTES, remaining))
            window, remaining = window + piece, remaining - len(piece)
        at = 0
        while (length := _listed_length(window, at, last=not remaining)) is not None:
            entry = _entry(window[at : at + length], shift)
            count, packed = count + 1, packed + entry.packed_size
            if count > ENTRIES_MAX:
                raise refused("it lists too many files")
            # Entries that share bytes could make a reader work on the same ones again and again.
            if entry.offset + entry.packed_size > start or packed > start:
                raise InvalidArchive(UNREADABLE)
            yield entry
            at += length
        window = window[at:]


def content(file: IO[bytes], entry: Entry) -> Iterator[bytes]:
    """The bytes of an entry, never more than it claims, out of a file that nobody else reads meanwhile.

    Raises `InvalidArchive` for damaged content, after all of it that is good.
    """
    file.seek(entry.offset)
    header = _LOCAL.unpack(_read(file, _LOCAL.size))
    if header[0] != b"PK\3\4":
        raise _damaged(entry)
    file.seek(header[9] + header[10], 1)
    size, crc = 0, 0
    for piece in _inflated(file, entry) if entry.method == _DEFLATED and entry.packed_size else _packed(file, entry):
        size, crc = size + len(piece), zlib.crc32(piece, crc)
        if size > entry.size:
            raise _damaged(entry)
        yield piece
    if size != entry.size or crc != entry.crc:
        raise _damaged(entry)


def _damaged(entry: Entry) -> InvalidArchive:
    return refused(f"{shown(entry.name)} in it is damaged")


def _read(file: IO[bytes], count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise InvalidArchive(UNREADABLE)
    return data


# -- the list of files ------------------------------------------------------------------------------------------------


def _list_of_files(file: IO[bytes]) -> tuple[int, int, int]:
    """Where the list starts, its bytes, and by how much every offset is off: archives may have something in front."""
    length = file.seek(0, 2)
    start = max(0, length - END_SEARCH_BYTES)
    file.seek(start)
    tail = _read(file, length - start)
    at = end_record(tail)
    size, offset = _END.unpack_from(tail, at)[5:7]
    end = start + at
    larger = _end_record_64(file, tail, at, end)
    if larger is not None:
        end, size, offset = larger
    shift = end - size - offset
    if shift < 0:
        raise InvalidArchive(UNREADABLE)
    return offset + shift, size, shift


def end_record(tail: bytes) -> int:
    """Where it is: the last record whose comment ends with the file, else the last one whose comment fits into it.

    `tail`: the last `END_SEARCH_BYTES` of the file. Raises `InvalidArchive`.
    """
    fitting, at = None, len(tail)
    while (at := tail.rfind(b"PK\5\6", 0, at)) >= 0:
        if at + _END.size > len(tail):
            continue
        end = at + _END.size + _END.unpack_from(tail, at)[7]
        if end == len(tail):
            return at
        if end < len(tail) and fitting is None:
            fitting = at
    if fitting is None:
        raise InvalidArchive(UNREADABLE)
    return fitting


def _end_record_64(file: IO[bytes], tail: bytes, at: int, end: int) -> tuple[int, int, int] | None:
    """Where the larger record is, with the size and the offset of the list; None in an archive without one."""
    if at < _LOCATOR.size or tail[at - _LOCATOR.size : at - _LOCATOR.size + 4] != b"PK\6\7":
        return None
    said: int = _LOCATOR.unpack_from(tail, at - _LOCATOR.size)[2]
    beside = end - _LOCATOR.size - _END64.size
    for place in (beside, said):
        if 0 <= place <= beside:
            file.seek(place)
            record = _END64.unpack(_read(file, _END64.size))
            if record[0] == b"PK\6\6":
                return place, record[8], record[9]
    raise InvalidArchive(UNREADABLE)


def _listed_length(window: bytes, at: int, *, last: bool) -> int | None:
    """Bytes of the entry at `at`; None when the window ends before it does."""
    if at == len(window):
        return None
    if at + _LISTED.size <= len(window):
        fields = _LISTED.unpack_from(window, at)
        if fields[0] != b"PK\1\2":
            raise InvalidArchive(UNREADABLE)
        length = _LISTED.size + int(fields[10]) + int(fields[11]) + int(fields[12])
        if at + length <= len(window):
            return length
    if last:
        raise InvalidArchive(UNREADABLE)
    return None


def _entry(listed: bytes, shift: int) -> Entry:
    fields = _LISTED.unpack_from(listed)
    _, made_by, _, flags, method, _, _, crc, packed_size, size, name_size, extra_size, *_, attributes, offset = fields
    raw_name = listed[_LISTED.size : _LISTED.size + name_size]
    extra = listed[_LISTED.size + name_size : _LISTED.size + name_size + extra_size]
    name = _name(raw_name, flags, made_by >> 8)
    if flags & _ENCRYPTED:
        raise refused(f"{shown(name)} in it is encrypted")
    if method not in (_STORED, _DEFLATED):
        known = _METHODS.get(method, f"method {method}")
        raise refused(f"{shown(name)} in it is compressed with {known}; what can be read is deflate, or nothing")
    size, packed_size, offset = _larger(extra, size, packed_size, offset)
    return Entry(name, attributes >> 16, size, packed_size, crc, method, offset + shift)


def _name(raw: bytes, flags: int, system: int) -> str:
    """The name as it will be on disk: Linux has bytes there, and those that are no UTF-8 survive as surrogates."""
    if not flags & _UTF8 and system not in (_UNIX, _MACOS):
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return raw.decode("cp437")
    return raw.decode("utf-8", "surrogateescape")


def _larger(extra: bytes, *claims: int) -> list[int]:
    """`claims` with those that do not fit into 32 bits taken from the extra field that has them in 64."""
    found, at = list(claims), 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == _EXTRA_ZIP64:
            field = extra[at + 4 : at + 4 + length]
            for index, claim in enumerate(found):
                if claim == 0xFFFFFFFF:
                    if len(field) < 8:
                        raise InvalidArchive(UNREADABLE)
                    found[index], field = int.from_bytes(field[:8], "little"), field[8:]
            break
        at += 4 + length
    return found


# -- content ----------------------------------------------------------------------------------------------------------


def _packed(file: IO[bytes], entry: Entry) -> Iterator[bytes]:
    remaining = entry.packed_size
    while remaining:
        piece = file.read(min(PIECE_BYTES, remaining))
        if not piece:
            raise _damaged(entry)
        remaining -= len(piece)
        yield piece


def _inflated(file: IO[bytes], entry: Entry) -> Iterator[bytes]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for packed in _packed(file, entry):
            waiting = packed
            while waiting and not inflater.eof:
                yield inflater.decompress(waiting, PIECE_BYTES)
                waiting = inflater.unconsumed_tail
            if inflater.eof:
                return
        while not inflater.eof:
            piece = inflater.decompress(b"", PIECE_BYTES)
            if not piece:
                raise _damaged(entry)
            yield piece
    except zlib.error as error:
        raise _damaged(entry) from error
