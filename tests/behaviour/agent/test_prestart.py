"""A pre-started Python process is as one that is started for the function: the same probes and ends, run in both.

In every environment the first process is the pre-started one; the one that follows its end is new.
"""

import importlib.util
import locale
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def sibling(name: str) -> ModuleType:
    """A module of this folder, which is no package."""
    spec = importlib.util.spec_from_file_location(f"agent_{name}", Path(__file__).parent / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    spec.loader.exec_module(module)
    return module


environment = sibling("environment")
probes = sibling("prestart_probes")
OFFICIAL = {"KUBELAMBDA_PYTHON_CLIENT": "official"}


@pytest.fixture
def unclaimed(tmp_path: Path) -> Iterator[Any]:
    """An environment that nobody claimed."""
    with environment.Environment(tmp_path / "environment") as found:
        yield found


@pytest.fixture(params=[{}, OFFICIAL], ids=["socket", "libcurl"])
def transport(request: pytest.FixtureRequest) -> Any:
    """Variables that choose the transport of the client."""
    return request.param


def end(found: Any) -> None:
    """Ends the runtime process, from outside, and returns once the agent knows."""
    [pid] = subprocess.check_output(["pgrep", "--parent", str(found.process.pid)], text=True).split()
    os.kill(int(pid), 9)
    assert environment.eventually(lambda: not Path(f"/proc/{pid}").exists())


def has_lambdas_locale() -> bool:
    """Whether this machine knows en_US.UTF-8; the image does."""
    known = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, "en_US.UTF-8")
    except locale.Error:
        return False
    finally:
        locale.setlocale(locale.LC_CTYPE, known)
    return True


def test_every_probe_finds_the_same_in_a_pre_started_process_and_in_a_new_one(
    unclaimed: Any, transport: dict[str, str]
) -> None:
    """Nothing that a function sees tells whether its process was started in advance."""
    variables = {"TZ": "Asia/Tokyo", "GREETING": "grüß", "HOME": "/tmp/home", **transport}
    assert unclaimed.specialize(probes.package(probes.NAMES), variables=variables, timeout=60).json["status"] == "ready"
    prestarted = unclaimed.invoke().json
    end(unclaimed)
    new = unclaimed.invoke().json
    assert new["sys.path"], new
    passed_over = set() if has_lambdas_locale() else probes.OF_THE_LOCALE
    for name in passed_over:
        prestarted.pop(name), new.pop(name)
    assert probes.differences(prestarted, new) == []
    assert not {name: value for name, value in new.items() if str(value).startswith("FAILED: ")}
    assert [name for name, own in new["own modules"].items() if not own] == []
    assert new["time zone"][0] == ["JST", "JST"]
    assert not new["variables at the start"]
    assert set(new["descriptors"]) <= {"0", "1", "2", "3"}  # 3 is the folder that is being read


def test_a_new_process_differs_from_the_plain_client_in_what_is_meant_to_differ(tmp_path: Path) -> None:
    """No module that a function could have one of its own of is imported beyond those of the official client."""
    with environment.Environment(tmp_path / "ours") as found:
        found.specialize(probes.package([]), timeout=60)
        ours = found.invoke().json
    plain = f"#!/bin/sh\nPYTHONPATH={':'.join(sys.path)} exec {sys.executable} -m awslambdaric index.handler\n"
    with environment.Environment(tmp_path / "plain", prestart="") as found:
        found.specialize({**probes.package([]), "bootstrap": plain}, timeout=60)
        theirs = found.invoke().json
    extra = set(ours["modules"]) - set(theirs["modules"]) - set(sys.builtin_module_names)
    assert extra <= {"_socket", "awslambdaric.__main__"}
    same = {"handlers", "loggers", "limits", "warnings", "threads", "time zone", "decimals", "at exit", "streams"}
    if not has_lambdas_locale():
        same -= probes.OF_THE_LOCALE
    assert {name: ours[name] for name in same} == {name: theirs[name] for name in same}


def test_processes_of_multiprocessing_start(unclaimed: Any) -> None:
    """Those that are forked, and those that import the program that is running once more."""
    code = """
import multiprocessing
def handler(event, context):
    made = multiprocessing.get_context(event)
    ours, theirs = made.Pipe()
    process = made.Process(target=theirs.send, args=(__name__,))
    process.start()
    process.join()
    return [process.exitcode, ours.recv() if ours.poll() else None]
"""
    unclaimed.specialize({"index.py": code}, timeout=30)
    for _ in range(2):
        for kind in ("fork", "spawn", "forkserver"):
            assert unclaimed.invoke(kind).json == [0, "index"]
        end(unclaimed)
        unclaimed.invoke("fork")


