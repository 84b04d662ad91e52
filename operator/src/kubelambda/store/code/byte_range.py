"""Which part of an archive a request asks for (RFC 9110, 14.2): pure.

One range of bytes is served. Several at once, other units and what cannot be read are no ranges: all is sent then,
as the standard wants.
"""

import re
from dataclasses import dataclass

_RANGE = re.compile(rb"bytes=[ \t]*([0-9]{0,100})-([0-9]{0,100})[ \t]*", re.IGNORECASE)


class Unsatisfiable(Exception):
    """No byte of the archive is in the range (416)."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes of an archive of `size`, from the first to the last, which is one of them."""

    first: int
    last: int
    size: int

    @property
    def length(self) -> int:
        """How many these are."""
        return self.last - self.first + 1

    @property
    def header(self) -> bytes:
        """The value of Content-Range."""
        return b"bytes %d-%d/%d" % (self.first, self.last, self.size)


def wanted_range(asked: bytes | None, condition: bytes | None, tag: bytes, size: int) -> ByteRange | None:
    """The part that `Range` asks for; None for all of it. Raises `Unsatisfiable`.

    `condition` is `If-Range`: a part is of use only to whoever has the rest of the archive that `tag` names. A date is
    no name of it, as no answer says when it was changed.
    """
    found = _RANGE.fullmatch(asked.strip()) if asked is not None else None
    if found is None or (condition is not None and condition.strip() != tag):
        return None
    begin, end = found.groups()
    if begin:
        first, last = int(begin), int(end) if end else size - 1
        if end and last < first:
            return None
    elif end:
        first, last = max(0, size - int(end)), size - 1
    else:
        return None
    if first >= size:
        raise Unsatisfiable
    return ByteRange(first, min(last, size - 1), size)
