"""Makes the root directory of an access point as the user who is to own it: what a pod runs before its environment.

`MODE FOLDER GID`: exits with 0 once the folder is there, whoever made it; else with 1 and a line that says why.
"""

import os
import stat
import sys
from pathlib import Path


def main(arguments: list[str]) -> int:
    """The exit status."""
    mode, path, gid = arguments
    folder = Path(path)
    try:
        make(folder, int(mode, 8), int(gid))
    except OSError as error:
        sys.stderr.write(f"user {os.getuid()} cannot make it: {error.strerror}; {_owner(folder.parent)}\n")
        return 1
    return 0


def make(folder: Path, mode: int, gid: int) -> None:
    """Makes the folder unless it is there. Raises `OSError`."""
    os.umask(0)
    try:
        folder.mkdir(mode & 0o777)
    except FileExistsError:
        if not folder.is_dir():
            raise
        return
    if folder.stat().st_gid != gid:  # the folder above gives its group to what is made in it
        os.chown(folder, -1, gid)
    folder.chmod(mode)


def _owner(parent: Path) -> str:
    try:
        found = parent.stat()
    except OSError as error:
        return f"the folder above it cannot be seen: {error.strerror}"
    mode = stat.S_IMODE(found.st_mode)
    return f"the folder above it belongs to user {found.st_uid} and group {found.st_gid} with mode {mode:04o}"
