"""What a frontend cannot read is skipped, and counted where somebody sees it."""

from typing import Any, cast

from tests.unit.frontend.empty_caches import nowhere

from kubelambda.api.settings import Settings
from kubelambda.frontend.frontend import Frontend


async def test_objects_that_cannot_be_read_are_counted_by_kind() -> None:
    """Until they can, or are gone."""
    frontend = Frontend(nowhere(), cast("Any", None), Settings(), b"", address="127.0.0.1", service="frontend", port=1)

    def counted(kind: str) -> float | None:
        return frontend.metrics.registry.get_sample_value("kubelambda_unreadable_objects", {"kind": kind})

    assert (counted("Function"), counted("Alias")) == (0, 0)
    body = {"metadata": {"namespace": "team", "name": "later"}, "status": {"deployed": {"revision": []}}}
    frontend.caches.functions._observe(body, deleted=False)
    assert (counted("Function"), counted("Alias")) == (1, 0)
    frontend.caches.functions._observe(body, deleted=True)
    assert counted("Function") == 0
