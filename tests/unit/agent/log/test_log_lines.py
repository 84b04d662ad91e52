"""Lines of an environment's log that have something in them which the function, its layers or its image have chosen."""

import pytest

from kubelambda.agent.log import logs


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tracer", "tracer"),
        ("a b\u00fc\u65e5", "a b\u00fc\u65e5"),
        ("tra\ncer\tState: Ready", "tra\\x0acer\\x09State: Ready"),
        ("\x1b[31m\x7f\x85\r", "\\x1b[31m\\x7f\\x85\\x0d"),
        ("\u2028", "\\u2028"),
    ],
)
def test_no_name_ends_its_line_or_its_part_of_one(name: str, said: str) -> None:
    """Whoever splits a log at lines and tabs finds what we have written, and nothing that looks like it."""
    line = logs.extension_line(name, "Registered", ["INVOKE"], name).decode()
    assert line == f"EXTENSION\tName: {said}\tState: Registered\tEvents: [INVOKE]\tError Type: {said}\n"
    report = logs.init_report_line(1.5, phase="init", status="error", error_type=name).decode()
    assert report == f"INIT_REPORT Init Duration: 1.50 ms\tPhase: init\tStatus: error\tError Type: {said}\n"
    early = logs.early_end_lines(b"id", f"extension {name}: lost", name).decode()
    assert early == f"RequestId: id Error: extension {said}: lost\n{said}\n"


def test_a_name_that_is_no_text_is_written_as_it_is() -> None:
    """Names of files are bytes."""
    assert b"Name: \xff\tState" in logs.extension_line("\udcff", "Started")
    assert b"extension \xff" in logs.early_end_lines(b"id", "extension \udcff", "Extension.Crash")
