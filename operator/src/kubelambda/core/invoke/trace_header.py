"""The trace header of an invocation (`Root=…;Parent=…;Sampled=0|1`): passed on, completed, or made."""

import re
from collections.abc import Callable

_COMPLETE = re.compile(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=[01](?:;[A-Za-z]+=[!-:<-~]*)*")
_FIELDS = {
    "root": re.compile(r"1-[0-9a-fA-F]{8}-[0-9a-fA-F]{24}"),
    "parent": re.compile(r"[0-9a-fA-F]{16}"),
    "sampled": re.compile(r"[01]"),
}
_OTHER = re.compile(r"[A-Za-z]+=[!-:<-~]*")
_MAX_LENGTH = 1024


def begun(now: float, bits: Callable[[int], int]) -> bytes:
    """The header for an invocation whose caller gave none. Arguments as those of `completed`."""
    return b"Root=1-%08x-%024x;Parent=%016x;Sampled=0" % (int(now), bits(96), bits(64))


def completed(given: str, *, now: float, bits: Callable[[int], int]) -> str:
    """The header for the invocation: `given` where it is whole, else with what it lacks.

    A caller that says nothing of sampling is not sampled: in PassThrough, the one mode of tracing that is served
    (`TracingConfig`, §1.3), Lambda passes decisions on and makes none. A parent without its root is nobody's. Other
    fields (`Self`, `Lineage`) stay. `now` is in seconds since 1970; `bits(n)` gives n random bits.
    """
    if not given:
        return begun(now, bits).decode()
    if len(given) <= _MAX_LENGTH and _COMPLETE.fullmatch(given):
        return given
    known, others = _fields(given if len(given) <= _MAX_LENGTH else "")
    root = known.get("root")
    parent = known.get("parent") if root else None
    head = f"Root={root or _root(now, bits)};Parent={parent or f'{bits(64):016x}'};Sampled={known.get('sampled', '0')}"
    return ";".join([head, *others])


def _root(now: float, bits: Callable[[int], int]) -> str:
    return f"1-{int(now):08x}-{bits(96):024x}"


def _fields(given: str) -> tuple[dict[str, str], list[str]]:
    """The well-formed fields: those that every header has, and the others as they stand."""
    known: dict[str, str] = {}
    others = []
    for part in given.split(";"):
        name, _, value = part.strip().partition("=")
        form = _FIELDS.get(name.lower())
        if form is not None:
            if form.fullmatch(value):
                known.setdefault(name.lower(), value)
        elif _OTHER.fullmatch(part.strip()):
            others.append(part.strip())
    return known, others
