"""Access points, claims and what environments mount (§10.2)."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from kubelambda.api.kinds.access_point import AccessPointSpec, AccessPointStatus, PosixUser
from kubelambda.api.kinds.function_mounts import FileSystemConfig
from kubelambda.api.reasons import Reason
from kubelambda.core.file_system.access_point_arn import access_point_arn, access_point_name
from kubelambda.core.file_system.mounts import (
    AccessPointFacts,
    FoundClaim,
    claim_problem,
    decide_access_point,
    deployed_file_systems,
    network_problem,
    unbound,
    volume_zones,
)
from kubelambda.core.function.observation import Problem

NOW = datetime(2026, 1, 2, tzinfo=UTC)
CONFIG = FileSystemConfig(arn="shared", local_mount_path="/mnt/data")


@pytest.mark.parametrize(
    "arn", ["shared", "arn:aws:elasticfilesystem:us-east-1:123456789012:access-point/shared", "a:b:shared"]
)
def test_an_arn_ends_in_the_name(arn: str) -> None:
    """Whatever stands before it."""
    assert access_point_name(arn) == "shared"
    assert access_point_name(access_point_arn("us-east-1", "123456789012", "shared")) == "shared"


def test_the_whole_volume_has_no_sub_path() -> None:
    """The root directory / is all of it."""
    facts = AccessPointFacts(AccessPointSpec(persistent_volume_claim="data"), ready=True, message="")
    found = deployed_file_systems([CONFIG], {"shared": facts})
    assert isinstance(found, tuple)
    assert (found[0].claim, found[0].sub_path, found[0].uid) == ("data", "", None)


def test_an_access_point_that_was_not_looked_at_yet_is_waited_for() -> None:
    """It is no failure of the function that is made with it."""
    spec = AccessPointSpec(persistent_volume_claim="data")
    facts = AccessPointFacts(spec, ready=False, message="was not looked at yet", looked_at=False)
    found = deployed_file_systems([CONFIG], {"shared": facts})
    assert found == Problem(Reason.IN_PROGRESS, "AccessPoint shared was not looked at yet")


def test_an_access_point_that_is_not_ready_says_why() -> None:
    """The words of its own condition."""
    facts = AccessPointFacts(AccessPointSpec(persistent_volume_claim="data"), ready=False, message="no claim")
    found = deployed_file_systems([CONFIG], {"shared": facts})
    assert isinstance(found, Problem)
    assert found.message == "AccessPoint shared cannot be mounted: no claim"


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        (None, "does not exist"),
        (
            {"spec": {"accessModes": ["ReadWriteOnce"]}, "status": {"phase": "Bound"}},
            "has the access mode ReadWriteOnce",
        ),
        ({"spec": {"accessModes": ["ReadWriteMany"]}, "status": {"phase": "Lost"}}, "has lost its volume"),
        (
            {"metadata": {"deletionTimestamp": "now"}, "spec": {"accessModes": ["ReadWriteMany"]}},
            "is being deleted: nothing new can mount it; it stays until it is not used any more by Function f",
        ),
    ],
)
def test_claims_that_cannot_be_shared(claim: dict[str, Any] | None, said: str) -> None:
    """Each with its own words."""
    problem = claim_problem("data", claim, ["Function f"])
    assert problem is not None
    assert said in problem.message


def test_a_claim_that_waits_for_its_first_pod_is_no_problem() -> None:
    """Many classes bind only then."""
    claim = {"metadata": {}, "spec": {"accessModes": ["ReadWriteMany"]}, "status": {"phase": "Pending"}}
    assert claim_problem("data", claim) is None
    assert unbound(claim)
    assert FoundClaim("data", bound=False).fact[1:3] == ("True", "ClaimUnbound")


def affinity(*terms: dict[str, list[str]]) -> dict[str, Any]:
    """A volume that some nodes can mount."""
    written = [
        {"matchExpressions": [{"key": key, "operator": "In", "values": values} for key, values in term.items()]}
        for term in terms
    ]
    return {"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": written}}}}


ZONE = "topology.kubernetes.io/zone"


@pytest.mark.parametrize(
    ("volume", "zones"),
    [
        ({"spec": {}}, ()),
        (affinity({ZONE: ["b", "a"]}), ("a", "b")),
        (affinity({ZONE: ["a"]}, {ZONE: ["b"]}), ("a", "b")),
        (affinity({ZONE: ["a"], "kubernetes.io/hostname": ["n"]}), ("a",)),
        (affinity({ZONE: ["a"]}, {"kubernetes.io/hostname": ["n"]}), ()),
        (affinity({"failure-domain.beta.kubernetes.io/zone": ["a"]}), ("a",)),
    ],
)
def test_a_volume_says_in_which_zones_it_can_be_mounted(volume: dict[str, Any], zones: tuple[str, ...]) -> None:
    """Or nothing, when it can be everywhere."""
    assert volume_zones(volume) == zones


def test_a_volume_in_none_of_the_zones_of_the_subnets_cannot_be_mounted() -> None:
    """One that shares a zone with them can, there."""
    spec = AccessPointSpec(persistent_volume_claim="data")
    facts = {"shared": AccessPointFacts(spec, ready=True, message="", zones=("a", "b"))}
    problem = deployed_file_systems([CONFIG], facts, ["c"])
    assert isinstance(problem, Problem)
    assert problem.message == (
        "AccessPoint shared cannot be mounted: its volume is in a, b, and the function's subnets are in c"
    )
    found = deployed_file_systems([CONFIG], facts, ["b", "c"])
    assert isinstance(found, tuple)
    assert found[0].zones == ("a", "b")


def test_a_claim_that_nobody_lets_go_is_said_to_stay() -> None:
    """It was held before the admission policy was switched off: whoever deletes it must take the finalizer away."""
    before = AccessPointStatus(observed_generation=1)
    found = FoundClaim("data", bound=True)
    status = decide_access_point(before, 1, found, NOW, held=["data"], unheld=["data"], stuck=["data"])
    (told,) = [each for each in status.conditions if each.type == "ClaimHeld"]
    assert (told.status, told.reason) == ("True", "NotLetGo")
    assert "until somebody takes its finalizer kubelambda.dev/access-point-claim away" in told.message
    assert decide_access_point(status, 1, found, NOW).conditions[1:] == []


def test_a_vpc_is_needed_where_the_installation_says_so() -> None:
    """As on Lambda."""
    assert network_problem([CONFIG], closed=False, required=False) is None
    assert network_problem([CONFIG], closed=True, required=True) is None
    problem = network_problem([CONFIG], closed=False, required=True)
    assert problem is not None
    assert problem.message == "Function must be configured to execute in a VPC to reference access point shared."


def test_no_user_is_larger_than_a_pod_may_have() -> None:
    """Kubernetes refuses pods with one beyond 31 bits: a shape with that would never get an environment."""
    with pytest.raises(ValidationError):
        PosixUser(uid=2**31, gid=1)
    assert PosixUser(uid=2**31 - 1, gid=1).uid == 2**31 - 1
