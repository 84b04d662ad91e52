"""Telemetry of a real agent, as a real extension gets it (§4.2)."""

import base64
import hashlib
import json
import signal
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.behaviour.agent.extension_probe import layer
from tests.behaviour.agent.telemetry_probe import LOGS, SCRIPT, TELEMETRY, TelemetryJournal, subscription

CODE = """
import json, os, sys, threading, time
print("loading", flush=True)
def later(gate):
    while not os.path.exists(gate):
        time.sleep(0.02)
    print("later", flush=True)
def handler(event, context):
    for number in range(event.get("lines", 0)):
        print(f"{number:07d}", "x" * 992)
    if "print" in event:
        sys.stdout.write(event["print"])
    sys.stdout.flush()
    if "later" in event:
        threading.Thread(target=later, args=(event["later"],)).start()
    if "exit" in event:
        os._exit(event["exit"])
    if "raise" in event:
        raise ValueError(event["raise"])
    time.sleep(event.get("sleep", 0))
    return {"pid": os.getpid()}
"""
ID = "request-1"


@pytest.fixture
def journal(tmp_path: Path) -> TelemetryJournal:
    """What the extension of this test notes down."""
    return TelemetryJournal(tmp_path / "journal")


@pytest.fixture
def claim(unclaimed: Any, journal: TelemetryJournal) -> Callable[..., Any]:
    """Hands over a function whose extension makes some attempts to subscribe; gives the environment."""

    def claimed(*attempts: tuple[str, Any], mode: str = "", **function: Any) -> Any:
        variables = {"JOURNAL": str(journal.path), "MODE": mode, "ATTEMPTS": json.dumps(attempts)}
        given: dict[str, Any] = {"timeout": 60, "init_timeout": 60.0, "files": {"index.py": CODE}} | function
        given["variables"] = variables | given.get("variables", {})
        answer = unclaimed.specialize(layers=[layer("teller", script=SCRIPT)], **given)
        assert answer.json["status"] == "ready", answer.body
        return unclaimed

    return claimed


def invoke(environment: Any, event: Any, **options: Any) -> Any:
    """One invocation, with all that goes on after its answer."""
    answer = environment.invoke(event, **options)
    assert answer.status == 200, answer.body
    environment.settle()
    return answer


def is_of(request_id: str) -> Callable[[Any], bool]:
    """Fits records of an invocation."""
    return lambda record: bool(record["requestId"] == request_id)


