"""The most memory that a container ever used, by the kernel's own mark."""

import os
from pathlib import Path
from typing import Self

_FILES = (
    ("memory.peak", "memory.current"),
    ("memory/memory.max_usage_in_bytes", "memory/memory.usage_in_bytes"),
)
"""Of version 2 (Linux 5.19 and later) and of version 1: the mark, and what is used now."""


class CgroupPeak:
    """The mark of a container, less what the platform itself had used of it before the function began.

    The mark counts cached files too, as Lambda's does. It stays open: we ask after every invocation.
    """

    def __init__(self, peak: int, current: int) -> None:
        """Descriptors of the mark, and of what is used now."""
        self._peak = peak
        self._current = current
        self._platform_kb = 0

    @classmethod
    def find(cls, folder: Path) -> Self | None:
        """The mark of the container whose control groups are mounted at `folder`; None where a pod cannot read it."""
        for peak, current in _FILES:
            opened: list[int] = []
            try:
                opened += (os.open(folder / name, os.O_RDONLY | os.O_CLOEXEC) for name in (peak, current))
                found = cls(*opened)
                if found.mark_kb() > 0:
                    return found
            except OSError:
                pass
            for descriptor in opened:
                os.close(descriptor)
        return None

    def begin(self, runtime_kb: int) -> None:
        """The function begins, in a process that has `runtime_kb` resident: the rest of what is used is ours."""
        self._platform_kb = max(0, _kilobytes(self._current) - runtime_kb)

    def used_kb(self) -> int:
        """The most that the function used."""
        return self.mark_kb() - self._platform_kb

    def mark_kb(self) -> int:
        """The kernel's mark; 0 when it cannot be read."""
        return _kilobytes(self._peak)


def _kilobytes(descriptor: int) -> int:
    try:
        return int(os.pread(descriptor, 32, 0)) // 1024
    except (OSError, ValueError):
        return 0
