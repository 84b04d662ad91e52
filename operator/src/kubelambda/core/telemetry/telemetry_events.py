"""Events of the Telemetry API, and how each version of it, and the Logs API, has them (§4.2.3)."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from typing import Any, Final

from kubelambda.api.environment_protocol import Specialization
from kubelambda.core.telemetry.telemetry_buffer import Dropped
from kubelambda.core.telemetry.telemetry_subscription import TelemetryApi, TelemetrySubscription

type Record = str | dict[str, Any]

SUCCESS: Final = "success"
FAILURE: Final = "failure"
ERROR: Final = "error"
TIMEOUT: Final = "timeout"
_TRACE: Final = "X-Amzn-Trace-Id"
_IN_LOGS: Final = ("platform.start", "platform.extension", "platform.logsDropped")
"""Platform events that the Logs API has as they are."""
_SUBSCRIPTIONS: Final = {
    TelemetryApi.TELEMETRY: "platform.telemetrySubscription",
    TelemetryApi.LOGS: "platform.logsSubscription",
}


@dataclass(frozen=True, slots=True)
class TelemetryEvent:
    """Something that happened, at `at` in seconds since 1970."""

    at: float
    kind: str
    """Its type, as subscribers read it."""
    record: Record
    line: str = ""
    """What was printed, where the record is the object that it says."""

    @property
    def category(self) -> str:
        """What one subscribes to."""
        return self.kind.partition(".")[0]


@dataclass(frozen=True, slots=True)
class TelemetryOutcome:
    """How INIT, or an invocation, ended (§4.2.4)."""

    status: str = SUCCESS
    error_type: str = ""

    @property
    def members(self) -> dict[str, str]:
        """As records have it."""
        return {"status": self.status} | ({"errorType": self.error_type} if self.error_type else {})


@dataclass(frozen=True, slots=True)
class ResponseTimes:
    """What the runtime did with an event, in milliseconds, since it had it at `at`; None: it did not come to that."""

    at: float
    latency_ms: float | None = None
    """Until the first byte of its response."""
    duration_ms: float | None = None
    """From there to the last one."""
    overhead_ms: float | None = None
    """From there until it asked for the next event."""

    @property
    def spans(self) -> list[dict[str, Any]]:
        """As records have it."""
        found, at = [], self.at
        named = (("responseLatency", self.latency_ms), ("responseDuration", self.duration_ms))
        for name, milliseconds in (*named, ("runtimeOverhead", self.overhead_ms)):
            if milliseconds is None:
                break
            found.append({"name": name, "start": timestamp(at), "durationMs": _rounded(milliseconds)})
            at += milliseconds / 1000
        return found


def timestamp(at: float) -> str:
    """A time, as events have it."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# -- what happens -------------------------------------------------------------------------------------------------


def init_start(at: float, wanted: Specialization, phase: str, version: str, version_arn: str) -> TelemetryEvent:
    """INIT begins; in the phase `invoke` when it is repeated within an invocation. An image's runtime is its own."""
    record: dict[str, Any] = {"initializationType": wanted.initialization_type, "phase": phase}
    if not wanted.command:
        record |= {"runtimeVersion": version, "runtimeVersionArn": version_arn}
    record |= {"functionName": wanted.name, "functionVersion": wanted.version}
    return TelemetryEvent(at, "platform.initStart", record | {"instanceMaxMemory": wanted.memory_size << 20})


def init_runtime_done(at: float, wanted: Specialization, phase: str, outcome: TelemetryOutcome) -> TelemetryEvent:
    """The runtime is ready for events, or will never be."""
    record = {"initializationType": wanted.initialization_type, "phase": phase}
    return TelemetryEvent(at, "platform.initRuntimeDone", record | outcome.members)


def init_report(
    at: float, wanted: Specialization, phase: str, outcome: TelemetryOutcome, duration_ms: float
) -> TelemetryEvent:
    """INIT is over."""
    record: dict[str, Any] = {"initializationType": wanted.initialization_type, "phase": phase}
    record |= outcome.members
    return TelemetryEvent(at, "platform.initReport", record | {"metrics": {"durationMs": _rounded(duration_ms)}})


def invocation_start(at: float, request_id: str, version: str, trace: str | None) -> TelemetryEvent:
    """An invocation begins."""
    return TelemetryEvent(at, "platform.start", {"requestId": request_id, "version": version} | _tracing(trace))


def runtime_done(
    at: float,
    request_id: str,
    outcome: TelemetryOutcome,
    *,
    duration_ms: float,
    produced_bytes: int | None,
    times: ResponseTimes,
    trace: str | None,
) -> TelemetryEvent:
    """The runtime is done with an invocation."""
    record: dict[str, Any] = {"requestId": request_id} | outcome.members
    metrics: dict[str, Any] = {"durationMs": _rounded(duration_ms)}
    if produced_bytes is not None:
        metrics["producedBytes"] = produced_bytes
    record["metrics"] = metrics
    if spans := times.spans:
        record["spans"] = spans
    return TelemetryEvent(at, "platform.runtimeDone", record | _tracing(trace))


@dataclass(frozen=True, slots=True)
class InvocationMetrics:
    """What the REPORT line says. Memory in MB."""

    duration_ms: float
    billed_ms: int
    memory_size: int
    memory_used: int
    init_ms: float | None = None