def test_a_subscriber_hears_all_that_happens_and_in_its_order(claim: Callable[..., Any], journal: Any) -> None:
    """INIT from its beginning, lines of function and extensions, and each invocation with its times (§4.2.3)."""
    environment = claim((TELEMETRY, subscription()), mode="late")
    assert journal.of("attempt") == [[200, "OK"]]
    answer = invoke(environment, {"print": "one\ntwo\rthree\nrest"}, headers={"X-Amzn-Trace-Id": "Root=1-2-3"})
    report = journal.await_record("platform.report")
    kinds = journal.kinds()
    # It subscribes while the runtime starts, which may be ready before.
    subscribed = kinds.index("platform.telemetrySubscription")
    assert kinds.index("platform.initStart") < subscribed < kinds.index("platform.extension")
    assert kinds[:subscribed] + kinds[subscribed + 1 :] == [
        "platform.initStart",
        "platform.initRuntimeDone",
        "platform.extension",
        "platform.initReport",
        "platform.start",
        "platform.runtimeDone",
        "platform.report",
    ]
    init = {"initializationType": "on-demand", "phase": "init"}
    tracing = {"type": "X-Amzn-Trace-Id", "value": "Root=1-2-3"}
    (started,) = journal.records("platform.initStart")
    assert started | init == started
    assert (started["runtimeVersion"], started["functionName"]) == ("python:3.13", "hello")
    assert journal.records("platform.telemetrySubscription") == [
        {"name": "teller", "state": "Subscribed", "types": ["platform", "function", "extension"]}
    ]
    assert journal.records("platform.initRuntimeDone") == [init | {"status": "success"}]
    ready = {"name": "teller", "state": "Ready", "events": ["INVOKE", "SHUTDOWN"]}
    assert journal.records("platform.extension") == [ready]
    (init_report,) = journal.records("platform.initReport")
    assert init_report == init | {"status": "success", "metrics": {"durationMs": init_report["metrics"]["durationMs"]}}
    assert journal.records("platform.start") == [{"requestId": ID, "version": "$LATEST", "tracing": tracing}]
    (done,) = journal.records("platform.runtimeDone")
    assert (done["status"], done["tracing"]) == ("success", tracing)
    assert done["metrics"]["producedBytes"] == len(answer.body)
    assert [each["name"] for each in done["spans"]] == ["responseLatency", "responseDuration", "runtimeOverhead"]
    spans = sum(each["durationMs"] for each in done["spans"])
    assert 0 < spans <= done["metrics"]["durationMs"]
    assert (report["status"], report["tracing"]) == ("success", tracing)
    metrics = report["metrics"]
    assert metrics["billedDurationMs"] >= metrics["durationMs"] >= done["metrics"]["durationMs"]
    assert metrics["memorySizeMB"] == 128 >= metrics["maxMemoryUsedMB"] > 0
    assert abs(metrics["initDurationMs"] - init_report["metrics"]["durationMs"]) < 1000
    assert journal.records("function") == ["loading\n", "one\n", "two\rthree\n", "rest"]
    assert journal.records("extension") == ["registered teller\n"]
    times = [datetime.fromisoformat(each["time"]) for each in journal.telemetry if each["type"] != "platform.start"]
    assert abs(times[0].timestamp() - time.time()) < 120
    assert "REPORT RequestId: request-2" in invoke(environment, {}, tail=True).log
    assert environment.logged("loading\n")
    assert environment.logged("registered teller\n")
    late = journal.await_record("platform.runtimeDone", is_of("request-2")) and journal.of("late")[0]
    assert late == [403, {"errorMessage": late[1]["errorMessage"], "errorType": "Telemetry.SubscriptionClosed"}]


def test_batches_come_as_requests_and_are_sent_again_when_they_are_refused(
    claim: Callable[..., Any], journal: Any
) -> None:
    """§4.2.2: to the path that was asked for; 4xx and 5xx are failures."""
    environment = claim((TELEMETRY, subscription("platform")), mode="refuses")
    for _ in range(3):
        invoke(environment, {})
    journal.await_record("platform.report", is_of("request-3"))
    batches = [each for each in journal.notes if "batch" in each]
    assert [each["status"] for each in batches[:3]] == [503, 500, 200]
    assert batches[0]["batch"] == batches[1]["batch"] == batches[2]["batch"]
    for each in batches:
        assert (each["request"], each["head"]["Content-Type"]) == ("POST /events?of=me", "application/json")
        body = json.dumps(each["batch"], separators=(",", ":")).encode()
        assert each["head"]["Sequence-Id"] == base64.b64encode(hashlib.sha256(body).digest()).decode()
    assert journal.kinds().count("platform.report") == 3


def test_lines_come_by_tcp(claim: Callable[..., Any], journal: Any) -> None:
    """§4.2.2: JSON, an event a line; and nothing that was not asked for."""
    wanted = subscription("function", destination={"protocol": "TCP", "port": "PORT"})
    environment = claim((TELEMETRY, wanted), mode="tcp")
    invoke(environment, {"print": "one\ntwo\n"})
    journal.await_record("function", lambda record: record == "two\n")
    assert journal.records("function") == ["loading\n", "one\n", "two\n"]
    assert journal.kinds() == []


