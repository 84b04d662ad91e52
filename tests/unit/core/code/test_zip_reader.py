"""Archives of strangers are read in bounded pieces, whatever they claim."""

import io
import random
import struct
import subprocess
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelambda.core.code import archive, zip_reader
from kubelambda.core.code.invalid_archive import InvalidArchive


class Watched(io.BytesIO):
    """A file that knows the largest piece that was ever read of it."""

    largest = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Reads, and remembers."""
        data = super().read(size)
        self.largest = max(self.largest, len(data))
        return data


def listed(name: bytes, *, flags: int = 0, system: int = 3, packed: int = 0, size: int = 0, offset: int = 0) -> bytes:
    """An entry of the list of files."""
    return (
        struct.pack(
            "<4s6H3L5H2L", b"PK\1\2", system << 8, 20, flags, 0, 0, 0, 0, packed, size, len(name), 0, 0, 0, 0, 0, offset
        )
        + name
    )


def local(name: bytes) -> bytes:
    """The header in front of an entry's content."""
    return struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 0, 0, 0, 0, len(name), 0) + name


def ended(front: bytes, files: bytes, count: int, *, offset: int | None = None, comment: bytes = b"") -> bytes:
    """An archive of `front` and a list of files."""
    at = len(front) if offset is None else offset
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count & 0xFFFF, count & 0xFFFF, len(files), at, len(comment))
    return front + files + end + comment


def names(data: bytes) -> list[str]:
    """What an archive lists."""
    return [entry.name for entry in zip_reader.entries(io.BytesIO(data))]


def test_a_list_that_hides_behind_a_false_end_record_is_never_read_at_once() -> None:
    """The offset of the list spells the signature of an end record: whoever searches from behind finds that first."""
    spelled = 0x06054B50
    front = local(b"0")
    files = b"".join(listed(b"%x" % index) for index in range(400_000))
    file = Watched(ended(front, files, 400_000, offset=spelled))
    with pytest.raises(InvalidArchive):
        archive.check(file)
    assert file.largest <= 1 << 18


def test_no_read_is_larger_than_a_window() -> None:
    """Lists and contents of many megabytes are read in pieces."""
    buffer = Watched()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as made:
        made.writestr("large", bytes(3 << 20))
        for index in range(20_000):
            made.writestr(f"{index:040}", b"")
    buffer.largest = 0
    archive.check(buffer)
    assert buffer.largest <= 1 << 18


def test_a_small_archive_that_unpacks_to_much_is_checked_in_little_memory() -> None:
    """A quarter of a megabyte that holds two hundred: pieces of it come and go."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made, made.open("zeros", "w") as zeros:
        for _ in range(200):
            zeros.write(bytes(1 << 20))
    tracemalloc.start()
    try:
        archive.check(buffer)
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


def test_what_an_entry_really_holds_is_what_counts() -> None:
    """A list that claims one byte for what unpacks to millions."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a", bytes(5 << 20))
    data = bytearray(buffer.getvalue())
    at = data.rfind(b"PK\1\2")
    data[at + 24 : at + 28] = struct.pack("<L", 1)
    (entry,) = zip_reader.entries(io.BytesIO(data))
    with pytest.raises(InvalidArchive, match="'a' in it is damaged"):
        list(zip_reader.content(io.BytesIO(data), entry))


def test_entries_that_share_their_bytes_are_refused() -> None:
    """Each names the same megabyte: reading all of them would take hours."""
    content = zlib.compressobj(wbits=-15).compress(b"") + bytes(1 << 20)
    front = local(b"0") + content
    files = b"".join(listed(b"%d" % index, packed=len(content)) for index in range(1000))
    with pytest.raises(InvalidArchive):
        names(ended(front, files, 1000))


def test_too_many_files_are_refused() -> None:
    """Each costs whoever unpacks them memory and an inode."""
    files = b"".join(listed(b"%d" % index) for index in range(100_001))
    with pytest.raises(InvalidArchive, match="too many files"):
        names(ended(local(b"0"), files, 100_001))


