"""How a record says which schema it is of, as Confluent's serializers write it: pure (§7.5.6)."""

from typing import Final

_MAGIC: Final = 0
_HEAD_BYTES: Final = 5
_VARINT_MAX_BYTES: Final = 5
_DEPTH_MAX: Final = 64


class Undecodable(ValueError):
    """What a record has is not of its schema, or of none; the message says why."""


def framed(data: bytes) -> tuple[int, bytes]:
    """The number of the schema that `data` begins with, and what follows it. Raises `Undecodable`."""
    if len(data) < _HEAD_BYTES or data[0] != _MAGIC:
        raise Undecodable("it does not begin with the number of a schema")
    return int.from_bytes(data[1:_HEAD_BYTES], "big"), data[_HEAD_BYTES:]


def message_indexes(data: bytes) -> tuple[tuple[int, ...], bytes]:
    """Which message of a file of protobuf `data` is, from the outermost in, and the message. Raises `Undecodable`.

    One zero stands for the most usual, the first message of the file.
    """
    count, at = _zigzag(data, 0)
    if count == 0:
        return (0,), data[at:]
    if not 0 < count <= _DEPTH_MAX:
        raise Undecodable("it does not say which message of its schema it is")
    indexes = []
    for _ in range(count):
        index, at = _zigzag(data, at)
        indexes.append(index)
    return tuple(indexes), data[at:]


def _zigzag(data: bytes, at: int) -> tuple[int, int]:
    """A signed number at a place, and where it ends."""
    found = 0
    for position, byte in enumerate(data[at : at + _VARINT_MAX_BYTES]):
        found |= (byte & 0x7F) << (7 * position)
        if byte < 0x80:
            return (found >> 1) ^ -(found & 1), at + position + 1
    raise Undecodable("it does not say which message of its schema it is")