@pytest.mark.parametrize(
    ("event", "status", "error_type"),
    [
        ({"raise": "no"}, "error", "Function.Unknown"),
        ({"exit": 1}, "failure", "Runtime.ExitError"),
        ({"sleep": 60}, "timeout", None),
    ],
)
def test_how_an_invocation_failed_is_told_and_a_reset_loses_nothing(
    claim: Callable[..., Any], journal: Any, event: Any, status: str, error_type: str | None
) -> None:
    """§4.2.4; what is over after the processes have ended is told to those that follow."""
    environment = claim((TELEMETRY, subscription()), timeout=8 if "sleep" in event else 60)
    invoke(environment, {"print": "last words"} | event)
    done = journal.await_record("platform.runtimeDone")
    assert (done["requestId"], done["status"], done.get("errorType")) == (ID, status, error_type)
    assert ("producedBytes" in done["metrics"]) == (status == "error")
    invoke(environment, {})
    reports = [journal.await_record("platform.report", is_of(f"request-{number}")) for number in (1, 2)]
    assert [each["status"] for each in reports] == [status, "success"]
    assert reports[0].get("errorType") == error_type
    assert [each for each in journal.records_once("function") if each.startswith("last words")]
    if status == "error":
        assert "phase" not in json.dumps(journal.records_once("platform.initStart")[1:])
        return
    assert [each["phase"] for each in journal.records_once("platform.initStart")] == ["init", "invoke"]
    states = [each["state"] for each in journal.records_once("platform.telemetrySubscription")]
    assert states == ["Subscribed", "Already subscribed"]
    assert journal.records_once("function").count("loading\n") == 2
    assert len(journal.records_once("platform.report")) == 2


def test_a_subscriber_that_crashes_hears_of_it_in_its_next_life(claim: Callable[..., Any], journal: Any) -> None:
    """Nothing waits for it meanwhile, and nothing of the invocation that it ended is lost."""
    environment = claim((TELEMETRY, subscription()), mode="crashes")
    assert invoke(environment, {"sleep": 50}).json["errorType"] == "Extension.Crash"
    invoke(environment, {})
    journal.await_record("platform.report", is_of("request-2"))
    reports = [(each["status"], each.get("errorType")) for each in journal.records_once("platform.report")]
    assert reports == [("failure", "Extension.Crash"), ("success", None)]
    assert [each for each in journal.records_once("function") if each == "loading\n"] == ["loading\n"] * 2
    phases = [(each["phase"], each["status"]) for each in journal.records_once("platform.initReport")]
    assert phases == [("init", "success"), ("invoke", "success")]


def test_an_init_that_is_repeated_is_told_as_what_it_was(
    unclaimed: Any, journal: TelemetryJournal, tmp_path: Path
) -> None:
    """The first INIT failed before anybody could subscribe to the second one: both are told."""
    code = f"""
import os
if not os.path.exists({str(tmp_path / "once")!r}):
    open({str(tmp_path / "once")!r}, "w").close()
    os._exit(4)
def handler(event, context):
    return "done"
"""
    variables = {"JOURNAL": str(journal.path), "ATTEMPTS": json.dumps([(TELEMETRY, subscription("platform"))])}
    answer = unclaimed.specialize(
        {"index.py": code}, layers=[layer("teller", script=SCRIPT)], variables=variables, timeout=60, init_timeout=60.0
    )
    assert answer.json["status"] == "init-timeout"
    assert invoke(unclaimed, {}).json == "done"
    journal.await_record("platform.report", is_of(ID))
    done = [(each["phase"], each["status"]) for each in journal.records_once("platform.initRuntimeDone")]
    assert done == [("init", "failure"), ("invoke", "success")]
    reports = [(each["phase"], each.get("errorType")) for each in journal.records_once("platform.initReport")]
    assert reports == [("init", "Runtime.ExitError"), ("invoke", None)]


@pytest.mark.parametrize(("schema", "kept"), [("2022-12-13", False), ("2022-07-01", True)])
def test_lines_of_json_are_objects_where_the_function_logs_json(
    claim: Callable[..., Any], journal: Any, schema: str, kept: bool
) -> None:
    """But not in the first version of events (§4.2.3), and not what is none."""
    line = '{"level": "INFO", "n": 1.50}\n'
    variables = {"AWS_LAMBDA_LOG_FORMAT": "JSON"}
    environment = claim((TELEMETRY, subscription("function", schemaVersion=schema)), variables=variables)
    invoke(environment, {"print": line + '{"n": 1e999}\n[1]\nend\n'})
    journal.await_record("function", lambda record: record == "end\n")
    found = journal.records("function")[-4:]
    assert found == [line if kept else {"level": "INFO", "n": 1.5}, '{"n": 1e999}\n', "[1]\n", "end\n"]


