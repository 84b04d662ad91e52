"""Names and sizes of pools."""

import pytest

from kubelambda.api.kinds.runtime import Pool, RuntimeSpec
from kubelambda.core.pool.pool_size import PoolRange
from kubelambda.resources.pool_deployment import pool_name, pool_range

RUNTIME = RuntimeSpec(image="i", inline_file_name="f", pool=Pool(size=2))


@pytest.mark.parametrize(
    ("runtime", "name"),
    [
        ("python3.13", "kubelambda-pool-python3-13"),
        ("provided.al2023", "kubelambda-pool-provided-al2023"),
        ("my-runtime", "kubelambda-pool-my--runtime"),
    ],
)
def test_the_name_is_a_dns_label(runtime: str, name: str) -> None:
    """Without the dots of Lambda's runtime names."""
    assert pool_name(runtime) == name


def test_no_two_runtimes_share_a_pool() -> None:
    """A dot and a dash stay apart."""
    assert len({pool_name(name) for name in ("node.20", "node-20", "node20", "node.2-0", "node-2.0")}) == 5


@pytest.mark.parametrize(
    ("annotation", "least", "most"),
    [
        ("5", 5, 5),
        ("0", 0, 0),
        (" 3 ", 3, 3),
        ("2-20", 2, 20),
        ("0 - 4", 0, 4),
        ("9-3", 9, 9),
        ("9999", 1000, 1000),
        ("1-9999", 1, 1000),
    ],
)
def test_an_annotation_of_the_namespace_sets_the_size(annotation: str, least: int, most: int) -> None:
    """One number or a range; never more than anybody can mean."""
    annotations = {"pool-size.kubelambda.dev/python3.13": annotation}
    assert pool_range("python3.13", RUNTIME, annotations) == PoolRange(least, most)


@pytest.mark.parametrize("annotation", ["many", "-1", "", "9" * 99, "1-", "1-2-3", "٣"])
def test_an_annotation_that_is_no_size_changes_nothing(annotation: str) -> None:
    """The Runtime's own size holds."""
    annotations = {"pool-size.kubelambda.dev/python3.13": annotation}
    assert pool_range("python3.13", RUNTIME, annotations) == PoolRange(2, 10)


@pytest.mark.parametrize(("size", "max_size", "most"), [(2, None, 10), (20, None, 20), (2, 2, 2), (0, 5, 5), (0, 0, 0)])
def test_the_runtime_says_how_far_a_pool_grows(size: int, max_size: int | None, most: int) -> None:
    """To 10, where it says nothing."""
    runtime = RuntimeSpec(image="i", inline_file_name="f", pool=Pool(size=size, max_size=max_size))
    assert pool_range("python3.13", runtime, {}) == PoolRange(size, most)


def test_a_pool_of_a_shape_begins_empty_and_grows_as_far_as_the_generic_one() -> None:
    """It has a name of its own, and its annotation sets its size."""
    pool = "python3.13_0123456789"
    assert pool_name(pool) == "kubelambda-pool-python3-13---0123456789"
    assert pool_range(pool, RUNTIME, {"pool-size.kubelambda.dev/python3.13": "5"}) == PoolRange(0, 10)
    assert pool_range(pool, RUNTIME, {f"pool-size.kubelambda.dev/{pool}": "1-3"}) == PoolRange(1, 3)