def test_a_home_that_only_the_agent_has_leaves_no_trace(unclaimed: Any) -> None:
    """An interpreter without HOME looks it up; the agent may have had one."""
    code = "import sys, site\ndef handler(event, context):\n    return [site.USER_BASE, sorted(sys.modules)]"
    unclaimed.specialize({"index.py": code})
    prestarted = unclaimed.invoke().json
    end(unclaimed)
    assert prestarted == unclaimed.invoke().json


@pytest.mark.parametrize("name", probes.ENDS)
def test_a_pre_started_process_ends_as_a_new_one(unclaimed: Any, name: str) -> None:
    """The same answer and the same lines in the log, whichever way it ends."""
    unclaimed.specialize({"index.py": probes.ENDING}, timeout=20)
    unclaimed.invoke("pass")  # its INIT is reported
    told = []
    for _ in range(2):
        answer = unclaimed.invoke(probes.ENDS[name]).body.decode()
        assert unclaimed.logged(f"REPORT RequestId: {unclaimed.last_request_id}")
        log = unclaimed.log_file.read_text().partition(f"START RequestId: {unclaimed.last_request_id}")[2]
        told.append(without_what_varies(f"{answer}\n{log}"))
    assert told[0] == told[1]
    assert "ImportError" not in told[0]


def without_what_varies(text: str) -> str:
    """Ids, durations, and the frames of the program that ran the client."""
    text = re.sub(r"request-\d+|Duration: [\d.]+ ms|Memory Used: \d+ MB|0x[0-9a-f]+|\d{6,}", "_", text)
    return re.sub(r"Extension modules:.*|Current thread.*", "_", text)


def test_two_environments_hash_and_draw_differently(tmp_path: Path) -> None:
    """What was prepared in advance does not make processes alike."""
    code = "import random\ndef handler(event, context):\n    return [hash('a'), random.random()]"
    seen = []
    for number in range(2):
        with environment.Environment(tmp_path / str(number)) as found:
            found.specialize({"index.py": code})
            seen.append(found.invoke().json)
    assert seen[0][0] != seen[1][0]
    assert seen[0][1] != seen[1][1]


def test_the_trace_header_is_a_variable_of_each_invocation_and_of_no_init(
    unclaimed: Any, transport: dict[str, str]
) -> None:
    """In its own process and in those that it starts; that of the invocation before does not stay (§3.4.8)."""
    code = """
import os, subprocess
NAME = "_X_AMZN_TRACE_ID"
AT_INIT = os.environ.get(NAME)
def handler(event, context):
    child = subprocess.run(["printenv", NAME], capture_output=True, text=True)
    return [AT_INIT, os.environ.get(NAME), child.stdout.strip()]
"""
    unclaimed.specialize({"index.py": code}, variables=transport, timeout=30)
    for _ in ("pre-started", "new"):
        for number in (1, 2):
            trace = f"Root=1-67891233-abcdef01234567891234567{number};Parent=53995c3f42cd8ad8;Sampled={number % 2}"
            assert unclaimed.invoke(headers={"X-Amzn-Trace-Id": trace}).json == [None, trace, trace]
        assert unclaimed.invoke().json == [None, None, ""]
        end(unclaimed)


@pytest.mark.parametrize("variables", [{}, {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "DEBUG"}])
def test_what_the_client_reads_when_it_is_imported_holds(unclaimed: Any, variables: dict[str, str]) -> None:
    """The format of logs, and that results keep their characters (as from python3.12 on)."""
    code = """
import logging
def handler(event, context):
    logging.getLogger().debug("seen")
    if event:
        raise ValueError("grüß")
    return "grüß"
"""
    unclaimed.specialize({"index.py": code}, variables=variables)
    told = []
    for _ in range(2):
        assert unclaimed.invoke().body == '"grüß"'.encode()
        log = unclaimed.invoke(1, tail=True).log
        told.append(re.sub(r"request-\d+|Duration: [\d.]+ ms|Used: \d+|\d+-\d+-\d+T[\d:.]+Z", "_", log))
        end(unclaimed)
        unclaimed.invoke()
    assert told[0] == told[1]
    assert ('"level": "ERROR"' in told[0], '"level": "DEBUG"' in told[0]) == (bool(variables), bool(variables))


def test_a_pre_started_process_ends_with_its_agent(unclaimed: Any) -> None:
    """Before it has a function, and after."""
    [pid] = subprocess.check_output(["pgrep", "--parent", str(unclaimed.process.pid)], text=True).split()
    unclaimed.process.kill()
    unclaimed.process.wait()
    assert environment.eventually(lambda: not Path(f"/proc/{pid}/task").exists())
