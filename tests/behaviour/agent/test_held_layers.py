"""Layers that an idle environment unpacks ahead: kept for the function that has them, and for no other."""

import hashlib
import http.server
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kubelambda.api import environment_protocol
from kubelambda.api.environment_protocol import ArchiveReference

POOL_TOKEN = {"Authorization": "Bearer pool-token"}
CODE = """
import os, sys
OPT = os.environ["OPT"]
sys.path[:0] = [OPT]
def handler(event, context):
    import shared
    return [shared.name, sorted(os.listdir(OPT))]
"""


class Store:
    """Archives by digest; counts what is fetched, and gives nothing of what is held back."""

    def __init__(self) -> None:
        self.archives: dict[str, bytes] = {}
        self.fetched: list[str] = []
        self.open = threading.Event()
        self.open.set()
        self.port = 0

    def layer(self, archive: bytes) -> ArchiveReference:
        """Its reference, with an address."""
        digest = hashlib.sha256(archive).hexdigest()
        self.archives[digest] = archive
        return ArchiveReference(digest, len(archive), f"http://127.0.0.1:{self.port}/{digest}")


@pytest.fixture
def store() -> Iterator[Store]:
    """Serves over HTTP."""
    found = Store()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = found.archives[self.path[1:]]
            found.fetched.append(self.path[1:])
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:1000])
            self.wfile.flush()
            found.open.wait(60)
            self.wfile.write(body[1000:])

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.port = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield found
    found.open.set()
    server.shutdown()
    server.server_close()


def hold(agent: Any, *layers: ArchiveReference, headers: dict[str, str] = POOL_TOKEN) -> Any:
    """Tells an idle environment to hold layers."""
    return agent.call("POST", "/hold", environment_protocol.encode_layers(layers), headers)


def specialize(agent: Any, *layers: ArchiveReference) -> Any:
    """Hands over a function with layers that have addresses."""
    variables = {"OPT": str(agent.root / "opt")}
    return agent.specialize({"index.py": CODE}, layers=layers, variables=variables)


def test_what_is_held_is_not_fetched_again(unclaimed: Any, store: Store, zipped: Callable[..., bytes]) -> None:
    """In the order of the layers; nothing of it can be written to."""
    layers = [
        store.layer(zipped({"shared.py": "name = 'first'", "first": ""})),
        store.layer(zipped({"shared.py": "name = 'second'", "deep/second": ""})),
    ]
    assert hold(unclaimed, *layers).json == {"status": "held"}
    assert hold(unclaimed, *layers).status == 200
    assert len(store.fetched) == 2
    assert specialize(unclaimed, *layers).json["status"] == "ready"
    name, listed = unclaimed.invoke({}).json
    assert (name, [each for each in listed if each != "__pycache__"]) == ("second", ["deep", "first", "shared.py"])
    assert len(store.fetched) == 2
    for path in (unclaimed.root / "opt").rglob("*"):
        if "__pycache__" not in path.parts:
            assert not path.stat().st_mode & 0o222, path


def test_another_function_finds_nothing_of_it(unclaimed: Any, store: Store, zipped: Callable[..., bytes]) -> None:
    """Whose layers are others, or the same in another order."""
    first, second = (
        store.layer(zipped({"shared.py": "name = 1", "a/b": ""})),
        store.layer(zipped({"shared.py": "name = 2"})),
    )
    assert hold(unclaimed, first, second).status == 200
    assert specialize(unclaimed, second).json["status"] == "ready"
    name, listed = unclaimed.invoke({}).json
    assert (name, [each for each in listed if each != "__pycache__"]) == (2, ["shared.py"])


def test_a_function_without_layers_finds_nothing_of_it(
    unclaimed: Any, store: Store, zipped: Callable[..., bytes], tmp_path: Path
) -> None:
    """Links are removed, and not what they lead to."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/kept").touch()
    assert hold(unclaimed, store.layer(zipped({"deep/er/file": "x", "shared.py": ""}))).status == 200
    code = "import os\ndef handler(event, context):\n    return os.listdir(os.environ['OPT'])"
    assert unclaimed.specialize({"index.py": code}, variables={"OPT": str(unclaimed.root / "opt")}).status == 200
    assert unclaimed.invoke({}).json == []
    assert (tmp_path / "outside/kept").exists()


def test_other_layers_take_the_place_of_those_that_are_held(
    unclaimed: Any, store: Store, zipped: Callable[..., bytes]
) -> None:
    """What is held is one function's, whole."""
    assert hold(unclaimed, store.layer(zipped({"old": ""}))).status == 200
    new = store.layer(zipped({"shared.py": "name = 'new'"}))
    assert hold(unclaimed, new).status == 200
    assert specialize(unclaimed, new).json["status"] == "ready"
    assert unclaimed.invoke({}).json[0] == "new"
    assert not (unclaimed.root / "opt/old").exists()