def report(
    at: float, request_id: str, outcome: TelemetryOutcome, metrics: InvocationMetrics, trace: str | None
) -> TelemetryEvent:
    """An invocation is over."""
    found: dict[str, Any] = {
        "durationMs": _rounded(metrics.duration_ms),
        "billedDurationMs": metrics.billed_ms,
        "memorySizeMB": metrics.memory_size,
        "maxMemoryUsedMB": metrics.memory_used,
    }
    if metrics.init_ms is not None:
        found["initDurationMs"] = _rounded(metrics.init_ms)
    record = {"requestId": request_id} | outcome.members | {"metrics": found}
    return TelemetryEvent(at, "platform.report", record | _tracing(trace))


def extension_state(at: float, name: str, state: str, events: Iterable[str], error_type: str) -> TelemetryEvent:
    """How far an extension is when INIT ends."""
    record: dict[str, Any] = {"name": name, "state": state, "events": list(events)}
    if error_type:
        record["errorType"] = error_type
    return TelemetryEvent(at, "platform.extension", record)


def subscribed(at: float, name: str, wanted: TelemetrySubscription, *, again: bool) -> TelemetryEvent:
    """An extension subscribed, for the first time in the life of its environment or not."""
    state = "Already subscribed" if again else "Subscribed"
    record = {"name": name, "state": state, "types": list(wanted.types)}
    return TelemetryEvent(at, _SUBSCRIPTIONS[wanted.api], record)


def logs_dropped(at: float, dropped: Dropped) -> TelemetryEvent:
    """Events that a subscriber will never get."""
    record = {"reason": dropped.reason, "droppedRecords": dropped.records, "droppedBytes": dropped.size}
    return TelemetryEvent(at, "platform.logsDropped", record)


def fault(at: float, text: str) -> TelemetryEvent:
    """What the log says of a process that ended, or took too long."""
    return TelemetryEvent(at, "platform.fault", text)


def printed(at: float, kind: str, line: bytes, *, as_json: bool) -> TelemetryEvent:
    """A line of the function, or of an extension; the object that it is, where the function logs JSON."""
    text = line.decode(errors="replace")
    if as_json and text.startswith("{"):
        try:
            found = json.loads(text, parse_float=_finite, parse_constant=_finite)
            return TelemetryEvent(at, kind, found, text)
        except (ValueError, RecursionError):
            pass
    return TelemetryEvent(at, kind, text)


def _finite(text: str) -> float:
    """A number that JSON can say: one line must not spoil its batch."""
    found = float(text)
    if not isfinite(found):
        raise ValueError(text)
    return found


def _tracing(trace: str | None) -> dict[str, Any]:
    return {"tracing": {"type": _TRACE, "value": trace}} if trace is not None else {}


def _rounded(milliseconds: float) -> float:
    return round(milliseconds, 3)


# -- how a subscriber reads it --------------------------------------------------------------------------------------


def encoded(event: TelemetryEvent, wanted: TelemetrySubscription) -> list[bytes]:
    """The JSON of an event, in the version that a subscriber asked for: none when it is not for it, or two."""
    if event.category not in wanted.types:
        return []
    of_logs = wanted.api is TelemetryApi.LOGS
    versions = _as_logs(event, wanted.schema) if of_logs else _as_telemetry(event, wanted.schema)
    return [_written(each) for each in versions]


def _written(event: TelemetryEvent) -> bytes:
    """The JSON of an event as it is. An object that is nested too deeply to be written again is told as its line."""
    try:
        members = {"time": timestamp(event.at), "type": event.kind, "record": event.record}
        return json.dumps(members, separators=(",", ":")).encode()
    except RecursionError:
        return _written(_as_line(event))


def _as_telemetry(event: TelemetryEvent, schema: str) -> list[TelemetryEvent]:
    """Lines are no objects in the first version."""
    if event.kind in ("platform.fault", _SUBSCRIPTIONS[TelemetryApi.LOGS]):
        return []
    if event.category != "platform" and isinstance(event.record, dict) and schema == TelemetryApi.TELEMETRY.schemas[0]:
        return [_as_line(event)]
    return [event]


def _as_logs(event: TelemetryEvent, schema: str) -> list[TelemetryEvent]:
    """Lines are always lines; an invocation's end is an event of its own, and so is a fault, whose record is a text."""
    record = event.record
    if event.category != "platform":
        return [_as_line(event)]
    if isinstance(record, str):
        return [event]
    if event.kind == "platform.report":
        request_id = {"requestId": record["requestId"]}
        end = TelemetryEvent(event.at, "platform.end", request_id)
        return [end, TelemetryEvent(event.at, event.kind, request_id | {"metrics": record["metrics"]})]
    if event.kind == "platform.runtimeDone" and schema != TelemetryApi.LOGS.schemas[0]:
        status = FAILURE if record["status"] == ERROR else record["status"]
        return [TelemetryEvent(event.at, event.kind, {"requestId": record["requestId"], "status": status})]
    return [event] if event.kind in (*_IN_LOGS, _SUBSCRIPTIONS[TelemetryApi.LOGS]) else []


def _as_line(event: TelemetryEvent) -> TelemetryEvent:
    if isinstance(event.record, str):
        return event
    return TelemetryEvent(event.at, event.kind, event.line)
