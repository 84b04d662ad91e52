"""What is signed of an archive: all of it but the comment, as the reader of archives sees it (§1.5.4)."""

import hashlib
import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelambda.core.code import unpacking
from kubelambda.core.code.invalid_archive import InvalidArchive
from kubelambda.core.code.signed_content import (
    COMMENT_MAX_BYTES,
    SignedContent,
    SignedContentReader,
    signed_content,
    with_comment,
)


def zipped(text: str = "x = 1", comment: bytes = b"", padding: int = 0) -> bytes:
    """An archive with one file, and so many incompressible bytes in another one."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as folder:
        folder.writestr(zipfile.ZipInfo("index.py"), text)
        if padding:
            folder.writestr(zipfile.ZipInfo("data"), bytes(index % 251 for index in range(padding)))
        folder.comment = comment
    return buffer.getvalue()


LONG = zipped(padding=90_000)


@pytest.mark.parametrize("padding", [0, 100, 65_500, 65_557, 65_558, 300_000])
def test_a_comment_changes_nothing_that_is_signed(padding: int) -> None:
    """The same digest before and after, and the comment comes back; also of archives longer than what is kept."""
    archive = zipped(padding=padding)
    commented = with_comment(archive, b"signature")
    before, after = signed_content([archive]), signed_content([commented])
    assert (before.sha256, before.comment) == (after.sha256, b"")
    assert after.comment == b"signature"
    assert zipfile.ZipFile(io.BytesIO(commented)).comment == b"signature"
    assert unpacking.plan(io.BytesIO(commented)).files[0].path == "index.py"


def test_another_comment_takes_the_place_of_the_first() -> None:
    """Who signs a signed archive gives it one signature."""
    twice = with_comment(with_comment(zipped(), b"first, a long one"), b"second")
    assert twice == with_comment(zipped(), b"second")
    assert with_comment(twice, b"") == zipped()


@given(st.lists(st.integers(1, 70_000), max_size=6), st.binary(max_size=200))
def test_pieces_of_any_size_are_the_same_archive(sizes: list[int], comment: bytes) -> None:
    """It does not matter how the bytes arrive."""
    archive = with_comment(LONG, comment)
    reader, at = SignedContentReader(), 0
    for size in sizes:
        reader.feed(archive[at : at + size])
        at += size
    reader.feed(archive[at:])
    assert reader.finish() == signed_content([archive])


def test_every_byte_in_front_of_the_comment_is_signed() -> None:
    """A change of any one of them is another content, or no archive."""
    archive = with_comment(zipped(), b"signature")
    digest = signed_content([archive]).sha256
    for index in range(len(archive) - len(b"signature") - 2):
        changed = archive[:index] + bytes([archive[index] ^ 1]) + archive[index + 1 :]
        try:
            assert signed_content([changed]).sha256 != digest
        except InvalidArchive:
            continue


def test_a_second_end_in_the_comment_is_another_content() -> None:
    """Who hides another archive in the comment signs nothing with the first one's signature: readers see the second."""
    signed = with_comment(zipped("good"), b"signature")
    hidden = with_comment(zipped("good"), b"signature" + zipped("evil"))
    seen = b"".join(unpacking.contents(io.BytesIO(hidden), unpacking.plan(io.BytesIO(hidden)).files[0]))
    found = signed_content([hidden])
    assert seen == b"good" or found.sha256 != signed_content([signed]).sha256
    assert found.comment != b"signature"


@pytest.mark.parametrize("padding", [0, 200_000])
def test_an_archive_that_goes_on_behind_its_comment_is_content_that_nobody_signed(padding: int) -> None:
    """Unpackers take it, so that an unsigned one is an archive like others; one that was signed before is changed."""
    archive = zipped(padding=padding)
    longer = archive + b"more"
    assert unpacking.plan(io.BytesIO(longer)).files[0].path == "index.py"
    assert signed_content([longer]) == SignedContent(hashlib.sha256(longer).hexdigest(), b"")
    signed = with_comment(archive, b"signature")
    found = signed_content([signed + b"more"])
    assert (found.sha256, found.comment) == (hashlib.sha256(signed + b"more").hexdigest(), b"signature")
    with pytest.raises(InvalidArchive):
        with_comment(longer, b"signature")


@pytest.mark.parametrize("data", [b"", b"no archive", zipped()[:-1]])
def test_what_does_not_end_like_an_archive_is_refused(data: bytes) -> None:
    """Nobody can read it."""
    with pytest.raises(InvalidArchive):
        signed_content([data])


def test_a_comment_has_a_length_that_an_archive_can_say() -> None:
    """16 bits."""
    assert signed_content([with_comment(zipped(), b"x" * COMMENT_MAX_BYTES)]).comment == b"x" * COMMENT_MAX_BYTES
    with pytest.raises(ValueError, match="at most 65535"):
        with_comment(zipped(), b"x" * (COMMENT_MAX_BYTES + 1))
