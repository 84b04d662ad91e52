"""The log of an environment: what the runtime prints, framed by Lambda's own lines (§9.1)."""

import hashlib
import re
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime

_CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))} | {
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}
_RUNTIME = re.compile(r"([a-z]+)\.?(.+?)(?:\.x)?")


def stream_name(version: str, now: datetime) -> str:
    """Name of an environment's log stream, for its whole life."""
    return f"{now.astimezone(UTC):%Y/%m/%d}/[{version}]{secrets.token_hex(16)}"


def runtime_version(runtime: str, region: str) -> tuple[str, str]:
    """What a runtime is called, and its ARN."""
    found = _RUNTIME.fullmatch(runtime)
    version = f"{found[1]}:{found[2]}" if found else runtime
    return version, f"arn:aws:lambda:{region}::runtime:{hashlib.sha256(runtime.encode()).hexdigest()}"


def init_start_line(runtime: str, region: str) -> bytes:
    """Begins a cold start."""
    version, arn = runtime_version(runtime, region)
    return f"INIT_START Runtime Version: {version}\tRuntime Version ARN: {arn}\n".encode()


def within_a_line(text: str) -> str:
    """Text that others have chosen, with escapes for what would end a line, or a part of one."""
    return text.translate(_CONTROL)


def extension_line(name: str, state: str, events: Iterable[str] = (), error_type: str = "") -> bytes:
    """Says how far an extension is when INIT ends."""
    line = f"EXTENSION\tName: {within_a_line(name)}\tState: {state}\tEvents: [{', '.join(events)}]"
    return _ended(line, error_type)


def early_end_lines(request_id: bytes, reason: str, error_type: str) -> bytes:
    """Says that processes ended, or were ended, in the middle of an invocation."""
    line = f"RequestId: {request_id.decode()} Error: {within_a_line(reason)}\n{within_a_line(error_type)}\n"
    return line.encode("utf-8", "surrogateescape")


def start_line(request_id: bytes, version: bytes) -> bytes:
    """Begins an invocation."""
    return b"START RequestId: %b Version: %b\n" % (request_id, version)


def end_and_report_lines(
    request_id: bytes,
    *,
    duration_ms: float,
    billed_ms: int,
    memory_size: int,
    memory_used: int,
    init_ms: float | None = None,
    status: str | None = None,
) -> bytes:
    """Ends an invocation and sums it up. Memory in MB."""
    lines = (
        b"END RequestId: %b\nREPORT RequestId: %b\tDuration: %.2f ms\tBilled Duration: %d ms\t"
        b"Memory Size: %d MB\tMax Memory Used: %d MB\t"
        % (request_id, request_id, duration_ms, billed_ms, memory_size, memory_used)
    )
    if init_ms is not None:
        lines += b"Init Duration: %.2f ms\t" % init_ms
    if status is not None:
        lines += b"Status: %b" % status.encode()
    return lines + b"\n"


def init_report_line(duration_ms: float, *, phase: str, status: str, error_type: str | None = None) -> bytes:
    """Reports an initialization that failed or took too long."""
    return _ended(f"INIT_REPORT Init Duration: {duration_ms:.2f} ms\tPhase: {phase}\tStatus: {status}", error_type)


def _ended(line: str, error_type: str | None) -> bytes:
    """A line, with the type of an error where there is one. Names of files are bytes, whatever they say."""
    if error_type:
        line += f"\tError Type: {within_a_line(error_type)}"
    return f"{line}\n".encode("utf-8", "surrogateescape")


def billed_ms(duration_ms: float, increment_ms: int) -> int:
    """Milliseconds that are billed: rounded up to a multiple of the increment, at least one of them (§9.4)."""
    return max(1, -int(-duration_ms // increment_ms)) * increment_ms
