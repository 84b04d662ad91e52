"""Tar archives become the zip archives that environments unpack, or are refused while they are read."""

import gzip
import io
import tarfile
from typing import Any

import pytest

from kubelambda.api import limits
from kubelambda.core.code import archive, tar_archive, unpacking
from kubelambda.core.code.invalid_archive import InvalidArchive
from kubelambda.core.code.tar_archive import zip_of_tar


def member(name: str, data: bytes = b"", **more: Any) -> tuple[tarfile.TarInfo, bytes]:
    """One entry."""
    found = tarfile.TarInfo(name)
    found.size = len(data)
    for attribute, value in more.items():
        setattr(found, attribute, value)
    return found, data


def tarred(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """An archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as found:
        for entry, data in members:
            found.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def converted(data: bytes) -> io.BytesIO:
    """The zip archive."""
    target = io.BytesIO()
    zip_of_tar(io.BytesIO(data), target)
    return target


FILES = (
    member("./", type=tarfile.DIRTYPE, mode=0o755),
    member("./index.py", b"x = 1", mode=0o644),
    member("bin", type=tarfile.DIRTYPE, mode=0o755),
    member("bin/tool", b"#!/bin/sh", mode=0o755),
    member("latest", type=tarfile.SYMTYPE, linkname="bin/tool"),
    member("a" * 120 + "/ü.txt", b"long", mode=0o600),
)


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("packed", [True, False])
def test_files_modes_and_links_arrive(form: int, packed: bool) -> None:
    """Whoever made the archive, and whether it is packed."""
    data = tarred(*FILES, form=form)
    found = converted(gzip.compress(data) if packed else data)
    archive.check(found)
    plan = unpacking.plan(found)
    assert {(file.path, file.mode) for file in plan.files} == {
        ("index.py", 0o644),
        ("bin/tool", 0o755),
        ("a" * 120 + "/ü.txt", 0o600),
    }
    assert [(link.path, link.target) for link in plan.links] == [("latest", "bin/tool")]
    assert b"".join(unpacking.contents(found, plan.files[0])) == b"x = 1"


def test_the_same_files_are_the_same_archive() -> None:
    """Whenever and by whomever they were packed: the digest is what a function pins."""
    later = tuple(
        member(entry.name, data, type=entry.type, mode=entry.mode, mtime=9, uid=7) for entry, data in FILES[1:4]
    )
    assert converted(tarred(*FILES[1:4])).getvalue() == converted(gzip.compress(tarred(*later))).getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no archive at all" * 100,
        tarred(*FILES)[:1026],
        gzip.compress(tarred(*FILES))[:60],
        tarred(member("device", type=tarfile.CHRTYPE)),
        tarred(member("pipe", type=tarfile.FIFOTYPE)),
        tarred(member("a", b"1"), member("hard", type=tarfile.LNKTYPE, linkname="a")),
    ],
    ids=["empty", "text", "short", "short-gzip", "device", "pipe", "hard-link"],
)
def test_what_no_environment_could_unpack_is_refused(data: bytes) -> None:
    """In Lambda's words."""
    with pytest.raises(InvalidArchive, match="Could not unzip uploaded file"):
        archive.check(converted(data))


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "a/../../out"])
def test_what_leads_out_is_refused_when_the_zip_archive_is_checked(name: str) -> None:
    """The one check of all archives holds for these too."""
    with pytest.raises(InvalidArchive, match="leads out of its folder"):
        archive.check(converted(tarred(member(name, b"x"))))


def test_a_bomb_ends_before_it_is_unpacked() -> None:
    """What one header announces is enough; nothing of it is read or written."""
    entry, _ = member("bomb")
    entry.size = limits.UNZIPPED_MAX_BYTES
    target = io.BytesIO()
    with pytest.raises(InvalidArchive, match="Unzipped size must be smaller"):
        zip_of_tar(io.BytesIO(entry.tobuf(tarfile.GNU_FORMAT)), target)
    assert len(target.getvalue()) < 100


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_a_header_that_fills_memory_is_refused(kind: bytes) -> None:
    """tarfile reads these whole."""
    entry, _ = member("header")
    entry.type, entry.size = kind, 1 << 30
    with pytest.raises(InvalidArchive, match="a header in it is longer"):
        converted(gzip.compress(entry.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20)))


def test_too_many_files_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in any archive."""
    monkeypatch.setattr(tar_archive, "ENTRIES_MAX", 100)
    data = tarred(*(member(f"{number}") for number in range(101)))
    with pytest.raises(InvalidArchive, match="it lists too many files"):
        converted(data)
