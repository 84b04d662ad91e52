"""Carries out an unpacking plan below one folder, over what earlier archives left there."""

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from kubelambda.core.code import unpacking
from kubelambda.core.code.unpacking import UnpackingPlan

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def unpack(file: IO[bytes], plan: UnpackingPlan, folder: Path, proceed: Callable[[], None] = lambda: None) -> None:
    """Folders, files, then links; what an earlier archive has at one of their paths makes way.

    `proceed` is called before every file, and raises to end it. Nothing is written through a link: one that is where a
    folder must be makes way too, and files are always new. No code of the function runs yet. Raises `OSError`, or
    `InvalidArchive` for damaged content.
    """
    for directory in plan.directories:
        path = folder / directory
        if path.is_symlink() or not path.is_dir():
            _make_way(path)
            path.mkdir()
    for packed in plan.files:
        proceed()
        path = folder / packed.path
        _make_way(path)
        with os.fdopen(os.open(path, _NEW_FILE, packed.mode & ~_WRITABLE), "wb", buffering=0) as target:
            for piece in unpacking.contents(file, packed):
                target.write(piece)
    for link in plan.links:
        path = folder / link.path
        _make_way(path)
        path.symlink_to(link.target)


def seal(folder: Path) -> None:
    """Takes the right to write from all below the folder, and from the folder where it is ours.

    Lambda mounts these read-only. The function has our user id, so it can take the right back; what keeps it from
    writing then is `write_protection`, where the kernel has that.
    """
    for path, _, _ in os.walk(folder, topdown=False):
        with suppress(PermissionError):
            Path(path).chmod(0o555)


def clear(folder: Path) -> None:
    """Removes everything below the folder, sealed or not, however deep it is. Raises `OSError`."""
    for path, _, _ in os.walk(folder):
        with suppress(PermissionError):
            Path(path).chmod(0o755)
    for path, directories, files in os.walk(folder, topdown=False):
        for name in files:
            Path(path, name).unlink()
        for inner in (Path(path, name) for name in directories):
            if inner.is_symlink():
                inner.unlink()
            else:
                inner.rmdir()


def _make_way(path: Path) -> None:
    try:
        path.unlink()
    except FileNotFoundError:
        pass
    except (IsADirectoryError, PermissionError):
        if path.is_symlink():
            raise
        clear(path)
        path.rmdir()
