"""Events, and how each subscriber reads them (§4.2.3, §4.2.4)."""

import json
from bisect import bisect_left
from typing import Any

import pytest

from kubelambda.api.environment_protocol import Specialization
from kubelambda.core.telemetry import telemetry_events
from kubelambda.core.telemetry.init_history import InitHistory
from kubelambda.core.telemetry.telemetry_buffer import Dropped
from kubelambda.core.telemetry.telemetry_events import (
    InvocationMetrics,
    ResponseTimes,
    TelemetryEvent,
    TelemetryOutcome,
)
from kubelambda.core.telemetry.telemetry_subscription import CATEGORIES, TelemetryApi, TelemetrySubscription

AT = 1_665_532_815.064
TRACE = "Root=1-2-3"
TRACING = {"tracing": {"type": "X-Amzn-Trace-Id", "value": TRACE}}
TIMES = ResponseTimes(AT, 2.5, 0.25, 8.0)
SUCCEEDED = TelemetryOutcome()
FAILED = TelemetryOutcome("failure", "Runtime.ExitError")


def function(**members: Any) -> Specialization:
    """A function."""
    return Specialization(
        **{
            "token": "",
            "name": "hello",
            "uid": "",
            "arn": "",
            "account_id": "",
            "version": "7",
            "revision": "",
            "runtime": "python3.13",
            "handler": "",
            "memory_size": 128,
            "timeout": 3,
            "log_group": "",
            "region": "",
            **members,
        }
    )


def subscriber(schema: str = "2022-12-13", *types: str) -> TelemetrySubscription:
    """One who reads a version."""
    api = TelemetryApi.LOGS if schema in TelemetryApi.LOGS.schemas else TelemetryApi.TELEMETRY
    return TelemetrySubscription(api, schema, types or CATEGORIES, 1)


def read(event: TelemetryEvent, wanted: TelemetrySubscription) -> list[tuple[str, Any]]:
    """Type and record of what a subscriber gets."""
    found = [json.loads(each) for each in telemetry_events.encoded(event, wanted)]
    assert all(each["time"] == "2022-10-12T00:00:15.064Z" for each in found)
    return [(each["type"], each["record"]) for each in found]


def done(outcome: TelemetryOutcome = SUCCEEDED, **members: Any) -> TelemetryEvent:
    """The runtime is done with an invocation."""
    given: dict[str, Any] = {"duration_ms": 11.1849, "produced_bytes": 40, "times": TIMES, "trace": TRACE} | members
    return telemetry_events.runtime_done(AT, "id", outcome, **given)


def report(outcome: TelemetryOutcome = SUCCEEDED, init_ms: float | None = None) -> TelemetryEvent:
    """The invocation is over."""
    return telemetry_events.report(AT, "id", outcome, InvocationMetrics(693.92, 694, 128, 84, init_ms), TRACE)


INIT = {"initializationType": "on-demand", "phase": "init"}
METRICS = {"durationMs": 693.92, "billedDurationMs": 694, "memorySizeMB": 128, "maxMemoryUsedMB": 84}
SPANS = [
    {"name": "responseLatency", "start": "2022-10-12T00:00:15.064Z", "durationMs": 2.5},
    {"name": "responseDuration", "start": "2022-10-12T00:00:15.066Z", "durationMs": 0.25},
    {"name": "runtimeOverhead", "start": "2022-10-12T00:00:15.066Z", "durationMs": 8.0},
]


