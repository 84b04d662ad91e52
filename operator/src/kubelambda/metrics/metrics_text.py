"""Prometheus' text format, version 0.0.4: its lines, and what they say."""

import math
import re
from collections.abc import Iterable, Iterator

type Labels = Iterable[tuple[str, str]]

_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? ([^ ]+)(?: -?[0-9]+)?")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")
_SHORTENED_DIGITS = 6


def heading(name: str, kind: str, documentation: str) -> str:
    """The two lines in front of a family."""
    said = documentation.replace("\\", r"\\").replace("\n", r"\n")
    return f"# HELP {name} {said}\n# TYPE {name} {kind}\n"


def line(name: str, labels: Labels, value: float) -> str:
    """One sample, with its labels in the order of their names."""
    said = ",".join(f'{label}="{_escaped(text)}"' for label, text in sorted(labels))
    return f"{name}{{{said}}} {number(value)}\n" if said else f"{name} {number(value)}\n"


def number(value: float) -> str:
    """A number as Go writes it, which goes over to exponents earlier than Python."""
    value = float(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    said = repr(value)
    whole, dot, rest = said.partition(".")
    if value > 0 and dot and len(whole) > _SHORTENED_DIGITS:
        return f"{whole[0]}.{whole[1:]}{rest}".rstrip("0.") + f"e+{len(whole) - 1:02d}"
    return said


def samples(lines: Iterable[str]) -> Iterator[tuple[str, dict[str, str], float]]:
    """Name, labels and value of every sample. Raises `ValueError` for a line that is none."""
    for said in lines:
        if not said.strip() or said.startswith("#"):
            continue
        found = _SAMPLE.fullmatch(said.strip())
        if found is None:
            raise ValueError(f"no sample: {said[:200]}")
        name, labels, value = found.groups()
        yield name, {label: _unescaped(text) for label, text in _LABEL.findall(labels or "")}, float(value)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: "\n" if found[1] == "n" else found[1], text)
