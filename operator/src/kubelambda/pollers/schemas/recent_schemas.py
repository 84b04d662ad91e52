"""What is kept of schemas, on both sides of the processes that read records by them."""

from collections import OrderedDict
from typing import Final

_KEPT: Final = 500
"""Schemas that are kept, those that were used last."""
_KEPT_CHARS: Final = 8 << 20
"""Of those together; one alone may have more."""


class RecentSchemas[T]:
    """Something for each of the schemas that were used last, by their numbers."""

    def __init__(self) -> None:
        self._found: OrderedDict[int, tuple[T, int]] = OrderedDict()

    def __contains__(self, number: int) -> bool:
        return number in self._found

    def get(self, number: int) -> T | None:
        """What is kept for a schema, which is used by this; None when there is nothing."""
        if number not in self._found:
            return None
        self._found.move_to_end(number)
        return self._found[number][0]

    def keep(self, number: int, found: T, size: int) -> None:
        """Keeps it as that of the newest schema, of `size` characters; those that were used longest ago make room."""
        self._found[number] = found, size
        self._found.move_to_end(number)
        chars = sum(each for _, each in self._found.values())
        while len(self._found) > 1 and (len(self._found) > _KEPT or chars > _KEPT_CHARS):
            _, (_, forgotten) = self._found.popitem(last=False)
            chars -= forgotten
