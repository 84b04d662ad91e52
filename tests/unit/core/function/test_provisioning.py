"""How many environments a Deployment keeps while it shrinks (§5.8): those that run something end last."""

from datetime import UTC, datetime, timedelta

from kubelambda.api.kinds.provisioned_concurrency import ProvisionedConcurrencyState, ProvisionedConcurrencyStatus
from kubelambda.core.account.reserved_concurrency import Grant
from kubelambda.core.function.provisioning import (
    RELEASE_S,
    Provision,
    provisioned_status,
    readiness,
    replicas,
    seconds_since,
)

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def there(count: int, serving: int) -> Provision:
    """A Deployment of `count` pods, of which so many are ready and not let go of."""
    return Provision(available=serving, replicas=count, serving=serving)


def test_a_deployment_grows_at_once_and_shrinks_as_its_environments_are_let_go_of() -> None:
    """Those that are not ready run nothing: they are no reason to wait."""
    assert replicas(5, there(2, 2), reduced_s=0) == 5
    assert replicas(2, there(5, 5), reduced_s=0) == 5
    assert replicas(2, there(5, 3), reduced_s=0) == 3
    assert replicas(2, there(5, 0), reduced_s=0) == 2


def test_surge_pods_of_a_rollout_do_not_make_it_grow() -> None:
    """There are more pods than replicas while an image changes."""
    assert replicas(2, there(4, 5), reduced_s=0) == 4
    assert replicas(4, there(4, 5), reduced_s=0) == 4


def test_nothing_and_a_frontend_that_says_nothing_are_not_waited_for() -> None:
    """What is not wanted at all goes with its Deployment; after a while Kubernetes picks."""
    assert replicas(0, there(5, 5), reduced_s=0) == 0
    assert replicas(2, there(5, 5), reduced_s=RELEASE_S) == 2


def test_the_time_counts_from_the_last_change_of_the_number() -> None:
    """A number that was never reported before is new."""
    status = ProvisionedConcurrencyStatus(
        requested=2, status=ProvisionedConcurrencyState.READY, last_modified="2026-03-02T11:59:00.000+0000"
    )
    assert seconds_since(status, 2, NOW) == 60
    assert seconds_since(status, 3, NOW) == 0
    assert seconds_since(None, 2, NOW + timedelta(hours=1)) == 0


def test_the_condition_has_the_words_of_the_first_init_that_failed() -> None:
    """Those after it may differ by a request id, and would be a change of the status each."""
    failure = "FUNCTION_ERROR_INIT_FAILURE"
    first = provisioned_status(None, 2, Grant(2), Provision(failure=failure, init_error="RequestId: 1 no module"), NOW)
    assert readiness(first)[2].endswith("are available: FUNCTION_ERROR_INIT_FAILURE: RequestId: 1 no module")
    between = provisioned_status(first, 2, Grant(2), Provision(), NOW)
    again = Provision(failure=failure, init_error="RequestId: 2 no module")
    assert first == between == provisioned_status(between, 2, Grant(2), again, NOW)
    assert provisioned_status(between, 2, Grant(2), Provision(available=2), NOW).init_error == ""


def test_a_failure_stays_until_something_comes_of_the_next_attempt() -> None:
    """While the pod that failed is gone and the next one has only begun, nothing is better than it was."""
    said = "FUNCTION_ERROR_INIT_FAILURE"
    failed = provisioned_status(None, 2, Grant(2), Provision(failure=said), NOW)
    again = provisioned_status(failed, 2, Grant(2), Provision(), NOW)
    assert (again.status, again.status_reason) == (ProvisionedConcurrencyState.FAILED, said)
    some = provisioned_status(again, 2, Grant(2), Provision(available=1), NOW)
    assert (some.status, some.status_reason) == (ProvisionedConcurrencyState.IN_PROGRESS, "")
    assert provisioned_status(again, 3, Grant(3), Provision(), NOW).status is ProvisionedConcurrencyState.IN_PROGRESS
    refused = provisioned_status(None, 2, Grant(0, "no room"), Provision(), NOW)
    granted = provisioned_status(refused, 2, Grant(2), Provision(), NOW)
    assert granted.status is ProvisionedConcurrencyState.IN_PROGRESS
