"""The status of a Function out of what was observed (§1.4)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kubelambda.api.conditions import Condition
from kubelambda.api.kinds.deployed_configuration import DeployedCode
from kubelambda.api.kinds.environment_variables import EnvironmentVariables
from kubelambda.api.kinds.function import FunctionSpec, FunctionStatus, LastUpdateStatus, State
from kubelambda.api.kinds.function_code import Code
from kubelambda.api.kinds.runtime import RuntimeSpec
from kubelambda.api.reasons import Reason
from kubelambda.core.account.reserved_concurrency import Grant
from kubelambda.core.function.function_status import decide
from kubelambda.core.function.observation import Observation, Problem
from kubelambda.core.network.enforcement_probe import SWITCHED_OFF, UNTRIED, EnforcementVerdict
from kubelambda.core.pool.runtime_status import PoolFailure

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_900, tzinfo=UTC)
SPEC = FunctionSpec(runtime="python3.13", handler="index.handler", code=Code(inline="x = 1"))
RUNTIME = RuntimeSpec(image="python:1", inline_file_name="index.py")
CODE = DeployedCode(sha256="ab" * 32, size=121)
GOOD = Observation(
    name="hello",
    generation=1,
    arn="arn:aws:lambda:us-east-1:123456789012:function:hello",
    before=FunctionStatus(observed_generation=-1, state=State.PENDING),
    grant=Grant(None),
    spec=SPEC,
    runtime=RUNTIME,
    code=CODE,
)


def condition(status: FunctionStatus, kind: str) -> Condition | None:
    """A condition by its type."""
    return next((each for each in status.conditions if each.type == kind), None)


def summary(status: FunctionStatus) -> dict[str, str]:
    """Status of every condition."""
    return {each.type: each.status for each in status.conditions}


def test_a_good_function_is_active() -> None:
    """Everything that Lambda's GetFunction tells."""
    status = decide(GOOD, NOW)
    assert (status.state, status.last_update_status) == (State.ACTIVE, LastUpdateStatus.SUCCESSFUL)
    assert status.state_reason is None
    assert status.function_arn == GOOD.arn
    assert (status.code_size, status.code_sha256) == (121, "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=")
    assert status.last_modified == "2026-01-02T03:04:05.678+0000"
    assert status.observed_generation == 1
    assert status.deployed is not None
    assert status.deployed.log_group == "/aws/lambda/hello"
    assert summary(status) == {
        "Ready": "True",
        "RuntimeReady": "True",
        "CodeReady": "True",
        "ConcurrencyGranted": "True",
    }


def test_deciding_twice_changes_nothing() -> None:
    """Not even a time: an unchanged status is not written."""
    status = decide(GOOD, NOW)
    assert decide(replace(GOOD, before=status), NOW + timedelta(hours=1)) == status


def test_a_first_fetch_is_pending() -> None:
    """With Lambda's words, and nothing that could be invoked."""
    status = decide(replace(GOOD, code=None), NOW)
    assert (status.state, status.state_reason) == (State.PENDING, "The function is being created.")
    assert status.state_reason_code == "Creating"
    assert (status.deployed, status.last_update_status) == (None, None)
    assert summary(status)["CodeReady"] == "Unknown"
    assert summary(status)["Reconciling"] == "True"


def test_an_update_in_progress_leaves_the_function_active() -> None:
    """The previous deployment serves until the new one is published."""
    before = decide(GOOD, NOW)
    status = decide(replace(GOOD, before=before, generation=2, code=None), NOW)
    assert (status.state, status.last_update_status) == (State.ACTIVE, LastUpdateStatus.IN_PROGRESS)
    assert status.last_update_status_reason_code == "Creating"
    assert status.deployed == before.deployed


PROBLEMS: dict[str, Any] = {
    "spec": Problem(Reason.INVALID_SPEC, "no", terminal=True),
    "runtime": Problem(Reason.RUNTIME_NOT_FOUND, "no"),
    "code": Problem(Reason.INVALID_CODE, "no", terminal=True),
    "references": Problem(Reason.REFERENCE_MISSING, "no"),
}


@pytest.mark.parametrize(
    ("part", "code"),
    [
        ("spec", "InvalidConfiguration"),
        ("runtime", "InvalidRuntime"),
        ("code", "InvalidZipFileException"),
        ("references", "InvalidConfiguration"),
    ],
)
def test_a_function_that_never_worked_has_failed(part: str, code: str) -> None:
    """The state says why, in a person's and in Lambda's words."""
    status = decide(replace(GOOD, **{part: PROBLEMS[part]}), NOW)
    assert (status.state, status.state_reason, status.state_reason_code) == (State.FAILED, "no", code)
    assert status.deployed is None
    ready = condition(status, "Ready")
    assert ready is not None
    assert (ready.status, ready.reason, ready.message) == ("False", PROBLEMS[part].reason, "no")


