"""Exact concurrency: one invocation in an environment, reserved and account limits across both frontends (§5)."""

import json
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from botocore.exceptions import ClientError

from installation.account import Account, lambda_client
from installation.held import HELD_S, HOLD, Held
from installation.kubectl import KubectlError, eventually, kubectl
from installation.release import RELEASE, SYSTEM_NAMESPACE, forwarded, platform_pods, rolled_out

OCCUPY = (
    HOLD
    + """
inside = 0

def handler(event, context):
    global inside
    inside += 1
    seen = inside
    if "hold" in event:
        hold(event["hold"])
    inside -= 1
    return {"inside": seen, "stream": context.log_stream_name}
"""
)


def refused(answers: list[Any]) -> list[ClientError]:
    """Those of the answers that are errors of the client's."""
    return [answer for answer in answers if isinstance(answer, ClientError)]


def admitted(account: Account, name: str) -> Any:
    """An answer. Frontends hear one after the other that what ran before is over, or that a limit is another one."""

    def asked() -> Any:
        try:
            return account.invoke(name, {})
        except account.client.exceptions.TooManyRequestsException as error:
            raise AssertionError(str(error)) from error

    return eventually(asked)


@pytest.mark.timeout(900)
def test_parallel_requests_get_an_environment_each(account: Account) -> None:
    """Six at once run in six environments, never two in one: none of them ends before all six have begun."""
    account.function("parallel", OCCUPY, timeout=HELD_S)
    with Held(account, "six") as held:
        held.invoke("parallel", 6)

        def all_inside() -> bool:
            assert not held.ended
            return held.inside() == 6

        eventually(all_inside, timeout=HELD_S - 60)
    assert [answer["Payload"]["inside"] for answer in held.answers] == [1] * 6
    assert len({answer["Payload"]["stream"] for answer in held.answers}) == 6


def test_two_parallel_invokes_at_reserved_one_throttle_one(account: Account) -> None:
    """One runs, the other is a 429 with Lambda's reason and Retry-After."""
    account.function("single", OCCUPY, timeout=HELD_S, reservedConcurrentExecutions=1)
    account.invoke("single", {})
    for number in range(3):
        with Held(account, f"round-{number}") as held:
            held.invoke("single", 2)
            eventually(lambda held=held: held.ended)  # type: ignore[misc]
        throttled = refused(held.answers)
        assert len(throttled) == 1, held.answers
        response = throttled[0].response
        assert response["ResponseMetadata"]["HTTPStatusCode"] == 429
        assert response["Error"]["Code"] == "TooManyRequestsException"
        assert response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
        assert int(response["ResponseMetadata"]["HTTPHeaders"]["retry-after"]) >= 1


def test_reserved_one_means_one_across_both_frontends(account: Account) -> None:
    """Asked of each frontend directly, as a balancer would."""
    account.function("across", OCCUPY, timeout=HELD_S, reservedConcurrentExecutions=1)
    account.invoke("across", {})
    names = platform_pods("frontend")
    assert len(names) == 2

    def call(frontend: str, event: dict[str, str]) -> int:
        url = f"{frontend}/2015-03-31/functions/{account.arn('across')}/invocations"
        request = urllib.request.Request(url, data=json.dumps(event).encode(), method="POST")
        try:
            with urllib.request.urlopen(request, timeout=HELD_S) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code

    with ExitStack() as blocks:
        frontends = [blocks.enter_context(forwarded(name, 8080)) for name in names]
        held = blocks.enter_context(Held(account, "across"))
        for frontend in frontends * 4:
            held.submit("across", call, frontend, held.event)
        eventually(lambda: len(held.ended) == 7)
    assert sorted(held.answers) == [200] + [429] * 7


def refusal(account: Account, name: str) -> int:
    """Status of a request that must not run now. Each has a connection of its own, to any frontend that there is."""
    try:
        answer = lambda_client().invoke(FunctionName=account.arn(name))
    except ClientError as error:
        return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
    raise AssertionError(f"two at once: {answer['Payload'].read()!r}")


