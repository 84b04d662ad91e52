"""What passes for an event: JSON by its grammar, whatever its size, at a cost that its size bounds (§2.1.2)."""

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelambda.core.invoke.event_json import problem

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=4), children, max_size=4),
    max_leaves=12,
)


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def reference(document: bytes) -> bool:
    """Whether the standard library reads `document` as strict JSON."""
    try:
        json.loads(document.decode(), parse_constant=_refuse)
    except ValueError:
        return False
    return True


@given(VALUES, st.booleans())
def test_whatever_json_writes_is_an_event(value: object, ascii_only: bool) -> None:
    """Lone surrogates as escapes too, which `JSON.stringify` writes."""
    try:
        document = json.dumps(value, ensure_ascii=ascii_only).encode()
    except UnicodeEncodeError:
        return
    assert problem(document) is None
    assert problem(bytearray(document)) is None


@given(VALUES, st.data())
def test_damaged_json_is_an_event_when_the_standard_library_reads_it(value: object, data: st.DataObject) -> None:
    """One byte replaced, removed or added, anywhere."""
    document = bytearray(json.dumps(value).encode())
    at = data.draw(st.integers(0, len(document)))
    kept = at + data.draw(st.integers(0, 1))
    new = data.draw(st.sampled_from([b"", *(bytes([byte]) for byte in b'0-.e"\\u[]{},: \n\x00\x1f\x80a')]))
    document[at:kept] = new
    assert (problem(document) is None) == reference(bytes(document))


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"NaN",
        b"[Infinity]",
        b'{"a": -Infinity}',
        b"01",
        b"[1,]",
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"' + "ä".encode() * 40_000 + b'\xc3"',
        b'"\x01"',
        b"{}\x00",
        b"\xef\xbb\xbf{}",
        b"[" * 200_000,
        b"[" * 200_000 + b"]" * 200_000,
        b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
        rb'"\ud800" "\ud800"',
    ],
    ids=lambda document: repr(document[:12]),
)
def test_what_is_no_json_says_why(document: bytes) -> None:
    """In one line."""
    found = problem(document)
    assert found
    assert "\n" not in found


@pytest.mark.parametrize(
    "document",
    [
        b"1" * 5_000,
        b"-0.5E+400",
        rb'"\ud800"',
        rb'["\\ud800", "\uDFFF", "\ud83d\ude00"]',
        b"[" * 900 + b"]" * 900,
        b' \t\r\n{"a" : [ ] } ',
        b'"' + "ä€😀".encode() * 40_000 + b'"',
    ],
    ids=lambda document: repr(document[:12]),
)
def test_odd_json_is_an_event(document: bytes) -> None:
    """What any runtime's parser may make of it is the runtime's affair."""
    assert problem(document) is None


def test_six_megabytes_of_brackets_are_checked_without_building_them() -> None:
    """`json.loads` makes 155 MB of them."""
    document = b"[" + b"[]," * 2_000_000 + b"[]]"
    tracemalloc.start()
    try:
        assert problem(document) is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000
