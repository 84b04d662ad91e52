"""What a signature of an archive speaks of: every byte in front of the archive's comment (§1.5.4).

A zip archive ends with a record that says how long its comment is, and with the comment. Signing an archive changes
these two alone, so the same bytes are signed before and after; every unpacker ignores the comment. Where the record is,
`zip_reader` decides, by which operator and agent read the archive: nobody can be shown other content than was signed.
Unpackers take archives that go on behind their comment, too. Nobody can sign one: its content is all of it, the comment
with it.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from kubelambda.core.code.invalid_archive import UNREADABLE, InvalidArchive
from kubelambda.core.code.zip_reader import END_SEARCH_BYTES, end_record

COMMENT_MAX_BYTES: Final = 65_535
_BEFORE_LENGTH: Final = 20
"""Bytes of the end record in front of the length of the comment."""
_LENGTH: Final = 2


@dataclass(frozen=True, slots=True)
class SignedContent:
    """An archive as whoever verifies it knows it."""

    sha256: str
    """Hex digest of what can be signed."""
    comment: bytes
    """Where the signature is; empty where nothing is."""


class SignedContentReader:
    """Takes an archive in pieces, and keeps its end alone."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._tail = b""

    def feed(self, piece: bytes) -> None:
        """The next bytes."""
        self._tail += piece
        surplus = len(self._tail) - END_SEARCH_BYTES
        if surplus > 0:
            self._hash.update(self._tail[:surplus])
            self._tail = self._tail[surplus:]

    def finish(self) -> SignedContent:
        """What all of it was. Raises `InvalidArchive`."""
        end, comment_end = _ends(self._tail)
        self._hash.update(self._tail[:end] if comment_end == len(self._tail) else self._tail)
        return SignedContent(self._hash.hexdigest(), self._tail[end + _LENGTH : comment_end])


def signed_content(pieces: Iterable[bytes]) -> SignedContent:
    """The content of an archive in pieces. Raises `InvalidArchive`."""
    reader = SignedContentReader()
    for piece in pieces:
        reader.feed(piece)
    return reader.finish()


def with_comment(archive: bytes, comment: bytes) -> bytes:
    """The archive with another comment, which takes the place of what it had. Raises `InvalidArchive`, `ValueError`."""
    if len(comment) > COMMENT_MAX_BYTES:
        raise ValueError(f"a comment has at most {COMMENT_MAX_BYTES} bytes")
    start = max(0, len(archive) - END_SEARCH_BYTES)
    end, comment_end = _ends(archive[start:])
    if start + comment_end != len(archive):
        raise InvalidArchive(UNREADABLE)
    return archive[: start + end] + len(comment).to_bytes(_LENGTH, "little") + comment


def _ends(tail: bytes) -> tuple[int, int]:
    """Where the length of the comment stands, and where the comment ends."""
    end = end_record(tail) + _BEFORE_LENGTH
    length = int.from_bytes(tail[end : end + _LENGTH], "little")
    return end, end + _LENGTH + length
