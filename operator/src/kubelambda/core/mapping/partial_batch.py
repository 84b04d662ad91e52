"""Which records of a batch are done, out of what the function returned (§7.2)."""

import json
from collections.abc import Collection
from typing import Any


def failed_items(payload: bytes, known: Collection[str]) -> frozenset[str]:
    """The records that failed, by identifier: none, those that the function names, or all.

    All, when its answer cannot be understood: no JSON, another key, an identifier that is empty or none of the batch's.
    """
    everything = frozenset(known)
    try:
        answer = json.loads(payload) if payload else None
    except (ValueError, RecursionError):
        return everything
    if answer in (None, "", {}, []):
        return frozenset()
    failures = answer.get("batchItemFailures", ...) if isinstance(answer, dict) else ...
    if failures is None:
        return frozenset()
    if not isinstance(failures, list):
        return everything
    named = frozenset(_identifier(failure) for failure in failures)
    return everything if named - everything else named


def _identifier(failure: Any) -> str:
    """Empty, which no record is called, for what names none."""
    found = failure.get("itemIdentifier") if isinstance(failure, dict) else None
    return found if isinstance(found, str) else ""
