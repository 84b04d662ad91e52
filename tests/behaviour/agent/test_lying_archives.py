"""Archives that lie, before a real agent: refused with a reason, or unpacked as Lambda does; nothing else changes."""

import functools
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.lying_archives import LIES, Lie

from kubelambda.api import environment_protocol
from kubelambda.api.environment_protocol import ArchiveReference

POOL_TOKEN = {"Authorization": "Bearer pool-token"}


@functools.cache
def made(lie: Lie) -> bytes:
    """Made once."""
    return lie.make()


@pytest.fixture
def address() -> Iterator[str]:
    """Where the archives are, by their names."""
    found = {f"/{lie.name}": lie for lie in LIES}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = made(found[self.path])
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def _found(folder: Path) -> dict[str, str]:
    """Files and links below a folder."""
    return {
        str(path.relative_to(folder)): f"-> {path.readlink()}" if path.is_symlink() else path.read_text()
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }


def test_each_is_refused_or_kept_and_nothing_is_left(unclaimed: Any, address: str) -> None:
    """One idle environment takes them one after the other as a layer, and a good function after all of them."""
    before = {str(path) for path in unclaimed.root.parent.rglob("*")}
    wrong = []
    for lie in LIES:
        data = made(lie)
        layer = ArchiveReference(hashlib.sha256(data).hexdigest(), len(data), f"{address}/{lie.name}")
        answer = unclaimed.call("POST", "/hold", environment_protocol.encode_layers([layer]), POOL_TOKEN)
        found = _found(unclaimed.root / "opt")
        status, kept = (400, {}) if lie.said else (200, lie.kept)
        if (answer.status, found) != (status, kept) or lie.said not in answer.json.get("message", ""):
            wrong.append((lie.name, answer.status, answer.body, found))
        for path in (unclaimed.root / "opt").rglob("*"):
            assert path.is_symlink() or not path.stat().st_mode & 0o7222, (lie.name, path)
    assert not wrong
    assert len(LIES) >= 20
    assert (
        unclaimed.specialize({"index.py": "def handler(event, context):\n    return event"}).json["status"] == "ready"
    )
    assert unclaimed.invoke("fine").json == "fine"
    left = {str(path) for path in unclaimed.root.parent.rglob("*")} - before
    assert {Path(path).name for path in left} <= {"index.py", "__pycache__"} | {
        path.name for path in (unclaimed.root / "var/task/__pycache__").glob("*")
    }


def test_a_claim_with_one_says_why(unclaimed: Any) -> None:
    """As code too: the environment is finished, and takes nothing more."""
    (lie,) = [lie for lie in LIES if lie.name == "parent"]
    answer = unclaimed.specialize(made(lie))
    assert (answer.status, lie.said in answer.json["message"]) == (400, True)
    assert not (unclaimed.root / "var/outside").exists()
    assert _found(unclaimed.root / "var/task") == {}
    assert unclaimed.state()["finished"]
