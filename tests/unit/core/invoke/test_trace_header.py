"""The trace header of an invocation: passed on, completed, or made."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelambda.core.invoke.trace_header import completed

ROOT = "1-5759e988-bd862e3fe1be46a994272793"
PARENT = "53995c3f42cd8ad8"
NOW = 0x5759E988 + 0.5
MADE_ROOT = "1-5759e988-000000000000000000000060"
MADE_PARENT = "0000000000000040"
WHOLE = re.compile(r"Root=1-[0-9a-fA-F]{8}-[0-9a-fA-F]{24};Parent=[0-9a-fA-F]{16};Sampled=[01](;[^;]+)*")


def complete(given: str) -> str:
    """The header with "random" bits that say how many were asked for."""
    return completed(given, now=NOW, bits=lambda count: count)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", f"Root={MADE_ROOT};Parent={MADE_PARENT};Sampled=0"),
        (f"Root={ROOT};Parent={PARENT};Sampled=1", f"Root={ROOT};Parent={PARENT};Sampled=1"),
        (f"Root={ROOT};Parent={PARENT};Sampled=1;Lineage=a:0", f"Root={ROOT};Parent={PARENT};Sampled=1;Lineage=a:0"),
        (f"Root={ROOT}", f"Root={ROOT};Parent={MADE_PARENT};Sampled=0"),
        (f"Root={ROOT};Sampled=1", f"Root={ROOT};Parent={MADE_PARENT};Sampled=1"),
        (f"Root={ROOT};Parent={PARENT}", f"Root={ROOT};Parent={PARENT};Sampled=0"),
        (f"Root={ROOT};Parent={PARENT};Sampled=?", f"Root={ROOT};Parent={PARENT};Sampled=0"),
        (f"Self={ROOT}; root={ROOT} ;sampled=1", f"Root={ROOT};Parent={MADE_PARENT};Sampled=1;Self={ROOT}"),
        ("Sampled=1", f"Root={MADE_ROOT};Parent={MADE_PARENT};Sampled=1"),
        (f"Parent={PARENT};Sampled=1", f"Root={MADE_ROOT};Parent={MADE_PARENT};Sampled=1"),
        ("Root=1-x;Parent=y", f"Root={MADE_ROOT};Parent={MADE_PARENT};Sampled=0"),
        ("a" * 5_000, f"Root={MADE_ROOT};Parent={MADE_PARENT};Sampled=0"),
    ],
)
def test_what_is_missing_is_made_and_what_is_there_stays(given: str, expected: str) -> None:
    """Sampling is the caller's decision; who says nothing is not sampled."""
    assert complete(given) == expected


@given(st.text(st.characters(codec="latin-1"), max_size=200) | st.just(f"Root={ROOT};Sampled=1;x=\r\ny: z"))
def test_the_header_is_whole_and_one_line_whatever_came(given: str) -> None:
    """It goes into the heads of other messages."""
    header = complete(given)
    assert WHOLE.fullmatch(header)
    assert header.isascii()
    assert header.isprintable()
