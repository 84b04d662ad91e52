"""Ids of requests: UUIDs of version 4 (RFC 9562 §5.4), written many at once, since every invocation needs one."""

import os
from collections.abc import Iterator

_AT_ONCE = 256
_DIGITS, _LENGTH = 32, 36
_PLACES = [place for place in range(_LENGTH) if place not in (8, 13, 18, 23)]
"""Where in an id its digits are; the others are hyphens."""
_FIXED = (0xF << 76) | (0x3 << 62)
"""The bits of an id that say its version and variant."""
_VERSION_4 = (0x4 << 76) | (0x2 << 62)


def _every(bits: int, count: int) -> int:
    return int.from_bytes(bits.to_bytes(16) * count)


_ALL_FIXED, _ALL_VERSION_4 = _every(_FIXED, _AT_ONCE), _every(_VERSION_4, _AT_ONCE)


def _drawn() -> list[str]:
    """Digit by digit, each for all of them: this takes a third of the time of one after the other."""
    bits = int.from_bytes(os.urandom(16 * _AT_ONCE)) & ~_ALL_FIXED | _ALL_VERSION_4
    digits = bits.to_bytes(16 * _AT_ONCE).hex().encode()
    text = bytearray(b"-" * ((_LENGTH + 1) * _AT_ONCE))
    for number, place in enumerate(_PLACES):
        text[place :: _LENGTH + 1] = digits[number::_DIGITS]
    text[_LENGTH :: _LENGTH + 1] = b" " * _AT_ONCE
    return text.decode().split()


def _endless() -> Iterator[str]:
    while True:
        yield from _drawn()


fresh_id = _endless().__next__
"""An id that was never given before."""
