"""Sizes of environments."""

import pytest

from kubelambda.core.environment.sizing import Resources, bandwidth_mbit, cpu_milli, function_resources, megabytes


@pytest.mark.parametrize(
    ("quantity", "size"),
    [("1817Mi", 1817), ("3Gi", 3072), ("2048Ki", 2), ("1905262592", 1817), ("", 0), ("1e3", 0), ("plenty", 0)],
)
def test_memory_as_a_kubelet_reports_it(quantity: str, size: int) -> None:
    """In its canonical form."""
    assert megabytes(quantity) == size


@pytest.mark.parametrize(("memory_size", "cpu"), [(128, 73), (1769, 1000), (3538, 2000), (10240, 5789)])
def test_cpu_follows_memory(memory_size: int, cpu: int) -> None:
    """One core for 1769 MB (§1.3)."""
    assert cpu_milli(memory_size) == cpu


def test_limits_that_every_node_grants_keep_the_requests_of_a_pool() -> None:
    """And stay above them, so that the pod's class does not change."""
    unclaimed = Resources(48, 3072, 10, 2000)
    wanted = function_resources(1769, overhead_mb=48, memory_ratio=0.5, cpu_ratio=0.1)
    assert wanted.limits_only(unclaimed) == Resources(48, 1817, 10, 1000)


@pytest.mark.parametrize(("memory_size", "mbit"), [(128, 75), (129, 150), (1024, 600), (1769, 1200), (10_240, 6000)])
def test_the_network_follows_the_memory_in_steps(memory_size: int, mbit: int) -> None:
    """Of doubling memory; the last one is the most that there is."""
    assert bandwidth_mbit(memory_size, 600) == mbit
    assert bandwidth_mbit(memory_size, 0) is None