def test_more_files_than_sixteen_bits_count_are_read() -> None:
    """With the larger end record, as zip and Python make it, and without, as old tools do."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for index in range(66_000):
            made.writestr(str(index), b"")
    assert len(names(buffer.getvalue())) == 66_000
    files = b"".join(listed(b"%d" % index) for index in range(66_000))
    assert len(names(ended(local(b"0"), files, 66_000))) == 66_000


def test_archives_with_something_in_front_and_behind_are_read() -> None:
    """Self-extracting ones, and those with a comment that looks like an end record."""
    front = local(b"a")
    comment = b"x" * 30 + b"PK\5\6" + bytes(40)
    plain = ended(front, listed(b"a"), 1, comment=comment)
    assert names(plain) == ["a"]
    assert names(b"#!/bin/sh\n" * 100 + plain) == ["a"]
    assert names(ended(front, listed(b"a"), 1) + b"\r\n") == ["a"]


@pytest.mark.parametrize(
    ("raw", "flags", "system", "name"),
    [
        ("é".encode(), 0x0800, 3, "é"),
        ("é".encode(), 0, 3, "é"),  # Linux's zip and macOS' Finder say nothing of their encoding
        ("é".encode(), 0, 0, "é"),
        (b"\x82", 0, 0, "é"),  # the code page of old Windows tools
        (b"\xe9", 0, 3, "\udce9"),
        (b"\xe9", 0x0800, 3, "\udce9"),
    ],
)
def test_names_are_the_bytes_that_will_be_on_disk(raw: bytes, flags: int, system: int, name: str) -> None:
    """What is no UTF-8 survives as Python's file functions take it."""
    assert names(ended(local(raw), listed(raw, flags=flags, system=system), 1)) == [name]


def test_encrypted_entries_and_methods_without_a_bound_are_refused_by_name() -> None:
    """The message says what to do otherwise."""
    with pytest.raises(InvalidArchive, match="'a' in it is encrypted"):
        names(ended(local(b"a"), listed(b"a", flags=1), 1))
    for method, called in ((zipfile.ZIP_LZMA, "LZMA"), (zipfile.ZIP_BZIP2, "bzip2")):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as made:
            made.writestr("a.py", b"x" * 2000)
        with pytest.raises(InvalidArchive, match=f"compressed with {called}; what can be read is deflate"):
            names(buffer.getvalue())


@pytest.mark.parametrize("options", [[], ["-0"], ["-9"], ["-fd"], ["-fz"]])
def test_what_info_zip_makes_is_read(tmp_path: Path, options: list[str]) -> None:
    """Files of all sizes; with descriptors behind the content, and with sizes in 64 bits."""
    sizes = {"empty": 0, "one": 1, "piece": 65_536, "more": 65_537, "large": 1 << 20}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(random.Random(size).randbytes(size))
    try:
        subprocess.run(["zip", "-q", *options, "a.zip", *sizes], cwd=tmp_path, check=True)
    except FileNotFoundError:
        pytest.skip("zip is not installed")
    with (tmp_path / "a.zip").open("rb") as file:
        found = {entry.name: b"".join(zip_reader.content(file, entry)) for entry in list(zip_reader.entries(file))}
    assert found == {name: (tmp_path / name).read_bytes() for name in sizes}


@given(st.binary(max_size=400), st.integers(0, 399), st.integers(0, 255), st.booleans())
def test_any_damage_ends_in_a_refusal_or_in_the_right_bytes(data: bytes, at: int, value: int, cut: bool) -> None:
    """Never in another exception, and never in other content."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a", data)
        made.writestr("b", data[::-1])
    broken = bytearray(buffer.getvalue())
    if cut:
        del broken[at % len(broken) :]
    else:
        broken[at % len(broken)] = value
    try:
        file = io.BytesIO(broken)
        contents = [b"".join(zip_reader.content(file, entry)) for entry in list(zip_reader.entries(file))]
    except InvalidArchive:
        return
    assert set(contents) <= {data, data[::-1]}