@pytest.mark.parametrize(
    ("event", "record"),
    [
        (
            telemetry_events.init_start(AT, function(), "init", "python:3.13", "arn"),
            INIT
            | {"runtimeVersion": "python:3.13", "runtimeVersionArn": "arn", "functionName": "hello"}
            | {"functionVersion": "7", "instanceMaxMemory": 134_217_728},
        ),
        (
            telemetry_events.init_start(AT, function(command=("x",)), "invoke", "", ""),
            INIT
            | {"phase": "invoke", "functionName": "hello", "functionVersion": "7", "instanceMaxMemory": 134_217_728},
        ),
        (telemetry_events.init_runtime_done(AT, function(), "init", TelemetryOutcome()), INIT | {"status": "success"}),
        (
            telemetry_events.init_runtime_done(
                AT, function(initialization_type="provisioned-concurrency"), "init", FAILED
            ),
            {"initializationType": "provisioned-concurrency", "phase": "init"} | FAILED.members,
        ),
        (
            telemetry_events.init_report(AT, function(), "init", TelemetryOutcome("timeout"), 10_000.1234),
            INIT | {"status": "timeout", "metrics": {"durationMs": 10_000.123}},
        ),
        (
            telemetry_events.invocation_start(AT, "id", "$LATEST", TRACE),
            {"requestId": "id", "version": "$LATEST"} | TRACING,
        ),
        (telemetry_events.invocation_start(AT, "id", "7", None), {"requestId": "id", "version": "7"}),
        (
            done(),
            {"requestId": "id", "status": "success", "metrics": {"durationMs": 11.185, "producedBytes": 40}}
            | {"spans": SPANS}
            | TRACING,
        ),
        (
            done(FAILED, produced_bytes=None, times=ResponseTimes(AT), trace=None),
            {"requestId": "id", "status": "failure", "errorType": "Runtime.ExitError"}
            | {"metrics": {"durationMs": 11.185}},
        ),
        (report(), {"requestId": "id", "status": "success", "metrics": METRICS} | TRACING),
        (
            report(FAILED, 397.68),
            {"requestId": "id"} | FAILED.members | {"metrics": METRICS | {"initDurationMs": 397.68}} | TRACING,
        ),
        (
            telemetry_events.extension_state(AT, "me", "Ready", ["INVOKE"], ""),
            {"name": "me", "state": "Ready", "events": ["INVOKE"]},
        ),
        (
            telemetry_events.extension_state(AT, "me", "LaunchError", [], "Extension.LaunchError"),
            {"name": "me", "state": "LaunchError", "events": [], "errorType": "Extension.LaunchError"},
        ),
        (
            telemetry_events.logs_dropped(AT, Dropped(123, 12_345, "why")),
            {"reason": "why", "droppedRecords": 123, "droppedBytes": 12_345},
        ),
    ],
    ids=lambda each: each.kind if isinstance(each, TelemetryEvent) else "",
)
def test_each_event_has_lambdas_record(event: TelemetryEvent, record: dict[str, Any]) -> None:
    """In every version of the Telemetry API."""
    for schema in TelemetryApi.TELEMETRY.schemas:
        assert read(event, subscriber(schema)) == [(event.kind, record)]


def test_spans_end_with_the_first_that_is_missing() -> None:
    """A runtime that answered, and did not ask for another event, has no overhead."""
    names = [each["name"] for each in ResponseTimes(AT, 1.0, 2.0).spans]
    assert names == ["responseLatency", "responseDuration"]


def test_only_what_was_asked_for_is_told() -> None:
    """By the category that begins its type."""
    line = telemetry_events.printed(AT, "function", b"text\n", as_json=False)
    assert read(line, subscriber("2022-12-13", "platform", "extension")) == []
    assert read(report(), subscriber("2022-12-13", "function")) == []
    assert read(line, subscriber("2022-12-13", "function")) == [("function", "text\n")]


@pytest.mark.parametrize(
    ("schema", "event", "expected"),
    [
        ("2020-08-15", telemetry_events.init_start(AT, function(), "init", "", ""), []),
        ("2021-03-18", telemetry_events.init_report(AT, function(), "init", TelemetryOutcome(), 1.0), []),
        (
            "2020-08-15",
            telemetry_events.invocation_start(AT, "id", "7", None),
            [("platform.start", {"requestId": "id", "version": "7"})],
        ),
        ("2020-08-15", done(), []),
        ("2021-03-18", done(), [("platform.runtimeDone", {"requestId": "id", "status": "success"})]),
        (
            "2021-03-18",
            done(TelemetryOutcome("error", "Function.Unknown")),
            [("platform.runtimeDone", {"requestId": "id", "status": "failure"})],
        ),
        (
            "2020-08-15",
            report(FAILED),
            [("platform.end", {"requestId": "id"}), ("platform.report", {"requestId": "id", "metrics": METRICS})],
        ),
        ("2020-08-15", telemetry_events.fault(AT, "why"), [("platform.fault", "why")]),
        ("2022-12-13", telemetry_events.fault(AT, "why"), []),
        (
            "2020-08-15",
            telemetry_events.extension_state(AT, "me", "Ready", [], ""),
            [("platform.extension", {"name": "me", "state": "Ready", "events": []})],
        ),
    ],
)
def test_the_logs_api_has_fewer_events_and_some_of_its_own(
    schema: str, event: TelemetryEvent, expected: list[Any]
) -> None:
    """An invocation's end is one, and a fault is a text."""
    assert read(event, subscriber(schema)) == expected


