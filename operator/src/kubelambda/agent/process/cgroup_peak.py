"""The most memory that our container ever used, by the kernel's own mark."""

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

    def __init__(self, peak: int, current: Path) -> None:
        self._peak = peak
        self._current = current
        self._platform_kb = 0

    @classmethod
    def find(cls, folder: Path) -> Self | None:
        """The mark of the container whose control groups are mounted at `folder`; None where a pod cannot read it."""
        for peak, current in _FILES:
            try:
                descriptor = os.open(folder / peak, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue
            found = cls(descriptor, folder / current)
            if found.mark_kb() > 0:
                return found
            os.close(descriptor)
        return None

    def begin(self, runtime_kb: int) -> None:
        """The function begins, in a process that has `runtime_kb` resident: the rest of what is used is ours."""
        try:
            used_kb = int(self._current.read_bytes()) // 1024
        except (OSError, ValueError):
            used_kb = 0
        self._platform_kb = max(0, used_kb - runtime_kb)

    def used_kb(self) -> int:
        """The most that the function used."""
        return self.mark_kb() - self._platform_kb

    def mark_kb(self) -> int:
        """The kernel's mark; 0 when it cannot be read."""
        try:
            return int(os.pread(self._peak, 32, 0)) // 1024
        except (OSError, ValueError):
            return 0