def test_a_slow_subscriber_is_told_what_it_missed_and_holds_nobody_up(claim: Callable[..., Any], journal: Any) -> None:
    """§4.2.2: memory is bounded; invocations and their answers go on."""
    environment = claim((TELEMETRY, subscription("platform", "function")), mode="slow")
    count = 3000
    assert invoke(environment, {"lines": count}).json["pid"]
    assert invoke(environment, {"print": "afterwards\n"}, tail=True).log.count("afterwards") == 1
    assert not journal.of("batch")
    resident = int((Path("/proc") / str(environment.process.pid) / "status").read_text().split("VmRSS:")[1].split()[0])
    assert resident < 100_000, "kilobytes"
    journal.open_gate("batch")
    dropped = journal.await_record("platform.logsDropped")
    assert dropped["reason"].startswith("Consumer seems to have fallen behind")
    journal.await_record("function", lambda record: record == "afterwards\n")
    taken = sum(each.endswith("x\n") for each in journal.records("function"))
    lost = sum(each["droppedRecords"] for each in journal.records("platform.logsDropped"))
    assert 0 < taken < count <= taken + lost
    assert dropped["droppedBytes"] >= 1000 * dropped["droppedRecords"] * 0.9
    invoke(environment, {})
    journal.await_record("platform.report", is_of("request-3"))


def test_what_waits_is_sent_before_shutdown(claim: Callable[..., Any], journal: Any, tmp_path: Path) -> None:
    """Whatever an event may wait for others (§4.1.7)."""
    environment = claim((TELEMETRY, subscription(buffering={"timeoutMs": 30_000})))
    gate = tmp_path / "gate"
    invoke(environment, {"later": str(gate)})
    journal.await_record("platform.report")  # with which all went that was there
    gate.touch()
    assert environment.logged("later\n")
    assert "later\n" not in journal.records("function")
    environment.process.send_signal(signal.SIGTERM)
    assert environment.process.wait(90) == 0
    assert journal.records("function") == ["loading\n", "later\n"]
    (shutdown,) = (place for place, each in enumerate(journal.notes) if "SHUTDOWN" in str(each.get("event")))
    last = max(place for place, each in enumerate(journal.notes) if "batch" in each)
    assert last < shutdown


def test_the_logs_api_has_its_own_words(claim: Callable[..., Any], journal: Any) -> None:
    """`platform.end`, `platform.fault` and `platform.logsSubscription`; nothing of INIT; PUT where that was asked."""
    wanted = {
        "schemaVersion": "2021-03-18",
        "types": ["platform"],
        "buffering": {"timeoutMs": 25},
        "destination": {"protocol": "HTTP", "URI": "http://sandbox:PORT", "method": "PUT", "encoding": "JSON"},
    }
    environment = claim((LOGS, wanted), (TELEMETRY, subscription()))
    (ok, refused) = journal.of("attempt")
    assert (ok, refused[0], refused[1]["errorType"]) == ([200, "OK"], 400, "ValidationError")
    invoke(environment, {"exit": 1})
    invoke(environment, {})
    journal.await_record("platform.report", is_of("request-2"))
    assert journal.kinds_once() == [
        "platform.logsSubscription",
        "platform.extension",
        "platform.start",
        "platform.fault",
        "platform.runtimeDone",
        "platform.end",
        "platform.report",
        "platform.start",
        "platform.logsSubscription",
        "platform.extension",
        "platform.runtimeDone",
        "platform.end",
        "platform.report",
    ]
    text = f"RequestId: {ID} Error: Runtime exited with error: exit status 1\nRuntime.ExitError\n"
    assert journal.records_once("platform.fault") == [text]
    done = journal.records_once("platform.runtimeDone")
    assert done == [{"requestId": ID, "status": "failure"}, {"requestId": "request-2", "status": "success"}]
    assert journal.records_once("platform.end") == [{"requestId": ID}, {"requestId": "request-2"}]
    (report, _) = journal.records_once("platform.report")
    assert sorted(report) == ["metrics", "requestId"]
    assert {each["request"] for each in journal.notes if "batch" in each} == {"PUT /"}


