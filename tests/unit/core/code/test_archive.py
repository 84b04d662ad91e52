"""Archives of code: made the same every time, and refused with Lambda's words (§1.3, Appendix A)."""

import io
import stat
import struct
import zipfile

import pytest

from kubelambda.api import limits
from kubelambda.core.code import archive
from kubelambda.core.code.invalid_archive import InvalidArchive

LAMBDA_SAYS = "Could not unzip uploaded file. Please check your file, then try to upload again."


def zipped(files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive of `files`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as folder:
        for name, data in files.items():
            folder.writestr(name, data)
    return buffer.getvalue()


def refusal(data: bytes) -> str:
    """Why `data` is refused."""
    with pytest.raises(InvalidArchive) as raised:
        archive.check(io.BytesIO(data))
    return str(raised.value)


def test_the_same_text_gives_the_same_bytes() -> None:
    """No clock and no machine is in them: an unchanged function keeps its digest."""
    assert archive.from_text("index.py", "x = 1") == archive.from_text("index.py", "x = 1")
    assert archive.from_text("index.py", "x = 1") != archive.from_text("index.py", "x = 2")


@pytest.mark.parametrize(("name", "mode"), [("bootstrap", 0o755), ("index.py", 0o644)])
def test_inline_code_is_saved_under_the_runtimes_file_name(name: str, mode: int) -> None:
    """A bootstrap can be executed."""
    with zipfile.ZipFile(io.BytesIO(archive.from_text(name, "#!/bin/sh\nné"))) as found:
        (entry,) = found.infolist()
        assert (entry.filename, found.read(entry).decode()) == (name, "#!/bin/sh\nné")
        assert stat.S_IMODE(entry.external_attr >> 16) == mode


def test_good_archives_pass() -> None:
    """Folders, dots in names, and no files at all."""
    archive.check(io.BytesIO(zipped({"index.py": b"x", "lib/a.b/..c.py": b"y", "lib/": b""})))
    archive.check(io.BytesIO(zipped({})))


@pytest.mark.parametrize("data", [b"", b"PK", b"this is no archive", b"PK\x05\x06" + b"\xff" * 18])
def test_what_is_no_archive_is_refused(data: bytes) -> None:
    """With Lambda's own text, whatever it is."""
    assert refusal(data).startswith(LAMBDA_SAYS)


def test_a_cut_archive_is_refused() -> None:
    """The end is missing."""
    assert refusal(zipped({"index.py": b"x" * 1000})[:-30]) == LAMBDA_SAYS


def test_a_damaged_file_is_named() -> None:
    """The content does not have its checksum."""
    data = bytearray(zipped({"index.py": b"x" * 100}, zipfile.ZIP_STORED))
    data[40:60] = b"y" * 20
    assert refusal(bytes(data)) == f"{LAMBDA_SAYS} ('index.py' in it is damaged)"


def test_a_broken_stream_is_refused() -> None:
    """Compressed data that cannot be decompressed."""
    data = bytearray(zipped({"index.py": bytes(range(256)) * 20}))
    data[38:60] = b"\xff" * 22
    assert refusal(bytes(data)).startswith(LAMBDA_SAYS)


@pytest.mark.parametrize("name", ["../index.py", "/etc/passwd", "a/../../b", "..\\index.py"])
def test_a_path_that_leads_out_is_refused(name: str) -> None:
    """Before anybody unpacks it."""
    assert "leads out of its folder" in refusal(zipped({"good.py": b"", name: b"x"}))


def test_a_bomb_is_refused_by_what_it_claims() -> None:
    """A quarter of a megabyte that would unpack to more than Lambda allows."""
    limit = limits.UNZIPPED_MAX_BYTES
    entry = zipfile.ZipInfo("zeros")
    entry.compress_type = zipfile.ZIP_DEFLATED
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as folder, folder.open(entry, "w") as file:
        for _ in range(limit >> 20):
            file.write(bytes(1 << 20))
    assert refusal(buffer.getvalue()) == "Unzipped size must be smaller than 262144000 bytes"


def test_an_endless_list_of_files_is_refused_unread() -> None:
    """The list is not read into memory only to find that it is too long."""
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65_535, 65_535, 17 << 20, 0, 0)
    assert refusal(bytes(17 << 20) + end) == f"{LAMBDA_SAYS} (it lists too many files)"


def test_the_larger_form_of_the_list_is_measured_too() -> None:
    """Zip64 says its size elsewhere."""
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, 17 << 20, 0)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 17 << 20, 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65_535, 65_535, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    assert refusal(bytes(17 << 20) + end64 + locator + end) == f"{LAMBDA_SAYS} (it lists too many files)"
