"""Bodies in pieces: the same document as at once, and long strings in files."""

import base64
import hashlib
import json
import os
from contextlib import closing
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kubelambda.awsapi.model.body_receiver import LARGE_BYTES, BodyReceiver, BodyTooLarge, LargeBlob

json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=10,
)


def fed(receiver: BodyReceiver, body: bytes, piece: int) -> None:
    """Gives a body in pieces of equal size."""
    for start in range(0, len(body), piece):
        receiver.feed(body[start : start + piece])


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.text(), json_values, max_size=4), st.integers(1, 40), st.booleans())
def test_any_document_in_any_pieces(document: dict[str, Any], piece: int, ascii_only: bool) -> None:
    """Quotes, escapes and characters of several bytes may be cut anywhere."""
    with closing(BodyReceiver()) as receiver:
        fed(receiver, json.dumps(document, ensure_ascii=ascii_only).encode(), piece)
        assert receiver.document() == document


@pytest.mark.parametrize("size", [LARGE_BYTES, 3 * LARGE_BYTES + 1, 3 * LARGE_BYTES + 2])
def test_a_long_string_is_the_bytes_that_it_stands_for(size: int) -> None:
    """Decoded on the way into a file, with their digest, and beside them everything else."""
    data = os.urandom(size)
    body = json.dumps({"Name": "f", "Code": {"ZipFile": base64.b64encode(data).decode()}, "Timeout": 3}).encode()
    with closing(BodyReceiver()) as receiver:
        fed(receiver, body, 65_537)
        found = receiver.document()
        blob = found["Code"]["ZipFile"]
        assert isinstance(blob, LargeBlob)
        assert (found["Name"], found["Timeout"]) == ("f", 3)
        assert (blob.valid, blob.size, blob.sha256) == (True, size, hashlib.sha256(data).hexdigest())
        blob.file.seek(0)
        assert blob.file.read() == data


def test_escapes_in_a_long_string() -> None:
    """Some encoders escape the slash and the equals sign."""
    data = b"\xff\xf0" * LARGE_BYTES
    text = base64.b64encode(data).decode().replace("/", "\\/").replace("=", "\\u003d")
    with closing(BodyReceiver()) as receiver:
        fed(receiver, f'{{"ZipFile": "{text}"}}'.encode(), 10_007)
        assert receiver.document()["ZipFile"].sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("broken", ["*", "A", "AA==A", "AA==AAAA", "\\n"])
def test_what_is_no_base64_is_said_to_be_none(broken: str) -> None:
    """Wherever it stops to be base64."""
    with closing(BodyReceiver()) as receiver:
        fed(receiver, f'{{"ZipFile": "{"A" * 2 * LARGE_BYTES}{broken}"}}'.encode(), 65_536)
        assert not receiver.document()["ZipFile"].valid


def test_memory_is_bounded_beside_the_code() -> None:
    """Many short strings, or many long ones, are too much."""
    with closing(BodyReceiver()) as receiver, pytest.raises(BodyTooLarge):
        fed(receiver, b'{"a": [' + b'"xxxx",' * 2_000_000, 65_536)
    with closing(BodyReceiver()) as receiver, pytest.raises(BodyTooLarge):
        fed(receiver, b"{" + b'"a": "' + b'", "b": "'.join([b"A" * (LARGE_BYTES + 4)] * 6), 65_536)


def test_a_string_that_looks_like_a_mark_is_a_string() -> None:
    """Nobody reaches files that they did not send."""
    with closing(BodyReceiver()) as receiver:
        receiver.feed(json.dumps({"a": "\x00large:0"}).encode())
        assert receiver.document() == {"a": "\x00large:0"}


@pytest.mark.parametrize("body", [b"[1]", b'"x"', b"{", b'{"a": "', b"\xff", b'{"a": "\\'])
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    """Whatever it is."""
    with closing(BodyReceiver()) as receiver:
        receiver.feed(body)
        with pytest.raises(ValueError):  # noqa: PT011 - the parser's own words differ
            receiver.document()
