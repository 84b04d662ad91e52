"""Lines of a stream, however long: a Function alone may have more than a megabyte."""

from collections.abc import AsyncIterator
from typing import Final

LINE_MAX_BYTES: Final = 16 << 20
"""More than any object has: etcd takes a megabyte and a half, which escapes may make six times as long."""


class LineTooLong(Exception):
    """The stream has a line of more than `LINE_MAX_BYTES`; what follows cannot be trusted."""


async def lines(pieces: AsyncIterator[bytes], *, most: int = LINE_MAX_BYTES) -> AsyncIterator[bytes]:
    """Each whole line; a last one without an end is dropped. Raises `LineTooLong`, and whatever reading raises."""
    rest = bytearray()
    async for chunk in pieces:
        *whole, tail = chunk.split(b"\n")
        for line in whole:
            yield bytes(rest) + line if rest else line
            rest.clear()
        rest += tail
        if len(rest) > most:
            raise LineTooLong(f"a line of more than {most} bytes")
