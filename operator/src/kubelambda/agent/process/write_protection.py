"""Keeps a runtime process, and whatever it starts, from writing into the folders of its code: by Landlock.

The function has the agent's user id, so modes are its own to change, and a second mount that is read-only would leave
the first. What a process forbids itself by Landlock it can never take back, and it needs no privilege for that.
"""

import ctypes
import os
import struct
from collections.abc import Iterator
from pathlib import Path

# The same numbers on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION, _PATH_BENEATH = 1, 1
_PR_SET_NO_NEW_PRIVS = 38
_LEAST_VERSION = 2
"""Linux 5.19. Before it, nothing could be renamed from one folder to another any more, wherever."""
_TRUNCATE_VERSION = 3
_WRITE_FILE, _REMOVE_DIR, _REMOVE_FILE, _TRUNCATE = 1 << 1, 1 << 4, 1 << 5, 1 << 14
_MAKE = sum(1 << bit for bit in range(6, 13))
"""Devices, folders, files, sockets, pipes and links."""
_REFER = 1 << 13
_TEMPORARY = Path("/tmp")  # noqa: S108 - whatever is in it may be written


def forbid_writing(folders: list[Path]) -> bool:
    """From now on nothing below `folders` can be written by this process. False where the kernel does not know how.

    Nor can anything be made directly in the folders above them, which an environment has on a read-only file system.
    Where `folders` are temporary files themselves (agents outside of a container), nothing is forbidden.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if any(_TEMPORARY in folder.parents for folder in folders):
        return False
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)
    if version < _LEAST_VERSION:
        return False
    rights = _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE | _REFER
    if version >= _TRUNCATE_VERSION:
        rights |= _TRUNCATE
    handled = struct.pack("=Q", rights)
    ruleset = libc.syscall(_CREATE_RULESET, handled, ctypes.c_size_t(len(handled)), 0)
    if ruleset < 0:
        return False
    try:
        for path in _beside(folders):
            descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC)
            libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, descriptor), 0)
            os.close(descriptor)
    except (
        OSError
    ):  # a file system like no other: better no wall than a function that cannot start, or not write at all
        os.close(ruleset)
        return False
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    forbidden: bool = libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    return forbidden


def _beside(folders: list[Path]) -> Iterator[str]:
    """Every folder that is neither one of `folders` nor above one, and whose own folder is above one."""
    above = {str(parent) for folder in folders for parent in folder.parents}
    forbidden = {str(folder) for folder in folders}
    for folder in sorted(above):
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.path not in above | forbidden and entry.is_dir(follow_symlinks=False):
                    yield entry.path
