"""Ports of frontends that are one InvokeEndpoint's alone: pure."""

import hashlib
from collections.abc import Collection
from typing import Final

FIRST: Final = 20_000
"""The first port; below those that the kernel gives to outgoing connections."""
LAST: Final = 20_999
"""The last one."""


def endpoint_port(uid: str, present: int | None, taken: Collection[int]) -> int | None:
    """The port of the endpoint `uid`: the one that it has, else a free one; None when none is left.

    Where the search begins is the uid's, so that a port that was given back is seldom the next one's.
    """
    if present is not None and FIRST <= present <= LAST and present not in taken:
        return present
    count = LAST - FIRST + 1
    first = int.from_bytes(hashlib.sha256(uid.encode()).digest()[:4]) % count
    candidates = (FIRST + (first + step) % count for step in range(count))
    return next((port for port in candidates if port not in taken), None)