def test_what_is_no_subscription_is_refused_and_costs_none(
    claim: Callable[..., Any], unclaimed: Any, journal: Any
) -> None:
    """With Lambda's words; the environment sends to nobody but the processes within it, and never to itself."""
    own = {"protocol": "HTTP", "URI": f"http://sandbox.localdomain:{unclaimed.api_port}/2018-06-01/runtime/init/error"}
    control = {"protocol": "TCP", "port": unclaimed.port}
    beyond = {"protocol": "HTTP", "URI": "http://169.254.169.254:80/latest"}
    nothing = {"destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain"}, "types": []}
    claim(
        (TELEMETRY, "{"),
        (TELEMETRY, subscription(**nothing)),
        (LOGS, nothing),
        *((TELEMETRY, subscription(destination=each)) for each in (own, control, beyond)),
        (TELEMETRY, subscription("function")),
        (TELEMETRY, subscription("function")),
    )
    attempts = journal.of("attempt")
    assert [status for status, _ in attempts] == [400, 400, 400, 400, 400, 400, 200, 200]
    text = "types should not be empty; URI port is not provided"
    assert attempts[1][1]["errorType"], attempts[1][1]["errorMessage"]
    assert set(attempts[1][1]["errorMessage"].split("; ")) == set(text.split("; "))
    assert [attempts[number][1]["errorType"] for number in (1, 2)] == ["ValidationError", "Logs.ValidationError"]
    assert attempts[3][1]["errorMessage"] == f"URI port {unclaimed.api_port} is reserved"
    assert attempts[4][1]["errorMessage"] == f"port {unclaimed.port} is reserved"
    assert "nothing is sent to others" in attempts[5][1]["errorMessage"]
    invoke(unclaimed, {"print": "once\n"})
    journal.await_record("function", lambda record: record == "once\n")
    assert journal.records("function").count("once\n") == 1


INTERNAL = """
import json, os, socketserver, threading, time, urllib.request
api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"]
seen = []
class Lines(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            seen.append(json.loads(line)["type"])
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Lines)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
def call(method, path, body, headers):
    with urllib.request.urlopen(urllib.request.Request(api + path, body, headers, method=method)) as answer:
        return answer.headers, answer.read()
headers, _ = call("POST", "/2020-01-01/extension/register", b'{"events": []}', {"Lambda-Extension-Name": "inside"})
me = {"Lambda-Extension-Identifier": headers["Lambda-Extension-Identifier"]}
wanted = {"schemaVersion": "2025-01-29", "types": ["platform"], "buffering": {"timeoutMs": 25}}
wanted["destination"] = {"protocol": "TCP", "port": server.server_address[1]}
call("PUT", "/2022-07-01/telemetry", json.dumps(wanted).encode(), me)
threading.Thread(target=call, args=("GET", "/2020-01-01/extension/event/next", None, me), daemon=True).start()
def handler(event, context):
    deadline = time.time() + 45
    while event not in seen and time.time() < deadline:
        time.sleep(0.02)
    return seen
"""


def test_what_runs_inside_the_runtime_subscribes_too(unclaimed: Any) -> None:
    """And hears of an INIT that had begun before it was an extension."""
    given = unclaimed.specialize({"index.py": INTERNAL}, timeout=60, init_timeout=60.0)
    assert given.json["status"] == "ready"
    seen = invoke(unclaimed, "platform.start").json
    assert seen[:2] == ["platform.initStart", "platform.telemetrySubscription"]
    assert seen[-1] == "platform.start"
    assert "platform.report" in invoke(unclaimed, "platform.report").json
