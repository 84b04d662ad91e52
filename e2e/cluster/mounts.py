"""Mounts and empty folders that other programs left behind."""

from pathlib import Path

from shell import run, succeeds


def unmount_below(*folders: Path) -> None:
    """Deepest first; mounts whose users are just ending are detached."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    ours = [point for point in points if any(Path(point).is_relative_to(folder) for folder in folders)]
    for point in sorted(ours, key=len, reverse=True):
        if not succeeds("umount", point):
            run("umount", "--lazy", point)


def remove_if_empty(*folders: Path) -> None:
    """In the given order; those that hold something stay."""
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
