"""Archives that lie: what is in them, and what whoever reads them is to say. One table for operator and agent."""

import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

UNREADABLE: Final = "Could not unzip uploaded file"
FILE: Final = stat.S_IFREG | 0o644
LINK: Final = stat.S_IFLNK | 0o777
_MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Packed:
    """One entry. What is not given is what is true of it."""

    name: bytes = b"index.py"
    content: bytes = b"x = 1"
    mode: int = FILE
    method: int = zipfile.ZIP_STORED
    flags: int = 0
    local_name: bytes | None = None
    size: int | None = None
    packed_size: int | None = None
    crc: int | None = None
    offset: int | None = None
    extra: bytes = b""

    @property
    def packed(self) -> bytes:
        """Its bytes in the archive."""
        if self.method != zipfile.ZIP_DEFLATED:
            return self.content
        packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        return packer.compress(self.content) + packer.flush()

    def local(self) -> bytes:
        """The header in front of its bytes."""
        name = self.name if self.local_name is None else self.local_name
        lengths = len(self.packed), len(self.content), len(name), 0
        return struct.pack("<4s5HL2L2H", b"PK\3\4", 20, self.flags, self.method, 0, 0, self._crc, *lengths) + name

    def listed(self, offset: int) -> bytes:
        """What the list of files says of it."""
        sizes = (
            len(self.packed) if self.packed_size is None else self.packed_size,
            len(self.content) if self.size is None else self.size,
        )
        head = (b"PK\1\2", 3 << 8, 20, self.flags, self.method, 0, 0, self._crc, *sizes)
        where = offset if self.offset is None else self.offset
        tail = (len(self.name), len(self.extra), 0, 0, 0, self.mode << 16, where)
        return struct.pack("<4s6H3L5H2L", *head, *tail) + self.name + self.extra

    @property
    def _crc(self) -> int:
        return zlib.crc32(self.content) if self.crc is None else self.crc


def archive(*entries: Packed, list_offset: int | None = None, list_size: int | None = None) -> bytes:
    """An archive of these entries; where the list of files is, and how long, may be a lie."""
    front, files = bytearray(), bytearray()
    for entry in entries:
        files += entry.listed(len(front))
        front += entry.local() + entry.packed
    at, size = len(front) if list_offset is None else list_offset, len(files) if list_size is None else list_size
    count = min(len(entries), 0xFFFF)
    return bytes(front + files) + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, size, at, 0)


def _overlapping() -> bytes:
    """Every entry has the same megabyte."""
    shared = Packed(b"0", bytes(_MEGABYTE))
    others = [Packed(b"%d" % index, b"", size=_MEGABYTE, packed_size=_MEGABYTE, offset=0) for index in range(1, 100)]
    return archive(shared, *others)


def _larger_list() -> bytes:
    """More files than sixteen bits count, with the larger end record that says so; most have one name."""
    first, last = Packed(b"0.py", b""), Packed(b"last.py", b"last")
    front = first.local() + last.local() + last.packed
    files = first.listed(0) * 66_000 + last.listed(len(first.local()))
    larger = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 66_001, 66_001, len(files), len(front))
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(front) + len(files), 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return front + files + larger + locator + end


def _false_larger_record() -> bytes:
    """A locator that leads to no larger end record."""
    good = archive(Packed())
    end = len(good) - 22
    return good[:end] + struct.pack("<4sLQL", b"PK\6\7", 0, 1 << 40, 1) + good[end:]


def _hidden_list() -> bytes:
    """The list begins where an end record seems to be: whoever searches from behind finds another archive."""
    inner = archive(Packed(b"inner.py"))
    return archive(Packed(b"outer.py", inner), list_offset=0x06054B50)


@dataclass(frozen=True)
class Lie:
    """An archive that is not what it seems."""

    name: str
    make: Callable[[], bytes]
    said: str = ""
    """In the refusal; empty: it is unpacked, as Lambda does."""
    kept: dict[str, str] = field(default_factory=dict, hash=False)
    """Of one that is unpacked: content of files, or `-> target` of links, by their paths in the file system."""


