"""Names and sizes of pools."""

import pytest

from kubelambda.api.runtime import Pool, RuntimeSpec
from kubelambda.resources.pool import pool_name, pool_size

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
    ("annotation", "size"),
    [("5", 5), ("0", 0), (" 3 ", 3), ("many", 2), ("-1", 2), ("", 2), ("9999", 1000), ("9" * 99, 2)],
)
def test_an_annotation_of_the_namespace_sets_the_size(annotation: str, size: int) -> None:
    """Where it is a number; never more than anybody can mean."""
    assert pool_size("python3.13", RUNTIME, {"pool-size.kubelambda.dev/python3.13": annotation}) == size