@pytest.mark.parametrize("part", PROBLEMS)
def test_a_failed_update_leaves_the_previous_deployment(part: str) -> None:
    """State stays Active, the update has Failed, and the time of modification stays."""
    before = decide(GOOD, NOW)
    observed = replace(GOOD, before=before, generation=2, **{part: PROBLEMS[part]})
    status = decide(observed, NOW + timedelta(hours=1))
    assert (status.state, status.last_update_status) == (State.ACTIVE, LastUpdateStatus.FAILED)
    assert (status.last_update_status_reason, status.state_reason) == ("no", None)
    assert status.deployed == before.deployed
    assert status.last_modified == before.last_modified
    assert status.observed_generation == 2
    assert decide(replace(observed, before=status), NOW).last_update_status is LastUpdateStatus.FAILED


NAMED: dict[str, Any] = {
    "runtime": PROBLEMS["runtime"],
    "references": PROBLEMS["references"],
    "network": Problem(Reason.SUBNET_OUT_OF_IP_ADDRESSES, "no node"),
    "file_systems": Problem(Reason.FILE_SYSTEM_UNAVAILABLE, "gone"),
}


def test_a_file_system_that_was_not_looked_at_yet_is_waited_for() -> None:
    """Pending, or the update is in progress; of what is deployed, only conditions tell it."""
    awaited = Problem(Reason.IN_PROGRESS, "AccessPoint shared was not looked at yet")
    first = decide(replace(GOOD, file_systems=awaited), NOW)
    assert (first.state, first.state_reason_code, first.deployed) == (State.PENDING, "Creating", None)
    assert summary(first)["FileSystemReady"] == "Unknown"
    before = decide(GOOD, NOW)
    updated = decide(replace(GOOD, before=before, generation=2, file_systems=awaited), NOW)
    assert (updated.state, updated.last_update_status) == (State.ACTIVE, LastUpdateStatus.IN_PROGRESS)
    later = decide(replace(GOOD, before=before, file_systems=awaited), NOW)
    assert (later.last_update_status, summary(later)["Ready"]) == (LastUpdateStatus.SUCCESSFUL, "False")


@pytest.mark.parametrize("part", NAMED)
def test_what_goes_missing_later_is_no_failed_update(part: str) -> None:
    """Nobody updated the function: conditions tell it, until it is there again, and an update meanwhile does fail."""
    before = decide(GOOD, NOW)
    missing = replace(GOOD, before=before, **{part: NAMED[part]})
    status = decide(missing, NOW)
    assert (status.state, status.last_update_status) == (State.ACTIVE, LastUpdateStatus.SUCCESSFUL)
    assert (status.last_update_status_reason, status.last_update_status_reason_code) == (None, None)
    assert status.deployed == before.deployed
    ready = condition(status, "Ready")
    assert ready is not None
    assert (ready.status, ready.reason, ready.message) == ("False", NAMED[part].reason, NAMED[part].message)
    assert decide(replace(missing, before=status), NOW + timedelta(hours=1)) == status
    assert decide(replace(missing, before=status, generation=2), NOW).last_update_status is LastUpdateStatus.FAILED
    assert summary(decide(replace(GOOD, before=status), NOW))["Ready"] == "True"


def test_code_that_changes_where_it_is_kept_is_an_update() -> None:
    """Though the spec is as it was: a ConfigMap, say, has other text now, which cannot be used."""
    status = decide(replace(GOOD, before=decide(GOOD, NOW), code=PROBLEMS["code"]), NOW)
    assert (status.state, status.last_update_status) == (State.ACTIVE, LastUpdateStatus.FAILED)


@pytest.mark.parametrize(
    ("code", "update"),
    [
        (PROBLEMS["code"], LastUpdateStatus.FAILED),
        (CODE.model_copy(update={"sha256": "cd" * 32}), LastUpdateStatus.FAILED),
        (CODE, LastUpdateStatus.SUCCESSFUL),
        (None, LastUpdateStatus.SUCCESSFUL),
        (Problem(Reason.CODE_STORE_UNAVAILABLE, "away"), LastUpdateStatus.SUCCESSFUL),
    ],
    ids=["unusable", "other", "same", "unknown", "away"],
)
@pytest.mark.parametrize("part", ["references", "network", "file_systems"])
def test_what_went_missing_hides_no_failed_update(
    part: str, code: DeployedCode | Problem | None, update: LastUpdateStatus
) -> None:
    """Other code that is not deployed because of it, or for a fault of its own; the same code was deployed."""
    before = decide(GOOD, NOW)
    observed = replace(GOOD, before=before, code=code, **{part: NAMED[part]})
    status = decide(observed, NOW)
    assert (status.last_update_status, status.deployed) == (update, before.deployed)
    assert decide(replace(observed, before=status), NOW + timedelta(hours=1)) == status
    again = decide(replace(observed, before=status, code=CODE, **{part: getattr(GOOD, part)}), NOW)
    assert again.last_update_status is LastUpdateStatus.SUCCESSFUL


