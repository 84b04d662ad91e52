"""The metrics of one process, by their names.

prometheus-client would say the same, and brings an HTTP server, an HTTP client and a mail parser: 2 to 3 MB a process.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol

from kubelambda.metrics import metrics_text
from kubelambda.metrics.metrics_text import Labels


class MetricFamily(Protocol):
    """One metric with all its series."""

    name: str
    kind: str
    """counter, gauge or histogram."""
    documentation: str

    def samples(self) -> Iterator[tuple[str, Labels, float]]:
        """Name, labels and value of each sample as it is now."""
        ...

    def births(self) -> Iterator[tuple[Labels, float]]:
        """When each series was made, by its labels; nothing of a family that does not say."""
        ...


class MetricRegistry:
    """All metrics of a process. They are changed by its event loop, and may be read in a thread."""

    def __init__(self) -> None:
        self._families: dict[str, MetricFamily] = {}

    def add(self, family: MetricFamily) -> None:
        """Has one more. Raises `ValueError` for a name that is taken."""
        if family.name in self._families:
            raise ValueError(f"there are two metrics {family.name}")
        self._families[family.name] = family

    @property
    def names(self) -> list[str]:
        """Of all families."""
        return list(self._families)

    def value(self, name: str, labels: Mapping[str, str]) -> float | None:
        """One sample by its name; None where there is none."""
        for family in self._families.values():
            for found, given, value in family.samples():
                if found == name and dict(given) == labels:
                    return value
        return None

    def text(self) -> bytes:
        """What Prometheus reads."""
        return "".join(part for family in self._families.values() for part in _parts(family)).encode()


def _parts(family: MetricFamily) -> Iterator[str]:
    yield metrics_text.heading(family.name, family.kind, family.documentation)
    for name, labels, value in family.samples():
        yield metrics_text.line(name, labels, value)
    born = list(family.births())
    if born:
        name = f"{family.name.removesuffix('_total')}_created"
        yield metrics_text.heading(name, "gauge", family.documentation)
        for labels, value in born:
            yield metrics_text.line(name, labels, value)
