"""How often pods are tried whose INIT fails is remembered for as long as somebody keeps such pods, and no longer."""

import gc
from types import SimpleNamespace
from typing import Any, cast

from kubelambda.core.environment.start_backoff import StartBackoff
from kubelambda.frontend.account.provisioned_pods import ProvisionedPods


class Version:
    """What of a dispatcher is looked at."""

    def __init__(self, *qualifiers: str) -> None:
        self.target = SimpleNamespace(configuration=SimpleNamespace(revision="r1"))
        self.placement = SimpleNamespace(share=SimpleNamespace(provisioned=dict.fromkeys(qualifiers)))


def pods() -> ProvisionedPods:
    """Nothing of the cluster is asked."""
    nothing = cast("Any", None)
    return ProvisionedPods(nothing, nothing, nothing, nothing)


def backoff(found: ProvisionedPods, version: Version, qualifier: str) -> StartBackoff:
    """The one of a qualifier."""
    return found._backoff(cast("Any", version), qualifier)


def test_failures_are_remembered_from_pod_to_pod() -> None:
    """Those of another qualifier of the same version are its own."""
    found, version = pods(), Version("live", "next")
    first = backoff(found, version, "live")
    assert backoff(found, version, "next") is not first
    assert backoff(found, version, "live") is first


def test_what_nobody_keeps_pods_for_is_forgotten() -> None:
    """Another revision, a qualifier that is not provisioned any more, and a version that is gone."""
    found, version = pods(), Version("live", "next")
    first = backoff(found, version, "live")
    backoff(found, version, "next")
    version.placement.share.provisioned = {"live": None}
    assert backoff(found, version, "live") is first
    assert len(found._backoffs[cast("Any", version)]) == 1
    version.target.configuration.revision = "r2"
    assert backoff(found, version, "live") is not first
    assert len(found._backoffs[cast("Any", version)]) == 1
    del version
    gc.collect()
    assert not len(found._backoffs)
