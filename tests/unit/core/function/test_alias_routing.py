"""Where an alias leads, and how it moves (§1.5.2, §5.7)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelambda.api.conditions import Condition
from kubelambda.api.kinds.alias import AliasSpec, AliasStatus, RoutingConfig
from kubelambda.api.kinds.provisioned_concurrency import AliasProvisionedConcurrency, ProvisionedConcurrencyState
from kubelambda.api.reasons import Reason
from kubelambda.core.account.reserved_concurrency import Grant
from kubelambda.core.function.alias_routing import LEAVE_S, AliasObservation, VersionState, decide_alias
from kubelambda.core.function.provisioning import Provision
from kubelambda.core.function.version_route import VersionRoute

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WARM = AliasProvisionedConcurrency(provisioned_concurrent_executions=2, progress_deadline_seconds=60)


def spec(version: str, *, warm: bool = False, weights: dict[str, float] | None = None) -> AliasSpec:
    """The alias `live`."""
    return AliasSpec(
        function_name="hello",
        name="live",
        function_version=version,
        routing_config=RoutingConfig(additional_version_weights=weights) if weights else None,
        provisioned_concurrency=WARM if warm else None,
    )


PLAIN = AliasObservation(
    generation=1,
    spec=spec("1"),
    before=AliasStatus(),
    arn="arn:aws:lambda:us-east-1:123456789012:function:hello",
    function_exists=True,
    elder=None,
    versions={"$LATEST": VersionState(), **{str(n): VersionState() for n in range(1, 5)}},
)
ROUTED = decide_alias(PLAIN, NOW).status
PROVISIONED = replace(
    PLAIN, before=ROUTED, spec=spec("2", warm=True), requested=2, grant=Grant(2), provisions={"1": Provision(2)}
)


def ready(status: AliasStatus) -> Condition:
    """Its Ready condition."""
    return next(each for each in status.conditions if each.type == "Ready")


def test_a_route_is_taken_at_once_without_provisioned_environments() -> None:
    """And deciding it again changes nothing, not even a time."""
    assert (ROUTED.routed_version, ready(ROUTED).status) == ("1", "True")
    moved = decide_alias(replace(PLAIN, before=ROUTED, spec=spec("2", weights={"1": 0.5})), NOW).status
    assert (moved.routed_version, moved.routed_version_weights) == ("2", {"1": 0.5})
    again = replace(PLAIN, before=moved, spec=spec("2", weights={"1": 0.5}))
    assert decide_alias(again, NOW + timedelta(hours=1)).status == moved


def test_a_move_waits_for_all_environments() -> None:
    """Both sets are kept; the clock of the deadline starts once and is looked at in time."""
    begun = decide_alias(PROVISIONED, NOW)
    assert begun.status.routed_version == "1"
    assert begun.replicas == {"1": 2, "2": 2}
    assert begun.look_again_s == 60
    half = replace(PROVISIONED, before=begun.status, provisions={"1": Provision(2), "2": Provision(1)})
    later = decide_alias(half, NOW + timedelta(seconds=20))
    assert (later.status.move, later.look_again_s) == (begun.status.move, 40)
    done = decide_alias(replace(half, provisions={"1": Provision(2), "2": Provision(2)}), NOW + timedelta(seconds=30))
    assert (done.status.routed_version, done.status.move, done.replicas) == ("2", None, {"1": 2, "2": 2})
    assert done.look_again_s == LEAVE_S
    left = decide_alias(
        replace(half, before=done.status, provisions={"1": Provision(2), "2": Provision(2)}),
        NOW + timedelta(seconds=31),
    )
    assert (left.replicas, left.look_again_s) == ({"2": 2}, None)


def test_a_late_move_is_told_and_goes_on() -> None:
    """The old version still serves; another target begins anew."""
    begun = decide_alias(PROVISIONED, NOW)
    late = decide_alias(replace(PROVISIONED, before=begun.status), NOW + timedelta(seconds=61))
    assert ready(late.status).reason == Reason.PROGRESS_DEADLINE_EXCEEDED
    assert (late.status.routed_version, late.look_again_s) == ("1", None)
    assert late.replicas == {"1": 2, "2": 2}
    other = replace(PROVISIONED, before=late.status, spec=spec("3", warm=True))
    anew = decide_alias(other, NOW + timedelta(seconds=62))
    assert ready(anew.status).reason == Reason.IN_PROGRESS
    assert anew.replicas == {"1": 2, "3": 2}
    back = decide_alias(replace(other, before=anew.status, spec=spec("1", warm=True)), NOW + timedelta(seconds=63))
    assert (back.status.routed_version, back.status.move, back.replicas) == ("1", None, {"1": 2})


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"elder": "another"}, Reason.DUPLICATE),
        ({"function_exists": False}, Reason.FUNCTION_NOT_FOUND),
        ({"spec": spec("9")}, Reason.VERSION_NOT_FOUND),
        ({"spec": spec("2", weights={"9": 0.1})}, Reason.VERSION_NOT_FOUND),
        ({"spec": spec("2", weights={"2": 0.1})}, Reason.INVALID_SPEC),
        ({"versions": {"1": VersionState(), "2": VersionState(fault="broken")}, "spec": spec("2")}, "VersionNotReady"),
    ],
)
def test_what_is_in_the_way_is_told_and_moves_nothing(changed: dict[str, object], reason: str) -> None:
    """Callers get what they got, unless the alias is another's or there is no function."""
    status = decide_alias(replace(PLAIN, before=ROUTED, **changed), NOW).status  # type: ignore[arg-type]
    assert (ready(status).status, ready(status).reason) == ("False", reason)
    kept = "elder" not in changed and "function_exists" not in changed
    assert status.routed_version == ("1" if kept else None)


