"""The folders of a function's code are read-only to it, although they belong to its own user id."""

import ctypes
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.behaviour.agent.environment import Environment

PROBE = """
import errno, os, subprocess, tempfile

def attempt(work):
    try:
        work()
        return "done"
    except OSError as error:
        return errno.errorcode[error.errno]

def handler(event, context):
    task, opt, runtime = os.environ["LAMBDA_TASK_ROOT"], event["opt"], event["runtime"]
    me = os.path.join(task, "index.py")
    for path in (me, task, opt, runtime):
        os.chmod(path, 0o777)  # they are ours
    other = tempfile.mkdtemp()
    def rename():
        os.mkdir(os.path.join(other, "a")); open(os.path.join(other, "f"), "w").close()
        os.rename(os.path.join(other, "f"), os.path.join(other, "a", "f"))
    return {
        "overwrite": attempt(lambda: open(me, "a").close()),
        "truncate": attempt(lambda: os.truncate(me, 0)),
        "remove": attempt(lambda: os.remove(me)),
        "task": attempt(lambda: open(os.path.join(task, "new"), "w").close()),
        "opt": attempt(lambda: os.mkdir(os.path.join(opt, "new"))),
        "runtime": attempt(lambda: os.symlink("x", os.path.join(runtime, "new"))),
        "move in": attempt(lambda: os.rename(tempfile.mkstemp()[1], os.path.join(task, "new"))),
        "move away": attempt(lambda: os.rename(task, task + "-old")),
        "child": subprocess.run(["sh", "-c", f"echo x > {task}/new"], capture_output=True).returncode,
        "null": attempt(lambda: open("/dev/null", "w").close()),
        "temporary": attempt(rename),
        "source": open(me).read()[:7],
    }
"""


@pytest.fixture
def root() -> Iterator[Path]:
    """Folders that are not temporary files, as those of a container are not."""
    found = Path(tempfile.mkdtemp(dir=Path.home()))
    yield found
    for path in sorted(found.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    shutil.rmtree(found, ignore_errors=True)


@pytest.mark.skipif(
    ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1) < 3, reason="the kernel has no Landlock, or an old one"
)
@pytest.mark.parametrize("prestart", ["python", ""], ids=["prestarted", "spawned"])
def test_a_function_cannot_write_where_its_code_is(root: Path, prestart: str) -> None:
    """Not by another mode, nor by a child, nor by moving things; all else is as ever."""
    with Environment(root, prestart=prestart) as environment:
        runtime = {} if prestart else {"runtime": "provided.al2023"}
        files = {"index.py": PROBE}
        if not prestart:
            files["bootstrap"] = BOOTSTRAP
        assert environment.specialize(files, **runtime).json["status"] == "ready"
        event = {"opt": str(root / "opt"), "runtime": str(root / "var/runtime")}
        found = json.loads(environment.invoke(event).body)
    refused = ["overwrite", "truncate", "remove", "task", "opt", "runtime", "move away"]
    assert {name: found[name] for name in refused} == dict.fromkeys(refused, "EACCES")
    assert found["move in"] in ("EACCES", "EXDEV")
    assert found["child"] != 0
    assert (found["null"], found["temporary"]) == ("done", "done")
    assert found["source"] == "\nimport"


BOOTSTRAP = """#!/usr/bin/env python3
import http.client, json, os, sys
sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])
import index
connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
while True:
    connection.request("GET", "/2018-06-01/runtime/invocation/next")
    answer = connection.getresponse()
    event, request_id = json.loads(answer.read()), answer.headers["Lambda-Runtime-Aws-Request-Id"]
    body = json.dumps(index.handler(event, None))
    connection.request("POST", f"/2018-06-01/runtime/invocation/{request_id}/response", body)
    connection.getresponse().read()
"""
