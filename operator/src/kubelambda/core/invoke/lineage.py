"""How often a chain of invocations has come to a function: what stops a loop (§6.8). Pure.

The count travels in the field `Lineage` of the trace header, which SDKs pass on inside of a function:
`Lineage=a87bd80c:1|68fd508a:5`, for each function of the chain its mark and how often it ran.
"""

import hashlib
import re
from functools import lru_cache

LIMIT = 16
"""So often a function runs in one chain; the next time is refused unless its `recursiveLoop` is Allow."""
NAME = b"Lineage="
"""Stands in every trace header that has the field."""
_FIELD = re.compile(r"(?:^|;)Lineage=([^;]*)")
_ENTRY = re.compile(r"([0-9a-f]{8}):([0-9]{1,6})")
_ENTRIES_MAX = 32


@lru_cache(maxsize=4096)
def mark(function_arn: str) -> str:
    """The mark of a function, by its unqualified ARN."""
    return hashlib.sha256(function_arn.encode()).hexdigest()[:8]


@lru_cache(maxsize=4096)
def begun(function_arn: str) -> bytes:
    """The field of a chain that begins with the function."""
    return NAME + f"{mark(function_arn)}:1".encode()


def visits(trace: str, function_mark: str) -> int:
    """How often the chain of a trace header has run a function."""
    found = _FIELD.search(trace)
    if found is None:
        return 0
    counts = (_ENTRY.fullmatch(entry) for entry in found[1].split("|"))
    return max((int(each[2]) for each in counts if each is not None and each[1] == function_mark), default=0)


def advanced(trace: str, function_mark: str) -> str:
    """The trace header for one more run of the function. What others wrote into the field stays in it."""
    found = _FIELD.search(trace)
    if found is None:
        return f"{trace};Lineage={function_mark}:1" if trace else f"Lineage={function_mark}:1"
    count = visits(trace, function_mark) + 1
    others = [entry for entry in found[1].split("|") if entry and not entry.startswith(f"{function_mark}:")]
    entries = "|".join([*others[-(_ENTRIES_MAX - 1) :], f"{function_mark}:{count}"])
    return f"{trace[: found.start(1)]}{entries}{trace[found.end(1) :]}"