def test_a_claim_waits_for_its_layers_that_are_on_their_way(
    unclaimed: Any, store: Store, zipped: Callable[..., bytes]
) -> None:
    """They are fetched once."""
    layer = store.layer(zipped({"shared.py": "name = 'slow'", "large": "x" * 5000}))
    store.open.clear()
    answers: list[Any] = []
    calls = [
        threading.Thread(target=lambda: answers.append(hold(unclaimed, layer))),
        threading.Thread(target=lambda: answers.append(specialize(unclaimed, layer))),
    ]
    calls[0].start()
    _fetching(store, 1)
    calls[1].start()
    _claimed(unclaimed)
    store.open.set()
    for call in calls:
        call.join(90)
    assert [answer.status for answer in answers] == [200, 200]
    assert unclaimed.invoke({}).json[0] == "slow"
    assert len(store.fetched) == 1


def test_a_claim_does_not_wait_for_layers_of_others(unclaimed: Any, store: Store, zipped: Callable[..., bytes]) -> None:
    """They are given up in the middle, and nothing of them is left."""
    other = store.layer(zipped({f"other-{index}": "x" * 5000 for index in range(50)}))
    small = zipped({"shared.py": "name = 'small'"})
    store.open.clear()
    told: list[Any] = []
    holding = threading.Thread(target=lambda: told.append(hold(unclaimed, other)))
    holding.start()
    _fetching(store, 1)
    claimed: list[Any] = []
    variables = {"OPT": str(unclaimed.root / "opt")}
    claim = threading.Thread(
        target=lambda: claimed.append(unclaimed.specialize({"index.py": CODE}, layers=[small], variables=variables))
    )
    claim.start()
    _claimed(unclaimed)
    store.open.set()
    claim.join(90)
    holding.join(90)
    assert (claimed[0].json["status"], told[0].status) == ("ready", 400)
    assert [each for each in unclaimed.invoke({}).json[1] if each != "__pycache__"] == ["shared.py"]


def test_what_cannot_be_held_leaves_nothing(unclaimed: Any, store: Store, zipped: Callable[..., bytes]) -> None:
    """A layer that is missing after one that was unpacked, and one that is no archive: the environment is as before."""
    good = store.layer(zipped({"shared.py": "name = 'good'", "good": ""}))
    gone = ArchiveReference("0" * 64, 1, "http://127.0.0.1:9/nobody")
    assert hold(unclaimed, good, gone).status == 502
    assert hold(unclaimed, good, store.layer(b"no archive")).status == 400
    other = store.layer(zipped({"shared.py": "name = 'other'"}))
    assert specialize(unclaimed, other).json["status"] == "ready"
    assert [each for each in unclaimed.invoke({}).json[1] if each != "__pycache__"] == ["shared.py"]


def test_strangers_and_the_late_are_refused(unclaimed: Any, store: Store, zipped: Callable[..., bytes]) -> None:
    """Only frontends, only before a function is there, and only what is a list of layers."""
    layer = store.layer(zipped({"a": ""}))
    assert hold(unclaimed, layer, headers={"Authorization": "Bearer guessed"}).status == 401
    assert unclaimed.call("POST", "/hold", b"{}", POOL_TOKEN).status == 400
    assert unclaimed.specialize({"index.py": "handler = print"}).json["status"] == "ready"
    assert hold(unclaimed, layer).status == 409
    assert store.fetched == []


def _claimed(agent: Any) -> None:
    """Until the environment knows that it is a function's."""
    own = {"Authorization": "Bearer environment-token"}
    deadline = time.monotonic() + 90
    while agent.call("GET", "/state", headers=own).status != 200:
        assert time.monotonic() < deadline, "nobody claims it"
        time.sleep(0.01)


def _fetching(store: Store, count: int) -> None:
    """Until so many archives are being fetched."""
    deadline = threading.Event()
    for _ in range(6000):
        if len(store.fetched) >= count:
            return
        deadline.wait(0.01)
    raise AssertionError("nothing is fetched")
