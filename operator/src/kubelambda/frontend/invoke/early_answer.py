"""Answers that are known at the head of a request."""

from collections.abc import Callable
from typing import Final

from kubelambda.wire.request import Request
from kubelambda.wire.request_reader import Admission, Whole

SMALL_BYTES: Final = 65_536
"""Whoever sends no more than this is answered after it: the connection goes on then."""


def is_small(request: Request) -> bool:
    """Whether a request, at its head, says that there is little more of it."""
    return b"transfer-encoding" not in request.headers and request.size <= SMALL_BYTES


def answered_early(request: Request, answer: Callable[[Request], None]) -> Admission:
    """Answers at once where much is on its way, else after the body."""
    if is_small(request):
        return Whole(SMALL_BYTES, answer)
    answer(request)
    return None
