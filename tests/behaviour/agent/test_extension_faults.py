"""What becomes of extensions, and of calls, whose other end is gone; and what a reset costs."""

import json
import signal
import threading
import time
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection, RemoteDisconnected
from pathlib import Path
from typing import Any

import pytest
from tests.behaviour.agent.extension_probe import SCRIPT, Journal, layer
from tests.behaviour.agent.raw_runtime import Runtime, response_head

CODE = """
import os
def handler(event, context):
    if "exit" in event:
        os._exit(event["exit"])
    return {"pid": os.getpid()}
"""
NOBODY = "00000000-0000-4000-8000-000000000000"


class _Call:
    """One call of the function's side of the API, whose answer may never come."""

    def __init__(self, environment: Any, call: str, body: str = "", **named: str) -> None:
        method, _, path = call.partition(" ")
        self._connection = HTTPConnection("127.0.0.1", environment.api_port, timeout=60)
        self._connection.request(method, path, body, {f"Lambda-Extension-{name}": text for name, text in named.items()})
        self._environment = environment

    def answer(self) -> tuple[Any, Any]:
        """Headers and body."""
        with closing(self._connection):
            found = self._connection.getresponse()
            return found.headers, json.loads(found.read())

    def leave(self) -> None:
        """Ends the connection; the agent has seen that when this returns."""
        for _ in range(2):  # it reads what came first
            self._environment.state()
        self._connection.close()
        for _ in range(2):
            self._environment.state()


@pytest.mark.parametrize(
    "call",
    [
        "GET /2020-01-01/extension/event/next",
        "POST /2020-01-01/extension/register",
        "POST /2020-01-01/extension/exit/error",
        "GET /2018-06-01/runtime/invocation/next",
    ],
)
def test_a_call_that_is_read_after_its_process_was_killed_counts_for_nobody(unclaimed: Any, call: str) -> None:
    """The next invocation finds no process, and starts one: it does not wait until its time is over."""
    assert unclaimed.specialize({"index.py": CODE}, timeout=20, init_timeout=60.0).json["status"] == "ready"
    assert unclaimed.invoke({"exit": 1}).json["errorType"] == "Runtime.ExitError"
    body = '{"events": ["INVOKE"]}' if call.endswith("register") else ""
    _Call(unclaimed, call, body, Name="late", Identifier=NOBODY, **{"Function-Error-Type": "Late.Error"}).leave()
    assert "pid" in unclaimed.invoke({}).json


@pytest.mark.parametrize(
    ("name", "error_type"), [("", "Extension.InvalidExtensionName"), ("late", "Extension.InvalidExtensionState")]
)
def test_a_registration_without_a_name_is_refused_before_all_else(unclaimed: Any, name: str, error_type: str) -> None:
    """Also where no process runs that could be meant."""
    assert unclaimed.specialize({"index.py": CODE}, timeout=20, init_timeout=60.0).json["status"] == "ready"
    assert unclaimed.invoke({"exit": 1}).json["errorType"] == "Runtime.ExitError"
    connection = HTTPConnection("127.0.0.1", unclaimed.api_port, timeout=60)
    headers = {"Lambda-Extension-Name": name} if name else {}
    connection.request("POST", "/2020-01-01/extension/register", '{"events": ["START"]}', headers)
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["errorType"]) == (403, error_type)
    connection.close()


def test_an_extension_whose_connection_ended_gets_its_event_when_it_asks_again(provided: Any) -> None:
    """As a runtime does (§3.1.2): it is not taken for done with an invocation that it never heard of."""
    started = provided.root / "started"
    bootstrap = {"bootstrap": f"#!/bin/sh\ntouch {started}\nexec sleep 1000\n"}
    function = {"runtime": "provided.al2023", "timeout": 100, "init_timeout": 100.0}
    specializing = threading.Thread(target=lambda: provided.specialize(bootstrap, **function))
    specializing.start()
    deadline = time.monotonic() + 90
    while not started.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    register = _Call(provided, "POST /2020-01-01/extension/register", '{"events": ["INVOKE"]}', Name="inside")
    identity = register.answer()[0]["Lambda-Extension-Identifier"]
    waiting = _Call(provided, "GET /2020-01-01/extension/event/next", Identifier=identity)
    runtime = Runtime(provided)
    runtime.ask()
    specializing.join()
    waiting.leave()
    request_id = runtime.invoked()
    runtime.send(response_head(request_id, b"Content-Length: 2") + b"{}")
    runtime.receive()
    runtime.ask()
    assert runtime.answered().headers["X-Kubelambda-Busy"] == "1"
    again = _Call(provided, "GET /2020-01-01/extension/event/next", Identifier=identity)
    assert again.answer()[1]["requestId"] == request_id.decode()
    assert provided.state()["busy"]
    _Call(provided, "GET /2020-01-01/extension/event/next", Identifier=identity).leave()
    assert not provided.state()["busy"]
    runtime.close()


def test_the_end_of_processes_is_no_work_of_the_function(start: Callable[..., Any], tmp_path: Path) -> None:
    """One that ends only when it is killed costs its environment two seconds, and neither a bill nor a timeout.

    A machine that stands still meanwhile costs one of the tries the same.
    """

    def free_of_charge(number: int) -> bool:
        found, journal = start(folder=f"environment-{number}"), Journal(tmp_path / f"journal-{number}")
        variables = {"JOURNAL": str(journal.path), "MODE": "stubborn"}
        packed = [layer("tracer", script=SCRIPT)]
        given: dict[str, Any] = {"layers": packed, "variables": variables, "timeout": 2, "init_timeout": 60.0}
        assert found.specialize({"index.py": CODE}, **given).json["status"] == "ready"
        began = time.monotonic()
        answer = found.invoke({"exit": 1})
        headers = {"Authorization": "Bearer environment-token", "Prefer": "wait=50"}
        state = found.call("GET", "/state", headers=headers).json
        assert not state["busy"]
        assert time.monotonic() - began > 2  # §4.1.7, and the timeout has passed by then
        assert found.logged("REPORT RequestId: request-1")
        log = found.log_file.read_text()
        # Each would be two seconds more.
        billed = state["lastBilledMs"] - int(answer.headers["X-Kubelambda-Billed-Ms"])
        said = answer.json["errorType"] == "Runtime.ExitError" and "timed out" not in log
        return said and "Status: timeout" not in log and max(billed, state["lastExtensionsMs"]) < 1500

    assert any(free_of_charge(number) for number in range(4))


def test_an_environment_that_is_told_to_end_in_its_init_does_not_say_that_init_failed(unclaimed: Any) -> None:
    """As without extensions: nobody is to blame the function for its node, and to try it ever more rarely."""

    def told_to_end() -> None:
        children = Path(f"/proc/{unclaimed.process.pid}/task/{unclaimed.process.pid}/children")
        deadline = time.monotonic() + 45
        while len(children.read_text().split()) < 2 and time.monotonic() < deadline:  # the runtime, and the extension
            time.sleep(0.01)
        unclaimed.process.send_signal(signal.SIGTERM)

    ending = threading.Thread(target=told_to_end)
    ending.start()
    variables, kind = {"JOURNAL": "/nowhere", "MODE": "mute"}, "provisioned-concurrency"
    with pytest.raises(RemoteDisconnected):
        unclaimed.specialize(
            {"index.py": CODE},
            layers=[layer("tracer")],
            variables=variables,
            initialization_type=kind,
            init_timeout=60.0,
        )
    ending.join()
    assert unclaimed.process.wait(90) == 0