@pytest.mark.parametrize(("part", "kind"), [("spec", "Stalled"), ("runtime", "Reconciling"), ("code", "Stalled")])
def test_kstatus_knows_what_is_worth_waiting_for(part: str, kind: str) -> None:
    """Stalled when only a person can help, Reconciling while it is tried again, neither when all is well."""
    kinds = summary(decide(replace(GOOD, **{part: PROBLEMS[part]}), NOW))
    assert {"Stalled", "Reconciling"} & kinds.keys() == {kind}
    assert not {"Stalled", "Reconciling"} & summary(decide(GOOD, NOW)).keys()


def test_a_code_store_that_is_down_is_our_fault() -> None:
    """The function has not failed: it waits."""
    problem = Problem(Reason.CODE_STORE_UNAVAILABLE, "the code store does not answer")
    status = decide(replace(GOOD, code=problem), NOW)
    assert (status.state, status.state_reason_code) == (State.PENDING, "InternalError")


def test_a_refused_reservation_is_told_and_the_rest_is_deployed() -> None:
    """The previous grant stays in force."""
    status = decide(replace(GOOD, grant=Grant(5, "too much")), NOW)
    assert (status.state, status.reserved_concurrent_executions) == (State.ACTIVE, 5)
    assert status.deployed is not None
    ready, granted = condition(status, "Ready"), condition(status, "ConcurrencyGranted")
    assert ready is not None
    assert granted is not None
    assert (ready.status, ready.reason, ready.message) == ("False", Reason.REFUSED, "too much")
    assert (granted.status, granted.reason) == ("False", Reason.REFUSED)
    assert summary(status)["Stalled"] == "True"


def test_a_destination_that_is_missing_is_told_and_fails_nothing() -> None:
    """Not Ready, as a Secret that is missing has it; but what runs needs none of it, and an update goes through."""
    missing = replace(GOOD, destinations=("DestinationsReady", "False", Reason.TARGET_NOT_FOUND, "no sink"))
    for observed in (missing, replace(missing, before=decide(GOOD, NOW), generation=2)):
        status = decide(observed, NOW)
        assert (status.state, status.last_update_status) == (State.ACTIVE, LastUpdateStatus.SUCCESSFUL)
        assert status.deployed is not None
        ready = condition(status, "Ready")
        assert ready is not None
        assert (ready.status, ready.reason, ready.message) == ("False", "TargetNotFound", "no sink")
        assert summary(status)["DestinationsReady"] == "False"
        assert "Reconciling" in summary(status)
    there = replace(GOOD, destinations=("DestinationsReady", "True", Reason.TARGETS_FOUND, "sink"), before=status)
    assert (summary(decide(there, NOW))["Ready"], summary(decide(there, NOW))["DestinationsReady"]) == ("True", "True")
    assert "DestinationsReady" not in summary(decide(replace(GOOD, before=status), NOW))


def test_a_pool_without_an_environment_that_gets_none_is_told_and_fails_nothing() -> None:
    """Not Ready, in kstatus's words in progress; what is deployed can be invoked, and an update goes through."""
    failing = replace(GOOD, pool_failure=PoolFailure("no image", exhausted=True))
    for observed in (failing, replace(failing, before=decide(GOOD, NOW), generation=2)):
        status = decide(observed, NOW)
        assert (status.state, status.last_update_status) == (State.ACTIVE, LastUpdateStatus.SUCCESSFUL)
        assert (status.state_reason, status.last_update_status_reason) == (None, None)
        assert status.deployed is not None
        ready, runtime = condition(status, "Ready"), condition(status, "RuntimeReady")
        assert ready is not None
        assert runtime is not None
        assert {(each.status, each.reason, each.message) for each in (ready, runtime)} == {
            ("False", "PoolFailing", "no image")
        }
        assert "Reconciling" in summary(status)
        assert "Stalled" not in summary(status)
        again = summary(decide(replace(GOOD, before=status), NOW))
        assert (again["Ready"], again["RuntimeReady"]) == ("True", "True")
        assert "Reconciling" not in again


def test_a_pool_that_does_not_fill_and_has_environments_leaves_the_function_ready() -> None:
    """A registry that is away for a while is no fault of every function."""
    status = decide(replace(GOOD, pool_failure=PoolFailure("no image", exhausted=False)), NOW)
    assert (summary(status)["Ready"], summary(status)["RuntimeReady"]) == ("True", "False")
    assert not {"Stalled", "Reconciling"} & summary(status).keys()


