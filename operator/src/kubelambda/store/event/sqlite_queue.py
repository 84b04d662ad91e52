"""The embedded engine: SQLite with a write-ahead log, one writer thread, and one fsync for all that came meanwhile."""

import asyncio
import json
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Self

from kubelambda.core.event.delivery import EventProgress
from kubelambda.core.event.event_ending import EventEnding, decoded, encoded
from kubelambda.store.event.event_queue import InvokedFunction, QueuedEvent, QueueUnavailable, WaitingEvent
from kubelambda.store.event.file_lock import locked
from kubelambda.store.event.sqlite_salvage import is_whole, salvage

_BATCH_MAX = 512
_PAGE = 5000
_KEPT_FREE_BYTES = 32 << 20
_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  namespace TEXT NOT NULL, function TEXT NOT NULL, qualifier TEXT NOT NULL,
  request_id TEXT NOT NULL, payload BLOB NOT NULL, headers TEXT NOT NULL,
  accepted_at REAL NOT NULL, due_at REAL NOT NULL,
  function_errors INTEGER NOT NULL, turned_down INTEGER NOT NULL, invocations INTEGER NOT NULL,
  ending TEXT
)
"""
_ADDED = "ALTER TABLE events ADD COLUMN ending TEXT"
_APPEND = "INSERT INTO events VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)"
_POSTPONE = (
    "UPDATE events SET due_at = ?, function_errors = ?, turned_down = ?, invocations = ?, ending = ? WHERE number = ?"
)
_FINISH = "DELETE FROM events WHERE number = ?"

type _Work = Callable[[sqlite3.Connection], Any]


class SqliteQueue:
    """The queue in one file. Use as an asynchronous context; every call comes from the same event loop."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._work: SimpleQueue[tuple[_Work, asyncio.Future[Any]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="event-queue", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opened: asyncio.Future[None] | None = None
        self._given_up = threading.Event()

    async def __aenter__(self) -> Self:
        """Opens the file, or makes it, once no other process has it. Raises `QueueUnavailable`.

        That may take long, and may be cancelled.
        """
        self._loop = asyncio.get_running_loop()
        self._opened = self._loop.create_future()
        self._thread.start()
        try:
            await self._opened
        except asyncio.CancelledError:
            self._given_up.set()
            self._work.put(None)  # in case it is open by now
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._work.put(None)
        await asyncio.to_thread(self._thread.join)

    async def append(self, event: QueuedEvent) -> int:
        """As `EventQueue.append`. Leaves some room on the volume, without which nothing could be finished either."""
        volume = shutil.disk_usage(self._file.parent)
        if volume.free < min(_KEPT_FREE_BYTES, volume.total // 20):
            raise QueueUnavailable(f"the volume of the event queue is full: {volume.free} bytes are left")
        progress = event.progress
        row = (
            *event.target,
            event.request_id,
            event.payload,
            json.dumps(dict(event.headers)),
            progress.accepted_at,
            progress.due_at,
            progress.function_errors,
            progress.turned_down,
            progress.invocations,
        )
        number: int = await self._do(lambda database: database.execute(_APPEND, row).lastrowid)
        return number

    async def postpone(self, number: int, progress: EventProgress, ending: EventEnding | None = None) -> None:
        """As `EventQueue.postpone`."""
        row = (
            progress.due_at,
            progress.function_errors,
            progress.turned_down,
            progress.invocations,
            encoded(ending) if ending is not None else None,
            number,
        )
        await self._do(lambda database: database.execute(_POSTPONE, row))

    async def finish(self, number: int) -> None:
        """As `EventQueue.finish`."""
        await self._do(lambda database: database.execute(_FINISH, (number,)))

    async def read(self, numbers: Sequence[int]) -> dict[int, QueuedEvent]:
        """As `EventQueue.read`."""

        def select(database: sqlite3.Connection) -> dict[int, QueuedEvent]:
            marks = ",".join("?" * len(numbers))
            rows = database.execute(f"SELECT * FROM events WHERE number IN ({marks})", list(numbers))  # noqa: S608 - question marks
            return {row[0]: _event(row) for row in rows}

        found: dict[int, QueuedEvent] = await self._do(select)
        return found

    async def waiting(self) -> AsyncIterator[WaitingEvent]:
        """As `EventQueue.waiting`, a page at a time."""
        last = 0
        while True:

            def select(database: sqlite3.Connection, after: int = last) -> list[tuple[Any, ...]]:
                query = "SELECT number, namespace, function, qualifier, due_at FROM events WHERE number > ? LIMIT ?"
                return database.execute(query, (after, _PAGE)).fetchall()

            rows: list[tuple[Any, ...]] = await self._do(select)
            for number, namespace, function, qualifier, due_at in rows:
                yield WaitingEvent(number, InvokedFunction(namespace, function, qualifier), due_at)
            if not rows:
                return
            last = rows[-1][0]

    async def _do(self, work: _Work) -> Any:
        assert self._loop is not None, "the queue is used outside of its context"
        future: asyncio.Future[Any] = self._loop.create_future()
        self._work.put((work, future))
        try:
            return await future
        except sqlite3.Error as error:
            raise QueueUnavailable(f"the event queue cannot write: {error}") from error

    def _run(self) -> None:
        """The thread: one transaction for everything that waits, then everybody is told at once."""
        assert self._loop is not None
        assert self._opened is not None
        with ExitStack() as held:
            try:
                held.enter_context(locked(self._file, self._given_up))
                database = _open(self._file)
            except (sqlite3.Error, OSError) as error:
                self._tell([(self._opened, None, QueueUnavailable(f"{self._file} cannot be opened: {error}"))])
                return
            self._tell([(self._opened, None, None)])
            self._write(database)

    def _write(self, database: sqlite3.Connection) -> None:
        """Until the queue is closed."""
        ending = False
        while not ending:
            item = self._work.get()
            batch: list[tuple[_Work, asyncio.Future[Any]]] = []
            while item is not None:
                batch.append(item)
                if len(batch) == _BATCH_MAX or self._work.empty():
                    break
                item = self._work.get()
            ending = item is None
            if batch:
                self._tell(_transaction(database, batch))
        database.close()

    def _tell(self, answers: list[tuple["asyncio.Future[Any]", Any, Exception | None]]) -> None:
        assert self._loop is not None
        if not self._given_up.is_set():
            self._loop.call_soon_threadsafe(_answer, answers)


def _open(file: Path) -> sqlite3.Connection:
    database = _open_as_it_is(file)
    if is_whole(database):
        return database
    database.close()
    return salvage(file, _open_as_it_is)


def _open_as_it_is(file: Path) -> sqlite3.Connection:
    database = sqlite3.connect(file, isolation_level=None, check_same_thread=True, timeout=10)
    try:
        _prepare(database)
    except sqlite3.Error:
        database.close()
        raise
    return database


def _prepare(database: sqlite3.Connection) -> None:
    # FULL: the log is on the disk before a transaction ends. Without it a 202 would be a promise of the page cache.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=2000", "auto_vacuum=INCREMENTAL"):
        database.execute(f"PRAGMA {pragma}")
    database.execute(_SCHEMA)
    if "ending" not in {column[1] for column in database.execute("PRAGMA table_info(events)")}:
        database.execute(_ADDED)  # a file of an earlier release


def _transaction(
    database: sqlite3.Connection, batch: list[tuple[_Work, "asyncio.Future[Any]"]]
) -> list[tuple["asyncio.Future[Any]", Any, Exception | None]]:
    answers: list[tuple[asyncio.Future[Any], Any, Exception | None]] = []
    try:
        database.execute("BEGIN IMMEDIATE")
        for work, future in batch:
            answers.append((future, work(database), None))
        database.execute("COMMIT")
    except sqlite3.Error as error:
        # None of them is durable: all are told so.
        if database.in_transaction:
            database.execute("ROLLBACK")
        return [(future, None, error) for _, future in batch]
    return answers


def _answer(answers: list[tuple["asyncio.Future[Any]", Any, Exception | None]]) -> None:
    for future, result, error in answers:
        if future.done():
            continue
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)


def _event(row: tuple[Any, ...]) -> QueuedEvent:
    (
        _,
        namespace,
        function,
        qualifier,
        request_id,
        payload,
        headers,
        accepted,
        due,
        errors,
        down,
        invocations,
        ending,
    ) = row
    return QueuedEvent(
        InvokedFunction(namespace, function, qualifier),
        request_id,
        payload,
        EventProgress(accepted, due, errors, down, invocations),
        json.loads(headers),
        decoded(ending) if ending is not None else None,
    )
