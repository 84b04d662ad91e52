"""A chain of invocations that keeps coming back is counted in the trace header (§6.8)."""

from hypothesis import given
from hypothesis import strategies as st

from kubelambda.core.invoke import lineage
from kubelambda.core.invoke.trace_header import completed

A, B = lineage.mark("arn:aws:lambda:us-east-1:123456789012:function:a"), lineage.mark("b")
PLAIN = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


def test_every_run_of_a_function_counts_for_itself() -> None:
    """Two functions that call each other."""
    trace = PLAIN
    for _ in range(3):
        trace = lineage.advanced(lineage.advanced(trace, A), B)
    trace = lineage.advanced(trace, A)
    assert (lineage.visits(trace, A), lineage.visits(trace, B)) == (4, 3)
    assert trace.startswith(PLAIN)


def test_what_others_wrote_stays() -> None:
    """AWS's own form of the field, and fields after it."""
    trace = lineage.advanced(f"{PLAIN};Lineage=1:a87bd80c:0;Self=x", A)
    assert trace == f"{PLAIN};Lineage=1:a87bd80c:0|{A}:1;Self=x"
    assert lineage.visits(trace, A) == 1


def test_a_header_with_a_chain_is_complete() -> None:
    """It is passed on as it is, so nothing forgets the count on the way."""
    trace = lineage.advanced(PLAIN, A)
    assert completed(trace, now=0.0, bits=lambda _: 0) == trace


def test_the_field_stays_short() -> None:
    """However many functions a chain runs through, and the one that loops is never forgotten."""
    trace = PLAIN
    for number in range(500):
        trace = lineage.advanced(lineage.advanced(trace, lineage.mark(str(number))), A)
    assert len(trace) < 600
    assert lineage.visits(trace, A) == 500


@given(st.text(max_size=200))
def test_whatever_stands_there_a_run_is_counted(junk: str) -> None:
    """Nonsense in the header ends nothing, and hides nothing from then on."""
    trace = lineage.advanced(junk, A)
    assert lineage.visits(lineage.advanced(trace, A), A) == lineage.visits(trace, A) + 1


def test_a_chain_that_begins_is_written_as_one_that_goes_on() -> None:
    """Most invocations begin one: that costs no look at the header."""
    arn = "arn:aws:lambda:us-east-1:123456789012:function:a"
    assert lineage.begun(arn).decode() == lineage.advanced("", A)
    assert f"{PLAIN};{lineage.begun(arn).decode()}" == lineage.advanced(PLAIN, A)