@pytest.mark.parametrize("part", ["code", "references"])
def test_what_keeps_a_function_from_being_deployed_is_told_before_its_pool(part: str) -> None:
    """That is what its author can mend."""
    failing = replace(GOOD, pool_failure=PoolFailure("no image", exhausted=True), **{part: PROBLEMS[part]})
    ready = condition(decide(failing, NOW), "Ready")
    assert ready is not None
    assert (ready.reason, ready.message) == (PROBLEMS[part].reason, "no")


@pytest.mark.parametrize(
    "changed",
    [
        {"spec": SPEC.model_copy(update={"timeout": 4})},
        {"spec": SPEC.model_copy(update={"environment": EnvironmentVariables(variables={"AB": "x"})})},
        {"code": DeployedCode(sha256="cd" * 32, size=121)},
        {"runtime": RUNTIME.model_copy(update={"image": "python:2"})},
        {"runtime": RUNTIME.model_copy(update={"bootstrap": ["/bin/sh"]})},
    ],
    ids=["timeout", "environment", "code", "image", "bootstrap"],
)
def test_the_revision_covers_what_environments_are_made_from(changed: dict[str, Any]) -> None:
    """Environments of the previous revision must not serve any more."""
    before, after = decide(GOOD, NOW).deployed, decide(replace(GOOD, **changed), NOW).deployed
    assert before is not None
    assert after is not None
    assert before.revision != after.revision


def test_a_description_or_a_pool_size_is_no_new_revision() -> None:
    """Nothing that runs changes."""
    before = decide(GOOD, NOW)
    spec = SPEC.model_copy(update={"description": "new"})
    runtime = RUNTIME.model_copy(update={"pool": RUNTIME.pool.model_copy(update={"size": 9})})
    status = decide(replace(GOOD, before=before, spec=spec, runtime=runtime), NOW + timedelta(hours=1))
    assert status.deployed == before.deployed
    assert status.last_modified == before.last_modified


def test_a_new_image_of_the_runtime_is_no_modification() -> None:
    """The revision changes, LastModified does not: nobody changed the function."""
    before = decide(GOOD, NOW)
    runtime = RUNTIME.model_copy(update={"image": "python:2"})
    status = decide(replace(GOOD, before=before, runtime=runtime), NOW + timedelta(hours=1))
    assert status.deployed != before.deployed
    assert status.last_modified == before.last_modified


def test_transition_times_move_with_the_status_only() -> None:
    """A new message or generation leaves them."""
    before = decide(replace(GOOD, code=PROBLEMS["code"]), NOW)
    later = NOW + timedelta(minutes=1)
    same = decide(replace(GOOD, before=before, generation=2, code=PROBLEMS["code"]), later)
    other = decide(replace(GOOD, before=before, generation=2), later)
    times = [each.last_transition_time for s in (before, same, other) if (each := condition(s, "Ready"))]
    assert times == ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z", "2026-01-02T03:05:05Z"]


def test_a_long_message_is_cut() -> None:
    """A condition stays readable."""
    status = decide(replace(GOOD, runtime=Problem(Reason.RUNTIME_NOT_FOUND, "x" * 5000)), NOW)
    assert all(len(each.message) <= 1024 for each in status.conditions)


@pytest.mark.parametrize(
    ("verdict", "status"),
    [
        (EnforcementVerdict(True, Reason.ENFORCED, "tried"), "True"),
        (EnforcementVerdict(False, Reason.NETWORK_NOT_ENFORCED, "do this"), "False"),
        (UNTRIED, "Unknown"),
        (SWITCHED_OFF, "Unknown"),
    ],
)
def test_whether_policies_are_enforced_is_told_and_holds_nothing_up(verdict: EnforcementVerdict, status: str) -> None:
    """Ready speaks of what holds a function up; who must not run without enforcement has a problem of its network."""
    found = decide(replace(GOOD, enforcement=verdict), NOW)
    told = condition(found, "NetworkEnforced")
    assert told is not None
    assert (told.status, told.reason, told.message) == (status, verdict.reason, verdict.message)
    assert (found.state, summary(found)["Ready"]) == (State.ACTIVE, "True")
    refused = replace(GOOD, enforcement=verdict, network=Problem(verdict.reason, verdict.message))
    refusal = decide(refused, NOW)
    assert (refusal.state, refusal.state_reason) == (State.FAILED, verdict.message)
    assert refusal.deployed is None
    assert summary(refusal)["Ready"] == "False"
    assert condition(decide(GOOD, NOW), "NetworkEnforced") is None