def test_the_newest_version_with_the_code_is_meant() -> None:
    """By number, not by name."""
    code = "A" * 43 + "="
    wanted = AliasSpec(function_name="hello", name="live", code_sha256=code)
    versions = {number: VersionState(code) for number in ("2", "10", "9")} | {"11": VersionState("other")}
    status = decide_alias(replace(PLAIN, spec=wanted, versions=versions), NOW).status
    assert (status.function_version, status.routed_version) == ("10", "10")


def test_a_refused_grant_moves_the_route_and_says_why() -> None:
    """Callers are not kept on an old version for environments that will never come."""
    status = decide_alias(replace(PROVISIONED, grant=Grant(0, "too much")), NOW).status
    assert status.routed_version == "2"
    assert status.provisioned_concurrency is not None
    assert status.provisioned_concurrency.status is ProvisionedConcurrencyState.FAILED
    assert status.provisioned_concurrency.status_reason == "too much"


def test_a_failure_is_of_the_version_that_failed() -> None:
    """Another version begins without it."""
    failing = replace(PROVISIONED, spec=spec("1", warm=True), provisions={"1": Provision(failure="FUNCTION_ERROR")})
    failed = decide_alias(failing, NOW).status
    assert failed.provisioned_concurrency is not None
    assert failed.provisioned_concurrency.status == "FAILED"
    still = decide_alias(replace(failing, before=failed, provisions={}), NOW).status.provisioned_concurrency
    assert still is not None
    assert still.status == "FAILED"
    edited = replace(failing, before=failed, generation=2, spec=spec("2", warm=True), provisions={})
    begun = decide_alias(edited, NOW).status.provisioned_concurrency
    assert begun is not None
    assert begun.status == "IN_PROGRESS"


def test_what_the_scaler_says_is_left_to_it() -> None:
    """Its condition stays as it is."""
    active = Condition(
        type="ScalingActive", status="True", reason="Within", last_transition_time="2026-01-01T00:00:00Z"
    )
    before = ROUTED.model_copy(update={"conditions": [*ROUTED.conditions, active]})
    assert active in decide_alias(replace(PLAIN, before=before), NOW).status.conditions


@given(st.integers(0, 50), st.floats(0, 1))
def test_shares_are_the_whole(environments: int, weight: float) -> None:
    """Whatever the weight: no environment more and none less."""
    shares = VersionRoute("1", {"2": weight}).shares(environments)
    assert sum(shares.values()) == environments
    assert min(shares.values()) >= 0


@given(
    st.lists(
        st.tuples(st.sampled_from("1234"), st.dictionaries(st.sampled_from("1234"), st.integers(0, 3))), max_size=12
    )
)
def test_no_history_of_moves_leaves_a_served_version_without_environments(
    history: list[tuple[str, dict[str, int]]],
) -> None:
    """A version is routed to when all its environments are there, or was before; while it is, they are kept."""
    status = ROUTED
    for step, (version, available) in enumerate(history):
        observed = replace(
            PROVISIONED,
            before=status,
            spec=spec(version, warm=True),
            provisions={name: Provision(count) for name, count in available.items()},
        )
        decision = decide_alias(observed, NOW + timedelta(seconds=step * 40))
        routed = decision.status.routed_version
        assert routed is not None
        assert routed == status.routed_version or available.get(routed, 0) >= 2
        assert decision.replicas[routed] == 2
        assert set(decision.replicas) <= {routed, version, status.routed_version}
        status = decision.status
