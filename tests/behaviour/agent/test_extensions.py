"""External extensions of a real agent: their INIT, invocations that go on after the answer, and what a crash does."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from tests.behaviour.agent.environment import Environment
from tests.behaviour.agent.extension_probe import SCRIPT, Journal, layer

CODE = """
import os, time
def handler(event, context):
    if "exit" in event:
        os._exit(event["exit"])
    if "raise" in event:
        raise ValueError(event["raise"])
    time.sleep(event.get("sleep", 0))
    return {"pid": os.getpid()}
"""


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """What the extension of this test notes down."""
    return Journal(tmp_path / "journal")


@pytest.fixture
def claim(unclaimed: Any, journal: Journal) -> Callable[..., Any]:
    """Hands over a function with an extension in some mode; gives the environment, whose INIT ended as expected."""

    def claimed(mode: str = "", *, status: str = "ready", names: tuple[str, ...] = ("tracer",), **function: Any) -> Any:
        variables = {"JOURNAL": str(journal.path), "MODE": mode, "MINE": "1", **function.pop("variables", {})}
        packed = [layer(*names, script=function.pop("script", SCRIPT))]
        given = {"timeout": 60, "init_timeout": 60.0} | function
        answer = unclaimed.specialize({"index.py": CODE}, layers=packed, variables=variables, **given)
        assert answer.json["status"] == status, answer.body
        return unclaimed

    return claimed


def settled(environment: Any) -> Any:
    """What the environment says once it is free, as a frontend hears it."""
    headers = {"Authorization": "Bearer environment-token", "Prefer": "wait=50"}
    state = environment.call("GET", "/state", headers=headers).json
    assert not state["busy"], state
    return state


def in_background(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Something that waits, and the place where its result will be."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    return thread, results


def test_an_extension_is_told_of_the_function_and_of_every_invocation(
    claim: Callable[..., Any], journal: Journal
) -> None:
    """It is a process of its own with the variables of §4.1.8, registers before INIT ends, and gets Lambda's events."""
    environment = claim()
    assert environment.logged("EXTENSION\tName: tracer\tState: Ready\tEvents: [INVOKE, SHUTDOWN]\n")
    assert "Name: readme" not in environment.log_file.read_text()
    (function,), (variables,) = journal.of("registered"), journal.of("variables")
    expected = {"functionName": "hello", "functionVersion": "$LATEST", "handler": "index.handler"}
    assert function == expected | {"accountId": "123456789012"}
    assert (variables["MINE"], variables["AWS_LAMBDA_FUNCTION_NAME"]) == ("1", "hello")
    assert {"AWS_REGION", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION", "PATH"} <= set(variables)
    hidden = {"_HANDLER", "AWS_EXECUTION_ENV", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR", "AWS_XRAY_CONTEXT_MISSING"}
    assert not hidden & set(variables)
    assert not [name for name in variables if name.startswith(("KUBELAMBDA_", "AWS_LAMBDA_LOG_"))]
    for _ in range(2):
        answer = environment.invoke({}, headers={"X-Amzn-Trace-Id": "Root=1-2-3"})
        assert (answer.status, answer.json["pid"] != journal.notes[0]["pid"]) == (200, True)
        settled(environment)
    first, second = journal.await_events("INVOKE", 2)
    assert (first["requestId"], second["requestId"]) == ("request-1", "request-2")
    assert first["invokedFunctionArn"] == "arn:aws:lambda:us-east-1:123456789012:function:hello"
    assert first["tracing"] == {"type": "X-Amzn-Trace-Id", "value": "Root=1-2-3"}
    assert first["deadlineMs"] > time.time() * 1000
    assert len(set(journal.of("event_id"))) == 2


def test_the_answer_is_out_before_the_extension_is_done_and_the_environment_is_busy_until_then(
    claim: Callable[..., Any], journal: Journal
) -> None:
    """§4.1.6: neither does the caller wait for it, nor is it ever two invocations at once."""
    environment = claim("gated")
    for event in ({}, {"raise": "no"}):
        answer = environment.invoke(event)
        request_id = environment.last_request_id
        assert (answer.status, answer.headers["X-Kubelambda-Busy"]) == (200, "1")
        assert ("X-Amz-Function-Error" in answer.headers) == bool(event)
        state = environment.state()
        assert (state["busy"], state["requestId"]) == (True, request_id)
        assert (
            environment.call(
                "POST", "/invoke", b"{}", {"Authorization": "Bearer environment-token", "X-Amzn-RequestId": "another"}
            ).status
            == 409
        )
        assert f"REPORT RequestId: {request_id}" not in environment.log_file.read_text()
        thread, states = in_background(lambda: settled(environment))
        journal.open_gate(request_id)
        thread.join()
        assert states[0]["lastBilledMs"] >= states[0]["lastExtensionsMs"] > 0
        assert environment.logged(f"REPORT RequestId: {request_id}")
    assert len(journal.of("identifier")) == 1  # an error of the handler resets nothing


@pytest.mark.parametrize("wanted", ["X-Amz-Log-Type", "X-Kubelambda-Term"])
def test_who_wants_the_log_or_holds_a_lease_is_answered_at_the_end(
    claim: Callable[..., Any], journal: Journal, wanted: str
) -> None:
    """The log ends with REPORT; and a holder of a lease counts by the answer alone."""
    environment = claim("gated")
    headers = {"X-Amz-Log-Type": "Tail"}
    if wanted == "X-Kubelambda-Term":
        headers = {"X-Kubelambda-Term": "1"}
        environment.call("GET", "/state", headers={"Authorization": "Bearer environment-token", **headers})
    thread, answers = in_background(lambda: environment.invoke({}, headers=headers))
    journal.await_events("INVOKE")
    time.sleep(0.2)
    assert not answers
    journal.open_gate("request-1")
    thread.join()
    assert answers[0].headers["X-Kubelambda-Busy"] == "1"  # else it would be lent, and callers wait for extensions
    assert wanted != "X-Amz-Log-Type" or "REPORT RequestId: request-1" in answers[0].log
    assert not environment.state()["busy"]


def test_the_timeout_covers_what_goes_on_after_the_answer(claim: Callable[..., Any], journal: Journal) -> None:
    """The caller has the result; then everything is reset, and begins anew with the next invocation (§3.2.1)."""
    environment = claim("gated", timeout=8)
    answer = environment.invoke({})
    assert "X-Amz-Function-Error" not in answer.headers
    settled(environment)
    assert environment.logged("request-1 Task timed out after 8.00 seconds")
    assert environment.logged("Status: timeout")
    (shutdown,) = journal.events("SHUTDOWN") or [{"shutdownReason": "none: it ran"}]
    assert shutdown["shutdownReason"] == "none: it ran"  # it never asked for another event
    journal.open_gate("request-2")
    assert environment.invoke({}).json["pid"] != answer.json["pid"]
    settled(environment)
    assert len(set(journal.of("identifier"))) == 2


@pytest.mark.parametrize(
    ("event", "error_type", "reason"),
    [({"sleep": 60}, "Sandbox.Timedout", "timeout"), ({"exit": 1}, "Runtime.ExitError", "failure")],
)
def test_a_reset_tells_extensions_why(
    claim: Callable[..., Any], journal: Journal, event: Any, error_type: str, reason: str
) -> None:
    """The caller has the error at once, and the environment takes nothing before they have ended."""
    environment = claim(timeout=8 if "sleep" in event else 60)
    answer = environment.invoke(event)
    assert (answer.json["errorType"], answer.headers["X-Kubelambda-Busy"]) == (error_type, "1")
    settled(environment)
    (shutdown,) = journal.events("SHUTDOWN")
    assert shutdown["shutdownReason"] == reason
    assert shutdown["deadlineMs"] > 0
    assert journal.of("bye") == [True]
    assert environment.invoke({}).status == 200
    assert settled(environment)["invocations"] == 2
    assert len(set(journal.of("identifier"))) == 2


def test_one_that_does_not_end_is_killed(claim: Callable[..., Any], journal: Journal) -> None:
    """After 2,000 ms (§4.1.7)."""
    environment = claim("stubborn")
    assert environment.invoke({"exit": 0}).json["errorMessage"].endswith("Runtime exited without providing a reason")
    settled(environment)
    assert journal.of("bye") == []
    assert not Path(f"/proc/{journal.notes[0]['pid']}").exists()
    assert environment.invoke({}).json["pid"]


def test_a_crash_in_init_is_tried_again_and_told(claim: Callable[..., Any]) -> None:
    """INIT_REPORT names it, and the first invocation gets it (§3.2)."""
    environment = claim("dies", status="init-timeout")
    assert environment.logged("EXTENSION\tName: tracer\tState: Started\tEvents: []\n")
    assert environment.logged("Phase: init\tStatus: error\tError Type: Extension.Crash\n")
    for number in (1, 2):
        answer = environment.invoke({})
        assert answer.json["errorType"] == "Extension.Crash"
        assert answer.json["errorMessage"] == f"RequestId: request-{number} Error: exit status 3"
        settled(environment)


def test_a_crash_in_an_invocation_ends_it(claim: Callable[..., Any], journal: Journal) -> None:
    """The function, which sleeps, is not waited for; afterwards all begins anew."""
    environment = claim("crashes")
    answer = environment.invoke({"sleep": 50})
    assert answer.json["errorType"] == "Extension.Crash"
    assert answer.json["errorMessage"] == "RequestId: request-1 Error: signal: killed"
    settled(environment)
    assert environment.logged("Error: signal: killed\nExtension.Crash\n")
    assert environment.invoke({"sleep": 50}).json["errorType"] == "Extension.Crash"
    assert len(set(journal.of("identifier"))) == 2


def test_a_crash_between_invocations_costs_none(claim: Callable[..., Any], journal: Journal) -> None:
    """The next one finds new processes."""
    environment = claim()
    before = environment.invoke({}).json
    settled(environment)
    os.kill(journal.notes[0]["pid"], signal.SIGKILL)
    deadline = time.monotonic() + 90
    while Path(f"/proc/{before['pid']}").exists():  # it is reset at once
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert environment.invoke({}).json["pid"] != before["pid"]
    settled(environment)
    assert len(set(journal.of("identifier"))) == 2


@pytest.mark.parametrize(
    ("mode", "status", "error_type", "own"),
    [
        ("init-error", "init-timeout", "Extension.InitError", "Tracer.NoKey"),
        ("exit-error", "ready", "Extension.ExitError", "Tracer.Lost"),
    ],
)
def test_what_an_extension_reports_fails_init_or_the_invocation(
    claim: Callable[..., Any], mode: str, status: str, error_type: str, own: str
) -> None:
    """Without waiting for its end (§4.1.3)."""
    environment = claim(mode, status=status)
    answer = environment.invoke({"sleep": 50})
    assert answer.json["errorType"] == error_type
    assert answer.json["errorMessage"] == f"RequestId: request-1 Error: extension tracer: {own}"
    settled(environment)


def test_one_that_cannot_be_started_is_a_launch_error(claim: Callable[..., Any]) -> None:
    """Its interpreter is not there."""
    environment = claim(script="#!/nowhere/python\n", status="init-timeout")
    assert environment.logged("State: LaunchError\tEvents: []\tError Type: Extension.LaunchError\n")
    assert environment.invoke({}).json["errorType"] == "Extension.LaunchError"
    settled(environment)


def test_a_name_with_a_line_break_stays_in_its_line(claim: Callable[..., Any]) -> None:
    """A layer has any names of files; who reads the log reads ours."""
    environment = claim(names=("tra\ncer",), script="#!/nowhere/python\n", status="init-timeout")
    assert environment.logged("EXTENSION\tName: tra\\x0acer\tState: LaunchError\tEvents: []\t")
    settled(environment)


def test_an_eleventh_is_a_launch_error(claim: Callable[..., Any]) -> None:
    """Ten are as many as there may be (§4.1.4)."""
    names = tuple(f"tracer-{number}" for number in range(11))
    environment = claim("mute", names=names, status="init-timeout")
    answer = environment.invoke({})
    assert answer.json["errorType"] == "Extension.LaunchError"
    assert answer.json["errorMessage"].endswith("Extension limit (10) reached")


def test_one_that_never_registers_is_waited_for_as_long_as_init_may_take(claim: Callable[..., Any]) -> None:
    """INIT times out, and so does the invocation that repeats it."""
    environment = claim("mute", status="init-timeout", init_timeout=1.0, timeout=2)
    assert environment.logged("Phase: init\tStatus: timeout\n")
    assert environment.invoke({}).json["errorType"] == "Sandbox.Timedout"
    settled(environment)


def test_an_environment_that_ends_says_so(claim: Callable[..., Any], journal: Journal) -> None:
    """SHUTDOWN with `spindown`; then the agent exits 0."""
    environment = claim()
    environment.invoke({})
    settled(environment)
    environment.process.send_signal(signal.SIGTERM)
    assert environment.process.wait(90) == 0
    (shutdown,) = journal.events("SHUTDOWN")
    assert (shutdown["shutdownReason"], journal.of("bye")) == ("spindown", [True])


def test_one_without_subscriptions_holds_up_nothing(claim: Callable[..., Any], journal: Journal) -> None:
    """As Lambda's Web Adapter: it waits for ever for an event that never comes.

    The variable makes the runtime a process that is started anew: extensions, which are there before, survive that.
    """
    environment = claim(variables={"EVENTS": "", "PYTHONUNBUFFERED": "1"})
    assert environment.logged("EXTENSION\tName: tracer\tState: Ready\tEvents: []\n")
    for _ in range(3):
        assert environment.invoke({}).status == 200
        settled(environment)
    assert (journal.of("event"), len(journal.of("identifier"))) == ([], 1)


INTERNAL = """
import json, os, threading, urllib.error, urllib.request
api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2020-01-01/extension/"
seen = []
def call(method, path, body, headers):
    request = urllib.request.Request(api + path, body, headers, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.headers, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, error.headers, json.loads(error.read())
def register(name, *events):
    return call("POST", "register", json.dumps({"events": events}).encode(), {"Lambda-Extension-Name": name})
refused = register("inside", "SHUTDOWN")
status, headers, _ = register("inside", "INVOKE")
identity = {"Lambda-Extension-Identifier": headers["Lambda-Extension-Identifier"]}
def poll():
    while True:
        seen.append(call("GET", "event/next", None, identity)[2])
threading.Thread(target=poll, daemon=True).start()
def handler(event, context):
    late = register("late", "INVOKE")
    return {"refused": refused[::2], "late": late[::2], "seen": [each["requestId"] for each in seen]}
"""


def test_an_internal_extension_registers_while_the_function_loads(unclaimed: Any) -> None:
    """It gets invocations and no SHUTDOWN, and once the runtime asked for an event it is too late."""
    assert unclaimed.specialize({"index.py": INTERNAL}, timeout=60, init_timeout=60.0).json["status"] == "ready"
    assert unclaimed.logged("EXTENSION\tName: inside\tState: Ready\tEvents: [INVOKE]\n")
    answer = unclaimed.invoke({})
    found = answer.json
    assert answer.headers["X-Kubelambda-Busy"] == "1"
    assert (found["refused"][0], found["refused"][1]["errorType"]) == (403, "Extension.InvalidEventType")
    assert (found["late"][0], found["late"][1]["errorType"]) == (403, "Extension.RegistrationClosed")
    settled(unclaimed)
    assert "request-1" in unclaimed.invoke({}).json["seen"]


UNKNOWN = {"Identifier": "00000000-0000-4000-8000-000000000000"}
LATE = {"Name": "late"}


@pytest.mark.parametrize(
    ("call", "headers", "body", "refusal"),
    [
        ("POST register", {}, "{}", "403 Extension.InvalidExtensionName"),
        ("POST register", {}, "[", "403 Extension.InvalidExtensionName"),
        ("POST register", {}, '{"events": ["START"]}', "403 Extension.InvalidExtensionName"),
        ("POST register", LATE, "{}", "403 Extension.RegistrationClosed"),
        ("POST register", LATE, "[", "403 InvalidRequestFormat"),
        ("POST register", LATE, '{"events": ["START"]}', "403 Extension.InvalidEventType"),
        ("GET event/next", {}, "", "403 Extension.MissingExtensionIdentifier"),
        ("GET event/next", {"Identifier": "me"}, "", "403 Extension.InvalidExtensionIdentifier"),
        ("GET event/next", UNKNOWN, "", "403 Extension.UnknownExtensionIdentifier"),
        ("POST init/error", UNKNOWN, "{}", "403 Extension.MissingHeader"),
        ("POST exit/error", UNKNOWN, "{}", "403 Extension.MissingHeader"),
        ("GET event", {}, "", "404 NotFound"),
        ("PUT /2022-07-01/telemetry", {}, "{}", "403 Extension.MissingExtensionIdentifier"),
        ("PUT /2022-07-01/telemetry", {"Identifier": "me"}, "{}", "403 Extension.InvalidExtensionIdentifier"),
        ("PUT /2022-07-01/telemetry", UNKNOWN, "{}", "403 Extension.UnknownExtensionIdentifier"),
        ("PUT /2020-08-15/logs", UNKNOWN, "{}", "403 Extension.UnknownExtensionIdentifier"),
        ("GET /2022-07-01/telemetry", UNKNOWN, "", "404 NotFound"),
    ],
)
def test_what_is_not_in_order_is_refused_with_lambdas_words(
    shared: Any, call: str, headers: dict[str, str], body: str, refusal: str
) -> None:
    """§4.1.4, §4.2.1."""
    connection = HTTPConnection("127.0.0.1", shared.api_port, timeout=60)
    method, _, path = call.partition(" ")
    named = {f"Lambda-Extension-{name}": value for name, value in headers.items()}
    connection.request(method, path if path.startswith("/") else f"/2020-01-01/extension/{path}", body, named)
    answer = connection.getresponse()
    assert f"{answer.status} {json.loads(answer.read())['errorType']}" == refusal
    connection.close()
    assert "X-Kubelambda-Busy" not in shared.invoke({}).headers


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An environment of a function without extensions, for many tests."""
    with Environment(tmp_path_factory.mktemp("shared") / "environment") as found:
        assert found.specialize({"index.py": CODE}, timeout=60).json["status"] == "ready"
        yield found


def test_an_agent_without_extensions_does_not_load_what_serves_them() -> None:
    """Every idle environment pays for what its agent imports."""
    program = "import sys, kubelambda.agent.assembly; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "kubelambda.agent.sandbox.sandbox" in loaded
    unwanted = ("extension_", "telemetry", "uuid", "kubelambda.core.extension")
    assert not [name for name in loaded if any(each in name for each in unwanted)]
