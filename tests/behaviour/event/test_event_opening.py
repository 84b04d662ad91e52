"""The process of the event queue while another one, which a forced deletion left, still has its file."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
from tests.eventually import eventually
from tests.ports import free_port

from kubelambda.store.event.sqlite_queue import SqliteQueue


class Waiting:
    """The process, and where it listens."""

    def __init__(self, folder: Path) -> None:
        (folder / "settings.json").write_text("{}")
        (folder / "key").write_bytes(b"k" * 32)
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self.log = folder / "events.log"
        command = [sys.executable, "-P", "-m", "kubelambda.apps", "events", f"--file={folder / 'events.db'}"]
        command += [f"--settings={folder / 'settings.json'}", f"--key-file={folder / 'key'}", f"--port={port}"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    async def status(self, method: str, path: str) -> int | None:
        """Of the answer to a request; None while it does not listen."""
        try:
            async with aiohttp.ClientSession() as session, session.request(method, self.url + path) as response:
                return response.status
        except aiohttp.ClientError:
            return None


@contextmanager
def process(folder: Path) -> Iterator[Waiting]:
    """Of which nothing is left after it."""
    found = Waiting(folder)
    try:
        yield found
    finally:
        found.process.kill()
        found.process.wait()


async def test_who_waits_for_the_file_is_alive_takes_nothing_and_ends_when_it_is_told(tmp_path: Path) -> None:
    """A kubelet that took it for one that hangs would let each start come later; and a rollout waits for its end."""
    async with SqliteQueue(tmp_path / "events.db") as former:
        with process(tmp_path) as waiting:

            async def alive() -> bool:
                assert waiting.process.poll() is None, waiting.log.read_text()
                return await waiting.status("GET", "/healthz") == 200

            await eventually(alive)
            await eventually(lambda: "another process still has" in waiting.log.read_text())
            assert [await waiting.status(*each) for each in (("GET", "/readyz"), ("POST", "/events"))] == [503, 503]
            waiting.process.terminate()
            await eventually(lambda: waiting.process.poll() is not None)
            assert waiting.process.returncode == 0, waiting.log.read_text()
            assert "Traceback" not in waiting.log.read_text()
        assert [found async for found in former.waiting()] == []


async def test_whoever_gives_up_waiting_lets_the_next_one_have_the_file(tmp_path: Path) -> None:
    """Whether the file came free meanwhile or not."""
    file = tmp_path / "events.db"
    async with SqliteQueue(file):
        opening = asyncio.create_task(SqliteQueue(file).__aenter__())
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
    async with asyncio.timeout(60), SqliteQueue(file) as successor:
        assert [found async for found in successor.waiting()] == []
