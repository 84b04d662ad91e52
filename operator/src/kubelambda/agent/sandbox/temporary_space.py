"""Keeps `/tmp` within its size while the function runs (`docs/decisions/0023`).

An emptyDir has no quota: the kubelet looks now and then, and until it does a function can fill its node's disk. So we
look, ten times a second. That costs next to nothing: files are counted only when the disk has lost about as much as may
still be written.
"""

import os
from pathlib import Path
from time import monotonic, thread_time

_COUNT_S = 5.0
"""Files are counted this often at least: others may give back what we take."""
_SHARE = 50
"""Counting takes a fiftieth of a processor at most, unless the disk says that it must be."""


class TemporarySpace:
    """The folder and its size in bytes; 0 for one without. A bound of a function."""

    always = False

    def __init__(self, folder: Path, size: int) -> None:
        self._folder = folder
        self._size = size
        self._used = 0
        self._free = 0
        self._count_at = 0.0

    def exceeded(self) -> str:
        """What a caller is told of a function that filled it."""
        path = "/tmp"  # noqa: S108 - Lambda's own path (§3.4.2)
        if not self._size or not self._too_much():
            return ""
        return f"{path} holds more than its {self._size >> 20} MB (ephemeralStorage): the environment ends"

    def _too_much(self) -> bool:
        free = _free(self._folder)
        if self._used + max(0, self._free - free) <= self._size and monotonic() < self._count_at:
            return False
        began = thread_time()
        self._used, self._free = _used(self._folder), free
        self._count_at = monotonic() + max(_COUNT_S, (thread_time() - began) * _SHARE)
        return self._used > self._size


def _free(folder: Path) -> int:
    """Bytes that are free where the folder is."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return 0
    return found.f_bfree * found.f_frsize


def _used(folder: Path) -> int:
    """Bytes on the disk that all files below the folder take; what goes meanwhile, or is not ours, counts nothing."""
    total, folders = 0, [str(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
        except OSError:
            continue
    return total
