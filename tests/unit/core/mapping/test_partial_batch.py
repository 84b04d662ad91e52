"""Which records of a batch failed, by what the function returned (§7.2)."""

import json
from typing import Any

import pytest

from kubelambda.core.mapping.partial_batch import failed_items

KNOWN = ["a", "b", "c"]


@pytest.mark.parametrize("answer", [None, "", {}, [], {"batchItemFailures": []}, {"batchItemFailures": None}])
def test_a_batch_succeeds_whole(answer: Any) -> None:
    """By Lambda's list of answers that name nothing."""
    assert failed_items(json.dumps(answer).encode(), KNOWN) == frozenset()


def test_no_answer_at_all_is_a_success() -> None:
    """A function need not return anything."""
    assert failed_items(b"", KNOWN) == frozenset()


@pytest.mark.parametrize(
    "answer",
    [
        "done",
        7,
        {"failures": []},
        {"batchItemFailures": "a"},
        {"batchItemFailures": [{"itemIdentifier": ""}]},
        {"batchItemFailures": [{"itemIdentifier": None}]},
        {"batchItemFailures": [{"identifier": "a"}]},
        {"batchItemFailures": ["a"]},
        {"batchItemFailures": [{"itemIdentifier": "a"}, {"itemIdentifier": "unknown"}]},
    ],
)
def test_a_batch_fails_whole_when_the_answer_says_nothing(answer: Any) -> None:
    """Nothing is deleted that might have failed."""
    assert failed_items(json.dumps(answer).encode(), KNOWN) == frozenset(KNOWN)


@pytest.mark.parametrize("payload", [b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_fails_the_batch(payload: bytes) -> None:
    """Whatever its form."""
    assert failed_items(payload, KNOWN) == frozenset(KNOWN)


def test_only_named_records_failed() -> None:
    """Once or twice."""
    answer = {"batchItemFailures": [{"itemIdentifier": "b"}, {"itemIdentifier": "b"}]}
    assert failed_items(json.dumps(answer).encode(), KNOWN) == {"b"}
