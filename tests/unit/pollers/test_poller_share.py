"""Every mapping has one owner among the pollers that are ready."""

from typing import Any, cast

from kubelambda.kube.kube_client import KubeClient
from kubelambda.pollers.poller_share import PollerShare, ready_pollers

MAPPINGS = [f"uid-{number}" for number in range(200)]
READY = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]


def shares(ready: list[str]) -> list[PollerShare]:
    """The pollers of three pods, all of which see the same of them ready."""
    found = []
    for address in READY:
        share = PollerShare(cast("KubeClient", None), "system", "pollers", address, lambda: None)
        share.reflector.items[("system", "pollers-x")] = frozenset(ready)
        found.append(share)
    return found


def owners(ready: list[str]) -> dict[str, list[int]]:
    """Numbers of the pollers that own each mapping."""
    found = shares(ready)
    return {uid: [number for number, share in enumerate(found) if share.owns(uid)] for uid in MAPPINGS}


def test_each_mapping_has_one_owner_and_each_poller_its_share() -> None:
    """None is polled twice, none is forgotten."""
    found = owners(READY)
    assert all(len(numbers) == 1 for numbers in found.values())
    assert all(sum(numbers == [poller] for numbers in found.values()) > 40 for poller in range(3))


def test_only_the_mappings_of_a_poller_that_went_move() -> None:
    """And the one that is not ready, or not known to be, works nothing."""
    before, after = owners(READY), owners(READY[:2])
    assert all(after[uid] == numbers for uid, numbers in before.items() if numbers != [2])
    assert all(numbers in ([0], [1]) for numbers in after.values())
    assert not any(owners([]).values())


def test_only_ready_endpoints_count() -> None:
    """A poller that drains, or has not read the mappings yet, is none."""
    endpoints: list[dict[str, Any]] = [
        {"addresses": ["10.0.0.1"], "conditions": {"ready": True}},
        {"addresses": ["10.0.0.2"], "conditions": {"ready": False}},
        {"addresses": ["10.0.0.3"]},
    ]
    assert ready_pollers({"endpoints": endpoints}) == {"10.0.0.1"}
    assert ready_pollers({"endpoints": None}) == frozenset()
