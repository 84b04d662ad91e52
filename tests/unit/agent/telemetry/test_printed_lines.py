"""Lines out of what a pipe brings."""

import pytest

from kubelambda.agent.telemetry import printed_lines
from kubelambda.agent.telemetry.printed_lines import LINE_MAX_BYTES, PrintedLines
from kubelambda.core.telemetry.telemetry_events import TelemetryEvent


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        ([b"one\ntwo\n"], ["one\n", "two\n"]),
        ([b"on", b"e", b"\ntw", b"o\n"], ["one\n", "two\n"]),
        ([b"\n\n"], ["\n", "\n"]),
        ([b"error\rtrace\r\n"], ["error\rtrace\r\n"]),
        ([b"no end"], []),
    ],
)
def test_a_line_ends_with_a_line_feed_and_nothing_else(pieces: list[bytes], lines: list[str]) -> None:
    """However it comes."""
    found: list[TelemetryEvent] = []
    printed = PrintedLines("function", False, found.append)
    for number, piece in enumerate(pieces):
        printed.add(piece, float(number))
    assert [each.record for each in found] == lines
    assert all(each.kind == "function" for each in found)


def test_what_has_no_end_is_a_line_when_it_is_asked_for_or_is_too_long() -> None:
    """Nothing waits for ever, and nothing is kept without bounds."""
    found: list[TelemetryEvent] = []
    printed = PrintedLines("extension", False, found.append)
    printed.add(b"rest", 1.0)
    printed.flush(2.0)
    printed.flush(3.0)
    assert [(each.at, each.record) for each in found] == [(2.0, "rest")]
    for _ in range(5):
        printed.add(b"x" * 65_536, 4.0)
    assert len(found) == 2
    assert len(found[1].record) == LINE_MAX_BYTES


def test_no_character_is_cut_where_a_line_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its size, and wherever a read has ended; bytes that are none go on as such."""
    monkeypatch.setattr(printed_lines, "LINE_MAX_BYTES", 8)
    text = "ab\u00fc\u65e5\U0001f600" * 20
    data = text.encode() + b"\xff" * 20
    for size in range(1, 30):
        found: list[TelemetryEvent] = []
        printed = PrintedLines("function", False, found.append)
        for start in range(0, len(data), size):
            printed.add(data[start : start + size], 0.0)
        printed.flush(0.0)
        assert "".join(str(each.record) for each in found) == text + "\ufffd" * 20
        assert len(found) > 5
