"""What can still be read of a damaged queue file, brought into a new one; the damaged one is kept beside it."""

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_PROBES_MAX = 200_000

type Row = tuple[Any, ...]

log = logging.getLogger(__name__)


def is_whole(database: sqlite3.Connection) -> bool:
    """Whether every page of a file is where and what it should be. Reads the whole file once."""
    try:
        return bool(database.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
    except sqlite3.DatabaseError:
        return False


def salvage(file: Path, open_new: Callable[[Path], sqlite3.Connection]) -> sqlite3.Connection:
    """A new file at `file` with every event that can be read. Raises `sqlite3.Error` or `OSError`."""
    kept = file.with_name(f"{file.name}.damaged-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}")
    for suffix in ("", "-wal", "-shm"):
        part = file.with_name(file.name + suffix)
        if part.exists():
            part.rename(kept.with_name(kept.name + suffix))
    made = open_new(file)
    old = sqlite3.connect(kept, isolation_level=None)
    try:
        rows = 0
        made.execute("BEGIN IMMEDIATE")
        for row in _readable(old):
            made.execute(f"INSERT OR IGNORE INTO events VALUES ({','.join('?' * len(row))})", row)  # noqa: S608 - marks
            rows += 1
        made.execute("COMMIT")
    finally:
        old.close()
    log.error("the queue's file was damaged: %d events were read out of it, the rest may be in %s", rows, kept)
    return made


def _readable(database: sqlite3.Connection) -> Iterator[Row]:
    """Rows up to the damage, those from the end back to it, and those between that can be reached one by one."""
    first: int = 0
    for row in _until_damage(database, "SELECT * FROM events ORDER BY number"):
        first = row[0]
        yield row
    last: int | None = None
    for row in _until_damage(database, "SELECT * FROM events WHERE number > ? ORDER BY number DESC", first):
        last = row[0]
        yield row
    end = last if last is not None else first + _PROBES_MAX
    for number in range(first + 1, min(end, first + _PROBES_MAX)):
        yield from _until_damage(database, "SELECT * FROM events WHERE number = ?", number)


def _until_damage(database: sqlite3.Connection, query: str, *values: int) -> Iterator[Row]:
    try:
        yield from database.execute(query, values)
    except sqlite3.DatabaseError:
        return
