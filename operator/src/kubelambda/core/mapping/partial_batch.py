"""Which records of a batch are done, out of what the function returned (§7.2)."""

import json
from collections.abc import Callable, Collection
from typing import Any


def item_identifier(found: Any) -> str:
    """What a function calls a record by a text; empty, which no record is called, for anything else."""
    return found if isinstance(found, str) else ""


def failed_items(
    payload: bytes, known: Collection[str], identifier: Callable[[Any], str] = item_identifier
) -> frozenset[str]:
    """The records that failed, by identifier: none, those that the function names, or all.

    `identifier` makes one of `known` of what the function says, or an empty text. All, when its answer cannot be
    understood: no JSON, another key, an identifier that is empty or none of the batch's.
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
    named = frozenset(
        identifier(failure.get("itemIdentifier")) if isinstance(failure, dict) else "" for failure in failures
    )
    return everything if named - everything else named