@pytest.mark.parametrize("api", TelemetryApi)
def test_a_subscription_is_told_by_its_api_alone(api: TelemetryApi) -> None:
    """With what it is for, and whether it is the first."""
    names = {TelemetryApi.TELEMETRY: "platform.telemetrySubscription", TelemetryApi.LOGS: "platform.logsSubscription"}
    wanted = subscriber(api.schemas[-1], "platform")
    for again, state in ((False, "Subscribed"), (True, "Already subscribed")):
        event = telemetry_events.subscribed(AT, "me", wanted, again=again)
        assert read(event, wanted) == [(names[api], {"name": "me", "state": state, "types": ["platform"]})]
        (other,) = set(TelemetryApi) - {api}
        assert read(event, subscriber(other.schemas[0])) == []


@pytest.mark.parametrize(
    ("line", "as_json", "record"),
    [
        (b'{"a": 1}\n', True, {"a": 1}),
        (b'{"a": 1}\n', False, '{"a": 1}\n'),
        (b"[1]\n", True, "[1]\n"),
        (b"{\n", True, "{\n"),
        (b'{"a": NaN}\n', True, '{"a": NaN}\n'),
        (b'{"a": -1e999}\n', True, '{"a": -1e999}\n'),
        (b'{"a": "\\ud800"}\n', True, {"a": "\ud800"}),
        (b"\xff\n", True, "\ufffd\n"),
        (b'{"a":' * 100_000, True, '{"a":' * 100_000),
    ],
    ids=range(9),
)
def test_a_line_is_an_object_where_the_function_logs_json_and_it_is_one(
    line: bytes, as_json: bool, record: Any
) -> None:
    """Whatever it is, the JSON of its batch can be read; the first version and the Logs API have lines alone."""
    event = telemetry_events.printed(AT, "function", line, as_json=as_json)
    assert read(event, subscriber()) == [("function", record)]
    for schema in ("2022-07-01", *TelemetryApi.LOGS.schemas):
        assert read(event, subscriber(schema)) == [("function", line.decode(errors="replace"))]


def test_an_object_that_can_be_read_and_not_written_again_is_told_as_its_line() -> None:
    """At whatever depth Python gives up: what a function prints never breaks off what its environment does."""

    def nested(depth: int) -> TelemetryEvent:
        line = '{"a":' + "[" * depth + "]" * depth + "}"
        return telemetry_events.printed(AT, "function", line.encode(), as_json=True)

    deepest = bisect_left(range(20_000), True, key=lambda depth: isinstance(nested(depth).record, str))
    for depth in range(deepest - 5, deepest + 10):
        (found,) = telemetry_events.encoded(nested(depth), subscriber())
        assert b"[" * depth in found


def test_what_was_before_a_subscription_is_kept_within_bounds() -> None:
    """The first lines, with room for what the platform says; then how many there were besides."""
    history = InitHistory()
    for number in range(5000):
        history.add(telemetry_events.printed(AT, "function", b"%d\n" % number, as_json=False))
    history.add(report())
    found: list[TelemetryEvent] = []
    history.replay(found.append, AT)
    assert [each.record for each in found[:2]] == ["0\n", "1\n"]
    assert [each.kind for each in found[-2:]] == ["platform.report", "platform.logsDropped"]
    assert isinstance(found[-1].record, dict)
    assert found[-1].record["droppedRecords"] == 5002 - len(found)
    for _ in range(5000):
        history.add(report())
    found.clear()
    history.replay(found.append, AT)
    assert len(found) == 1001


def test_long_lines_are_kept_within_bounds_too() -> None:
    """A quarter of a megabyte."""
    history = InitHistory()
    for _ in range(10):
        history.add(telemetry_events.printed(AT, "function", b"x" * 100_000, as_json=False))
    found: list[TelemetryEvent] = []
    history.replay(found.append, AT)
    assert [each.kind for each in found] == ["function", "function", "platform.logsDropped"]
