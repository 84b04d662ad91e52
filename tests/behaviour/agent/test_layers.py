"""What an environment unpacks: code and layers, in pieces, never through a link, not to be written to afterwards."""

import hashlib
import http.server
import io
import os
import re
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kubelambda.api.environment_protocol import ArchiveReference

CODE = """
import os, sys
sys.path[:0] = [os.environ["OPT"]]
import shared
def handler(event, context):
    return [shared.name, os.path.exists(f"{os.environ['OPT']}/only-first")]
"""


def _archive(*entries: tuple[str, int, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, mode, content in entries:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return data.getvalue()


def _link(name: str, target: str) -> tuple[str, int, bytes]:
    return name, 0o120777, target.encode()


@pytest.fixture
def served() -> Iterator[Callable[[bytes], str]]:
    """Serves archives over HTTP; gives the address of one."""
    found: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = found[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def serve(archive: bytes) -> str:
        path = f"/{len(found)}"
        found[path] = archive
        return f"http://127.0.0.1:{server.server_port}{path}"

    yield serve
    server.shutdown()
    server.server_close()


def _at(archive: bytes, url: str) -> ArchiveReference:
    return ArchiveReference(hashlib.sha256(archive).hexdigest(), len(archive), url)


def test_a_later_layer_wins(unclaimed: Any, zipped: Callable[..., bytes]) -> None:
    """And what only an earlier one has stays."""
    layers = [zipped({"shared.py": "name = 'first'", "only-first": ""}), zipped({"shared.py": "name = 'second'"})]
    found = unclaimed.specialize({"index.py": CODE}, layers=layers, variables={"OPT": str(unclaimed.root / "opt")})
    assert found.json["status"] == "ready", found.body
    assert unclaimed.invoke({}).json == ["second", True]


def test_archives_come_along_or_from_an_address(
    unclaimed: Any, zipped: Callable[..., bytes], served: Callable[[bytes], str]
) -> None:
    """In any mixture."""
    code = zipped({"index.py": CODE})
    first, second = zipped({"shared.py": "name = 'first'"}), zipped({"only-first": ""})
    answer = unclaimed.specialize(
        code,
        code=_at(code, served(code)),
        layers=[second],
        variables={"OPT": str(unclaimed.root / "opt")},
    )
    assert answer.status == 200  # `shared` is missing, which is the function's own fault
    assert answer.json["status"] == "init-error"
    assert first
    assert (unclaimed.root / "opt/only-first").exists()


def test_code_may_be_the_images_own(provided: Any) -> None:
    """No archive at all."""
    bootstrap = provided.root / "var/runtime/bootstrap"
    bootstrap.write_text(
        '#!/bin/sh\ncurl -sS -o /dev/null "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/next"\n'
    )
    bootstrap.chmod(0o755)
    assert provided.specialize({}, code=None, runtime="provided.al2023").json["status"] == "ready"


def test_nothing_is_written_through_the_link_of_an_earlier_layer(unclaimed: Any, tmp_path: Path) -> None:
    """The link makes way: what is below it belongs to somebody else."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    layers = [
        _archive(_link("python", str(outside)), _link("name", str(outside / "kept"))),
        _archive(("python/module.py", 0o100644, b"x = 1"), ("name", 0o100644, b"theirs")),
    ]
    unclaimed.specialize({"index.py": "handler = print"}, layers=layers)
    assert [path.name for path in outside.iterdir()] == ["kept"]
    assert (outside / "kept").read_text() == "kept"
    assert (unclaimed.root / "opt/python/module.py").read_text() == "x = 1"
    assert (unclaimed.root / "opt/name").read_text() == "theirs"


def test_links_that_lead_out_are_kept(unclaimed: Any) -> None:
    """As Lambda keeps them: to a layer, or to where the function caches."""
    archive = _archive(("index.py", 0o100644, b"handler = print"), _link("node_modules", "/opt/nodejs/node_modules"))
    assert unclaimed.specialize(archive).json["status"] == "ready"
    assert (unclaimed.root / "var/task/node_modules").readlink() == Path("/opt/nodejs/node_modules")


def test_what_is_unpacked_cannot_be_written_to_by_mistake(unclaimed: Any, zipped: Callable[..., bytes]) -> None:
    """Neither files nor folders have the right to write; what could be executed still can."""
    archive = _archive(("index.py", 0o100644, b"handler = print"), ("bin/tool", 0o100755, b"#!/bin/sh\n"))
    assert unclaimed.specialize(archive, layers=[zipped({"a/b": "c"})]).json["status"] == "ready"
    for folder in ("var/task", "opt"):
        for path in [unclaimed.root / folder, *(unclaimed.root / folder).rglob("*")]:
            if "__pycache__" not in path.parts:  # by root, whom no mode binds
                assert not path.stat().st_mode & 0o222, path
    assert (unclaimed.root / "var/task/bin/tool").stat().st_mode & 0o777 == 0o555


def test_a_large_archive_is_never_in_memory(unclaimed: Any, served: Callable[[bytes], str]) -> None:
    """Neither packed nor unpacked: 150 MB pass through."""
    noise = os.urandom(40 << 20)
    archive = _archive(
        ("index.py", 0o100644, b"handler = print"), ("noise", 0o100644, noise), ("zeros", 0o100644, bytes(110 << 20))
    )
    assert unclaimed.specialize(archive, code=_at(archive, served(archive))).json["status"] == "ready"
    status = Path(f"/proc/{unclaimed.process.pid}/status").read_text()
    assert int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) < 70 << 10, status  # type: ignore[index]


def test_the_sizes_of_code_and_layers_count_together(unclaimed: Any) -> None:
    """262,144,000 bytes is one too many (§1.3)."""
    layers = [_archive(("zeros", 0o100644, bytes(131 << 20)))] * 2
    answer = unclaimed.specialize({"index.py": CODE}, layers=layers)
    assert answer.status == 400
    assert "Unzipped size must be smaller than" in answer.json["message"]
    assert unclaimed.state()["finished"]


def test_an_archive_that_cannot_be_fetched_is_worth_another_try(unclaimed: Any, zipped: Callable[..., bytes]) -> None:
    """502, not the 400 of one that no environment could use."""
    archive = zipped({"index.py": CODE})
    answer = unclaimed.specialize(archive, code=_at(archive, "http://127.0.0.1:9/nobody"))
    assert answer.status == 502
    assert "could not be fetched" in answer.json["message"]


BOOTSTRAP = """#!/bin/sh
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
while true; do
  curl -sS -o /dev/null -D headers "$api/next"
  id=$(grep -i '^lambda-runtime-aws-request-id:' headers | tr -d '[:space:]' | cut -d: -f2)
  curl -sS -o /dev/null -d "\\"{} $WRAPPED\\"" "$api/$id/response"
done
"""


@pytest.mark.parametrize(
    ("code", "layers", "answers"),
    [
        ({"data": ""}, [{"bootstrap": BOOTSTRAP.format("of the layer")}], "of the layer"),
        ({"data": ""}, [{"bootstrap": "x"}, {"bootstrap": BOOTSTRAP.format("of the last layer")}], "of the last layer"),
        ({"bootstrap": BOOTSTRAP.format("of the code")}, [{"bootstrap": "x"}], "of the code"),
    ],
)
def test_a_layer_may_be_the_runtime(
    provided: Any, zipped: Callable[..., bytes], code: dict[str, str], layers: list[dict[str, str]], answers: str
) -> None:
    """Its `bootstrap` runs where the code has none (§3.4.1)."""
    packed = [zipped(files) for files in layers]
    assert provided.specialize(code, layers=packed, runtime="provided.al2023").json["status"] == "ready"
    assert provided.invoke({}).json.strip() == answers


def test_a_wrapper_may_come_with_a_layer(provided: Any, zipped: Callable[..., bytes]) -> None:
    """`AWS_LAMBDA_EXEC_WRAPPER` names a program in `/opt`, as extensions of tracing tools do."""
    wrapper = '#!/bin/sh\nexport WRAPPED=wrapped\nexec "$@"\n'
    variables = {"AWS_LAMBDA_EXEC_WRAPPER": str(provided.root / "opt/tool/bootstrap")}
    layers = [zipped({"tool/bootstrap": wrapper, "bootstrap": BOOTSTRAP.format("by a layer,")})]
    answer = provided.specialize({"data": ""}, layers=layers, variables=variables, runtime="provided.al2023")
    assert answer.json["status"] == "ready"
    assert provided.invoke({}).json == "by a layer, wrapped"


def test_what_cannot_be_executed_is_no_extension(unclaimed: Any) -> None:
    """Nor is what lies in a folder below: the function runs as without them, and nobody waits for anything."""
    layer = _archive(("extensions/readme", 0o100644, b"text"), ("extensions/lib/tool", 0o100755, b"#!/bin/false\n"))
    code = {"index.py": "def handler(event, context): return event"}
    assert unclaimed.specialize(code, layers=[layer]).json["status"] == "ready"
    answer = unclaimed.invoke(1, tail=True)
    assert (answer.json, "X-Kubelambda-Busy" in answer.headers) == (1, False)
    assert "EXTENSION" not in unclaimed.log_file.read_text()