@pytest.mark.exclusive
def test_reserved_one_means_one_while_its_frontends_are_replaced(account: Account) -> None:
    """The frontend that takes over counts what still runs for the one before, and goes on in the same environment."""
    account.function("handed-over", OCCUPY, timeout=HELD_S, reservedConcurrentExecutions=1)
    stream = account.invoke("handed-over", {})["Payload"]["stream"]
    with Held(account, "long") as held, ThreadPoolExecutor(1) as watching:
        held.invoke("handed-over")
        eventually(lambda: held.inside() == 1)
        kubectl("--namespace", SYSTEM_NAMESPACE, "rollout", "restart", f"deployment/{RELEASE}-frontend")
        rolled = watching.submit(rolled_out, "deployment", "frontend")
        statuses: list[int] = []
        by_new_ones = 0
        while by_new_ones < 20:
            by_new_ones += rolled.done()
            statuses.append(refusal(account, "handed-over"))
            time.sleep(0.05)
        rolled.result()
    assert set(statuses) == {429}
    assert held.answers[0]["Payload"] == {"inside": 1, "stream": stream}
    assert admitted(account, "handed-over")["Payload"]["stream"] == stream
    assert account.environment("handed-over")


def test_reserved_zero_stops_the_function(account: Account) -> None:
    """Every invocation is throttled, and nothing is started."""
    account.function("stopped", OCCUPY, reservedConcurrentExecutions=0)
    with pytest.raises(account.client.exceptions.TooManyRequestsException) as raised:
        account.invoke("stopped", {})
    assert raised.value.response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert not account.environments("stopped")


def test_raising_the_reservation_takes_effect(account: Account) -> None:
    """From stopped to running without a new deployment of the code."""
    account.function("raised", OCCUPY, reservedConcurrentExecutions=0)
    account.function("raised", OCCUPY, reservedConcurrentExecutions=2)
    assert admitted(account, "raised")["StatusCode"] == 200


def reason(account: Account, name: str) -> str:
    """Why a request is throttled; empty when it is not."""
    try:
        account.invoke(name, {})
    except account.client.exceptions.TooManyRequestsException as error:
        return str(error.response["Reason"])
    return ""


def test_the_account_quota_is_shared_by_its_functions(other_account: Account) -> None:
    """A namespace with a quota of 3 runs three invocations at once, of whichever functions."""
    namespace, names = other_account.namespace, ("first", "second")
    kubectl("annotate", "namespace", namespace, "kubelambda.dev/concurrent-executions=3", "--overwrite")
    for name in names:
        other_account.function(name, OCCUPY, timeout=HELD_S)
        other_account.invoke(name, {})
    with Held(other_account, "full") as held:
        held.invoke("first", 2)
        held.invoke("second")
        eventually(lambda: held.inside() == 3, timeout=240)
        for name in names:  # the frontend may hear of the quota later than of the functions
            eventually(lambda name=name: reason(other_account, name) == "ConcurrentInvocationLimitExceeded")  # type: ignore[misc]
    assert not refused(held.answers), held.answers
    with Held(other_account, "race") as held:
        for name in names:
            held.invoke(name, 3)
        eventually(lambda: len(held.ended) >= 3)
    throttled = refused(held.answers)
    assert len(throttled) == 3, held.answers
    assert {error.response["Reason"] for error in throttled} == {"ConcurrentInvocationLimitExceeded"}


def test_a_reservation_beyond_the_account_is_refused(account: Account) -> None:
    """100 of the quota stay unreserved; the condition carries Lambda's text."""
    account.function("greedy", OCCUPY, reservedConcurrentExecutions=950, ready=False)

    def told() -> bool:
        conditions = account.get("function", "greedy").get("status", {}).get("conditions", [])
        return any("UnreservedConcurrentExecution below its minimum value of [100]" in c["message"] for c in conditions)

    eventually(told)
    kubectl("--namespace", account.namespace, "delete", "function", "greedy")


def test_a_negative_reservation_is_refused_at_once(account: Account) -> None:
    """By the API server."""
    with pytest.raises(KubectlError, match="reservedConcurrentExecutions"):
        account.function("negative", OCCUPY, reservedConcurrentExecutions=-1, ready=False)