LIES: Final = (
    Lie("parent", lambda: archive(Packed(), Packed(b"../outside", b"evil")), "leads out of its folder"),
    Lie("deep-parent", lambda: archive(Packed(b"a/../../outside", b"evil")), "leads out of its folder"),
    Lie("absolute", lambda: archive(Packed(b"/tmp/kubelambda-outside", b"evil")), "leads out of its folder"),
    Lie("backslash", lambda: archive(Packed(b"..\\outside", b"evil")), "leads out of its folder"),
    Lie("through-link", lambda: archive(Packed(b"l", b"..", LINK), Packed(b"l/outside", b"evil")), "is both a link"),
    Lie("link-after", lambda: archive(Packed(b"l/outside", b"evil"), Packed(b"l", b"..", LINK)), "is both a link"),
    Lie("file-as-folder", lambda: archive(Packed(b"a", b"x"), Packed(b"a/b", b"y")), "is both a file"),
    Lie("link-to-nothing", lambda: archive(Packed(b"l", b"", LINK)), "leads nowhere"),
    Lie("link-too-long", lambda: archive(Packed(b"l", b"x" * 4096, LINK)), "leads nowhere"),
    Lie(
        "bomb",
        lambda: archive(Packed(method=zipfile.ZIP_DEFLATED, size=262_144_000)),
        "Unzipped size must be smaller than 262144000 bytes",
    ),
    Lie(
        "bomb-in-pieces",
        lambda: archive(*[Packed(b"%d" % i, bytes(99), method=zipfile.ZIP_DEFLATED, size=9 << 20) for i in range(28)]),
        "Unzipped size must be smaller than",
    ),
    Lie(
        "bomb-that-claims-little",
        lambda: archive(Packed(content=bytes(_MEGABYTE * 20), method=zipfile.ZIP_DEFLATED, size=1)),
        "is damaged",
    ),
    Lie("claims-more", lambda: archive(Packed(size=6)), "is damaged"),
    Lie(
        "claims-terabytes", lambda: archive(Packed(size=0xFFFFFFFF, extra=struct.pack("<HHQ", 1, 8, 1 << 62))), "Unzip"
    ),
    Lie("larger-size-missing", lambda: archive(Packed(size=0xFFFFFFFF, extra=struct.pack("<HH", 1, 0))), UNREADABLE),
    Lie("wrong-checksum", lambda: archive(Packed(crc=1)), "is damaged"),
    Lie(
        "broken-stream",
        lambda: archive(Packed(content=b"\xff" * 99, method=zipfile.ZIP_STORED, size=99, crc=7)),
        "damaged",
    ),
    Lie("overlapping", _overlapping, UNREADABLE),
    Lie("header-elsewhere", lambda: archive(Packed(offset=3)), "is damaged"),
    Lie("beyond-the-end", lambda: archive(Packed(packed_size=1 << 30)), UNREADABLE),
    Lie("encrypted", lambda: archive(Packed(flags=1)), "is encrypted"),
    Lie("lzma", lambda: archive(Packed(method=zipfile.ZIP_LZMA)), "compressed with LZMA"),
    Lie("truncated", lambda: archive(Packed(content=b"x" * 999))[:-30], UNREADABLE),
    Lie("cut-in-front", lambda: archive(Packed(content=b"x" * 999))[500:], UNREADABLE),
    Lie("garbage", lambda: b"this is no archive", UNREADABLE),
    Lie("empty", lambda: b"", UNREADABLE),
    Lie("hidden-list", _hidden_list, UNREADABLE),
    Lie("false-larger-record", _false_larger_record, UNREADABLE),
    Lie("list-longer-than-file", lambda: archive(Packed(), list_size=1 << 31), UNREADABLE),
    Lie("endless-list", lambda: bytes(17 << 20) + archive(list_offset=0, list_size=17 << 20), "too many files"),
    Lie("deep-folders", lambda: archive(*[Packed(b"%d/" % i + b"a/" * 1900 + b"f") for i in range(50)]), "too many"),
    Lie("name-with-zero", lambda: archive(Packed(b"a\0b")), "no name of a file"),
    Lie("name-too-long", lambda: archive(Packed(b"n" * 256)), "longer than a file's name"),
    # What follows looks odd, and people have it: it is unpacked.
    Lie("same-name-twice", lambda: archive(Packed(content=b"old"), Packed(content=b"new")), kept={"index.py": "new"}),
    Lie(
        "link-out",
        lambda: archive(Packed(), Packed(b"venv", b"/usr/bin/python3", LINK), Packed(b"up", b"../..", LINK)),
        kept={"index.py": "x = 1", "venv": "-> /usr/bin/python3", "up": "-> ../.."},
    ),
    Lie("more-than-65535-files", _larger_list, kept={"0.py": "", "last.py": "last"}),
    Lie("set-user-id", lambda: archive(Packed(mode=stat.S_IFREG | 0o6755)), kept={"index.py": "x = 1"}),
    Lie("device", lambda: archive(Packed(mode=stat.S_IFCHR | 0o666)), kept={"index.py": "x = 1"}),
    Lie("unreadable-mode", lambda: archive(Packed(mode=stat.S_IFREG | 0o200)), kept={"index.py": "x = 1"}),
    Lie("no-mode", lambda: archive(Packed(mode=0)), kept={"index.py": "x = 1"}),
    Lie("no-utf-8", lambda: archive(Packed(b"caf\xe9.py")), kept={"caf\udce9.py": "x = 1"}),
    Lie("other-name-in-front", lambda: archive(Packed(local_name=b"../outside")), kept={"index.py": "x = 1"}),
    Lie("something-in-front", lambda: b"#!/bin/sh\nexit\n" + archive(Packed()), kept={"index.py": "x = 1"}),
)
