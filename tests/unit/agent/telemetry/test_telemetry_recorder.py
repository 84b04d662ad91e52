"""Who records what happens, and for how long."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubelambda.agent.log.environment_log import EnvironmentLog
from kubelambda.agent.process.memory import Memory
from kubelambda.agent.sandbox.initialization import Initialization
from kubelambda.agent.sandbox.invocation_report import InvocationReport
from kubelambda.agent.sandbox.running_invocation import Failure
from kubelambda.api.environment_protocol import Specialization
from kubelambda.core.extension.extension_roll import ExtensionRoll
from kubelambda.core.telemetry.telemetry_subscription import SubscriptionRefused, TelemetryApi, TelemetrySubscription
from kubelambda.wire.event_loop import EventLoop

NAMED = (
    "token",
    "name",
    "uid",
    "arn",
    "account_id",
    "version",
    "revision",
    "runtime",
    "handler",
    "log_group",
    "region",
)
FUNCTION = Specialization(**dict.fromkeys(NAMED, "x"), memory_size=128, timeout=3.0)  # type: ignore[arg-type]


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    """A loop that never runs."""
    found = EventLoop()
    yield found
    found.close()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """What the function prints to: the end to read from, and the other one."""
    ends = os.pipe()
    yield ends
    for each in ends:
        os.close(each)


@pytest.fixture
def log(loop: EventLoop, pipe: tuple[int, int]) -> Iterator[EnvironmentLog]:
    """A log that goes nowhere."""
    output = os.open(os.devnull, os.O_WRONLY)
    yield EnvironmentLog(output, pipe[0], loop)
    os.close(output)


@pytest.fixture
def report(log: EnvironmentLog, loop: EventLoop) -> InvocationReport:
    """One that has just begun to record INIT."""
    found = InvocationReport(log, Memory(loop, lambda: None, Path("/nowhere")))
    found.record_init(FUNCTION, loop, Initialization(loop, log, lambda: None), None)
    return found


def subscription(api: TelemetryApi = TelemetryApi.TELEMETRY) -> TelemetrySubscription:
    """To everything, at a port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    return TelemetrySubscription(api, api.schemas[0], ("platform", "function", "extension"), port)


def recorder(report: InvocationReport) -> Any:
    """Who records."""
    assert report.telemetry is not None
    return report.telemetry


def test_without_a_subscriber_nothing_is_recorded_after_init(report: InvocationReport, log: EnvironmentLog) -> None:
    """An environment with extensions that do not subscribe pays no more than one without any."""
    before = log.heard
    report.extensions(ExtensionRoll())
    assert (before is not None, report.telemetry, log.heard) == (True, None, None)


def test_an_init_that_failed_is_kept_for_whoever_subscribes_in_the_next_one(
    report: InvocationReport, log: EnvironmentLog, loop: EventLoop
) -> None:
    """It is the same recorder."""
    before = recorder(report)
    report.extensions(ExtensionRoll(), Failure(b"", "timeout", ""))
    assert before.open
    report.record_init(FUNCTION, loop, Initialization(loop, log, lambda: None), None)
    assert report.telemetry is before


def test_a_subscriber_stays_as_long_as_its_extension_is_among_those_that_are_ready(
    report: InvocationReport, log: EnvironmentLog, loop: EventLoop
) -> None:
    """By its name, over all INITs."""
    recorder(report).subscribe("me", subscription())
    for number in range(2):
        roll = ExtensionRoll()
        roll.started("me", str(number))
        report.extensions(roll)
        assert not recorder(report).open
        recorder(report).pause()
        report.record_init(FUNCTION, loop, Initialization(loop, log, lambda: None), None)
        assert recorder(report).open
    report.extensions(ExtensionRoll())
    assert (report.telemetry, log.heard) == (None, None)


def test_one_extension_has_one_api(report: InvocationReport) -> None:
    """Another one may have the other."""
    recorder(report).subscribe("me", subscription())
    recorder(report).subscribe("me", subscription())
    recorder(report).subscribe("another", subscription(TelemetryApi.LOGS))
    with pytest.raises(SubscriptionRefused, match="me has subscribed to the Telemetry API") as raised:
        recorder(report).subscribe("me", subscription(TelemetryApi.LOGS))
    assert (raised.value.status, raised.value.error_type) == (400, "Logs.ValidationError")


@pytest.mark.parametrize("how", ["init error", "no answer", "trouble after it"])
def test_the_last_lines_of_a_runtime_come_before_the_platform_says_that_it_is_done(
    report: InvocationReport, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """They may still be in the pipe: its request can be read before."""
    told: list[str] = []
    telemetry, roll = recorder(report), ExtensionRoll()
    roll.started("me", "1")
    telemetry.subscribe("me", subscription())
    if how != "init error":
        telemetry.init_ended(found=roll)
        telemetry.began("request", 0.0, None)
    monkeypatch.setattr(telemetry._deliveries["me"], "add", lambda event: told.append(event.kind))
    os.write(pipe[1], b"last words\n")
    failure = Failure(b"", "failure", "Runtime.TruncatedResponse")
    if how == "init error":
        report.init_failed("Runtime.ImportModuleError")
    elif how == "no answer":
        report.answered(failure, 0)
    else:
        report.broke_off(failure)
    last = {"init error": ["platform.initRuntimeDone", "platform.initReport"]}.get(how, ["platform.runtimeDone"])
    assert told == ["function", *last]
