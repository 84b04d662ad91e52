"""What is read of Prometheus' text is what was written."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelambda.metrics import metrics_text

TEXT = st.text(st.sampled_from('ab,{}="\\\n n#'), max_size=12)


@given(st.dictionaries(st.sampled_from(["namespace", "function", "le"]), TEXT), st.floats())
def test_a_line_is_read_as_it_was_meant(labels: dict[str, str], value: float) -> None:
    """Whatever stands in a label."""
    line = metrics_text.line("kubelambda_lag", labels.items(), value)
    assert line.count("\n") == 1
    ((name, found, read),) = metrics_text.samples(line.rstrip("\n").split("\n"))
    assert (name, found) == ("kubelambda_lag", labels)
    assert read == value or (math.isnan(read) and math.isnan(value))


def test_headings_and_times_are_passed_over() -> None:
    """Other programs say when a sample was taken."""
    lines = ["# HELP a b", "# TYPE a gauge", "", "a 2 1700000000000", 'a{b="c",} 1e+06']
    assert list(metrics_text.samples(lines)) == [("a", {}, 2.0), ("a", {"b": "c"}, 1e6)]


@pytest.mark.parametrize("line", ["a", "a{b 1", "a b", "1a 2"])
def test_what_is_no_sample_is_refused(line: str) -> None:
    """A server that answers with something else is none of ours."""
    with pytest.raises(ValueError, match=r"no sample|could not convert"):
        list(metrics_text.samples([line]))
