"""Downloads of layers that break off: they go on where they were, and what comes is what was promised or nothing."""

import hashlib
import io
import random
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kubelambda.agent.process.configuration import Unusable
from kubelambda.agent.sandbox import archives
from kubelambda.agent.sandbox.archives import NotFetched, unpack_layers
from kubelambda.api.environment_protocol import ArchiveReference

CONTENT = random.Random(7).randbytes(400_000)


def layer() -> bytes:
    """An archive of one file that cannot be compressed."""
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w") as archive:
        archive.writestr("large", CONTENT)
    return found.getvalue()


LAYER = layer()
DIGEST = hashlib.sha256(LAYER).hexdigest()


class Store(ThreadingHTTPServer):
    """A store whose answers break off after so many bytes. `asked` has the ranges that it was asked for."""

    cut: Callable[[int], int]
    whole = False
    """Whether ranges are ignored."""
    refuses = False
    """Whether ranges are answered with 403."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.asked: list[tuple[str | None, str | None]] = []

    @property
    def archive(self) -> ArchiveReference:
        """Where the layer is."""
        return ArchiveReference(DIGEST, len(LAYER), f"http://127.0.0.1:{self.server_address[1]}/layer")


class Answers(BaseHTTPRequestHandler):
    """One connection."""

    server: Store

    def do_GET(self) -> None:
        """The archive from where it is asked for, as far as it goes."""
        asked = self.headers.get("Range")
        self.server.asked.append((asked, self.headers.get("If-Range")))
        if asked and self.server.refuses:
            self.send_error(403)
            return
        begin = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and not self.server.whole else 0
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(LAYER) - begin))
        self.end_headers()
        self.wfile.write(LAYER[begin : begin + self.server.cut(len(self.server.asked))])

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def store(cut: Callable[[int], int]) -> Iterator[Store]:
    """A store that breaks its answers off after `cut(n)` bytes of the nth."""
    with Store() as found:
        found.cut = cut
        thread = threading.Thread(target=found.serve_forever, daemon=True)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Goes on at once."""
    monkeypatch.setattr(archives, "_PAUSES_S", (0.0, 0.0, 0.0))


def fetched(archive: ArchiveReference, folder: Path) -> bytes:
    """What a layer has, once it is unpacked."""
    folder.mkdir()
    unpack_layers([archive], folder, lambda: None)
    return (folder / "large").read_bytes()


def test_a_download_that_breaks_off_goes_on_where_it_was(tmp_path: Path) -> None:
    """Twice, and only with the same archive."""
    with store(lambda number: 150_000 if number < 3 else len(LAYER)) as found:
        assert fetched(found.archive, tmp_path / "opt") == CONTENT
    assert found.asked == [(None, None), ("bytes=150000-", f'"{DIGEST}"'), ("bytes=300000-", f'"{DIGEST}"')]


def test_one_that_breaks_off_again_and_again_is_given_up(tmp_path: Path) -> None:
    """With how far it came."""
    with store(lambda _: 1000) as found, pytest.raises(NotFetched, match=rf"after 4000 of {len(LAYER)} bytes"):
        fetched(found.archive, tmp_path / "opt")


def test_one_of_which_nothing_came_is_given_up_at_once(tmp_path: Path) -> None:
    """The frontend takes another environment, or says so."""
    with store(lambda _: 0) as found, pytest.raises(NotFetched):
        fetched(found.archive, tmp_path / "opt")
    assert len(found.asked) == 1


def test_a_store_that_begins_anew_is_not_taken_for_one_that_goes_on(tmp_path: Path) -> None:
    """One of an earlier release knows no ranges."""
    with store(lambda number: 1000 if number == 1 else len(LAYER)) as found:
        found.whole = True
        with pytest.raises(NotFetched, match="does not go on"):
            fetched(found.archive, tmp_path / "opt")


def test_another_archive_than_promised_is_refused(tmp_path: Path) -> None:
    """Whatever way it came."""
    with store(lambda number: 1000 if number == 1 else len(LAYER)) as found:
        wrong = ArchiveReference("0" * 64, len(LAYER), found.archive.url)
        with pytest.raises(Unusable, match="digest"):
            fetched(wrong, tmp_path / "opt")


def test_a_store_that_refuses_to_go_on_is_asked_once(tmp_path: Path) -> None:
    """The address was good for a while, and is not any more."""
    with store(lambda _: 1000) as found:
        found.refuses = True
        with pytest.raises(NotFetched, match=r"403.*after 1000 of"):
            fetched(found.archive, tmp_path / "opt")
    assert len(found.asked) == 2


def test_a_pause_ends_when_nobody_wants_the_archive_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment became that of a function with other layers: it must not wait for these."""
    monkeypatch.setattr(archives, "_PAUSES_S", (600.0,))
    looks = 0

    def proceed() -> None:
        nonlocal looks
        looks += 1
        if looks > 3:  # one piece came; the others are looks within the pause
            raise Unusable("other layers")

    with store(lambda _: 1000) as found, pytest.raises(Unusable, match="other layers"):
        unpack_layers([found.archive], tmp_path, proceed)
    assert len(found.asked) == 1
