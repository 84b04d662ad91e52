"""Which pool can serve a function, decided by what a pod cannot change any more."""

import pytest

from kubelambda.core.environment.shape import GENERIC, PodSource, Shape, function_shape, start_plan


def test_everything_else_comes_with_the_claim() -> None:
    """A function that asks for nothing special has the shape of every pool pod."""
    assert function_shape(0) == function_shape(512) == GENERIC
    assert GENERIC.id == ""


@pytest.mark.parametrize(
    "shape",
    [
        Shape(ephemeral_storage_mb=513),
        Shape(image="mine"),
        Shape(volumes=("claim",)),
        Shape(node_selector=(("zone", "a"),)),
        Shape(network="closed"),
        Shape(service_account="robot"),
        Shape(runtime_class="gvisor"),
    ],
)
def test_whatever_is_fixed_with_the_pod_makes_a_shape_of_its_own(shape: Shape) -> None:
    """No generic pool pod can serve it; its id tells it from all others and is a label's value."""
    assert not shape.generic
    assert shape.id.isalnum()
    assert shape.id != Shape(image="other").id
    assert start_plan(shape, 100, 3072).source is PodSource.OWN


def test_a_pool_pod_serves_the_generic_shape() -> None:
    """And gets the function's size first when its own limit is too small to run in."""
    assert start_plan(GENERIC, 3072, 3072).source is PodSource.POOL
    assert not start_plan(GENERIC, 3072, 3072).enlarge_first
    assert start_plan(GENERIC, 3073, 3072).enlarge_first


def test_a_pool_pod_that_did_not_do_is_not_tried_again() -> None:
    """A pod of its own has the right size from the start."""
    plan = start_plan(GENERIC, 3073, 3072, own_pod=True)
    assert plan.source is PodSource.OWN
    assert not plan.enlarge_first
