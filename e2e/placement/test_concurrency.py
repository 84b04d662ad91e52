"""Exact concurrency: one invocation in an environment, reserved and account limits across both frontends (§5)."""

import concurrent.futures
import json
import time
import urllib.request
from contextlib import ExitStack
from typing import Any

import pytest
from botocore.exceptions import ClientError

from installation.account import Account, lambda_client
from installation.kubectl import KubectlError, eventually, kubectl
from installation.release import RELEASE, SYSTEM_NAMESPACE, forwarded, platform_pods, rolled_out

OCCUPY = """
import time, threading
inside = 0

def handler(event, context):
    global inside
    inside += 1
    seen = inside
    time.sleep(event.get("seconds", 0))
    inside -= 1
    return {"inside": seen, "stream": context.log_stream_name}
"""


def parallel(account: Account, name: str, count: int, event: dict[str, Any]) -> list[Any]:
    """`count` invocations at once; answers and client errors alike."""

    def call(_: int) -> Any:
        try:
            return account.invoke(name, event)
        except ClientError as error:
            return error

    with concurrent.futures.ThreadPoolExecutor(count) as callers:
        return list(callers.map(call, range(count)))


def test_parallel_requests_get_an_environment_each(account: Account) -> None:
    """Six at once run in six environments, never two in one; for longer than a full node needs to start them."""
    account.function("parallel", OCCUPY, timeout=60)
    answers = parallel(account, "parallel", 6, {"seconds": 10})
    assert [answer["Payload"]["inside"] for answer in answers] == [1] * 6
    assert len({answer["Payload"]["stream"] for answer in answers}) == 6


def test_two_parallel_invokes_at_reserved_one_throttle_one(account: Account) -> None:
    """One runs, the other is a 429 with Lambda's reason and Retry-After."""
    account.function("single", OCCUPY, timeout=30, reservedConcurrentExecutions=1)
    account.invoke("single", {})
    for _ in range(3):
        answers = parallel(account, "single", 2, {"seconds": 4})
        throttled = [answer for answer in answers if isinstance(answer, ClientError)]
        assert len(throttled) == 1, answers
        response = throttled[0].response
        assert response["ResponseMetadata"]["HTTPStatusCode"] == 429
        assert response["Error"]["Code"] == "TooManyRequestsException"
        assert response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
        assert int(response["ResponseMetadata"]["HTTPHeaders"]["retry-after"]) >= 1


def test_reserved_one_means_one_across_both_frontends(account: Account) -> None:
    """Asked of each frontend directly, as a balancer would."""
    account.function("across", OCCUPY, timeout=30, reservedConcurrentExecutions=1)
    account.invoke("across", {})
    names = platform_pods("frontend")
    assert len(names) == 2

    def call(frontend: str) -> int:
        url = f"{frontend}/2015-03-31/functions/{account.arn('across')}/invocations"
        request = urllib.request.Request(url, data=json.dumps({"seconds": 6}).encode(), method="POST")
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code

    with ExitStack() as forwardings, concurrent.futures.ThreadPoolExecutor(8) as callers:
        frontends = [forwardings.enter_context(forwarded(name, 8080)) for name in names]
        statuses = sorted(callers.map(call, frontends * 4))
    assert statuses == [200] + [429] * 7


@pytest.mark.exclusive
def test_reserved_one_means_one_while_its_frontends_are_replaced(account: Account) -> None:
    """The frontend that takes over counts what still runs for the one before, and goes on in the same environment."""
    account.function("handed-over", OCCUPY, timeout=60, reservedConcurrentExecutions=1)
    stream = account.invoke("handed-over", {})["Payload"]["stream"]
    with concurrent.futures.ThreadPoolExecutor(1) as callers:
        long = callers.submit(account.invoke, "handed-over", {"seconds": 20})
        time.sleep(2)
        kubectl("--namespace", SYSTEM_NAMESPACE, "rollout", "restart", f"deployment/{RELEASE}-frontend")
        refused: list[int] = []
        while not long.done():
            # One request for each connection: it reaches the old frontends and the new ones.
            try:
                answer = lambda_client().invoke(FunctionName=account.arn("handed-over"))
            except ClientError as error:
                refused.append(error.response["ResponseMetadata"]["HTTPStatusCode"])
            else:  # its caller may hear of it a moment before the other one does; the environment can tell
                told = json.loads(answer["Payload"].read())
                assert (told["stream"], told["inside"]) == (stream, 1), f"two at once: {told}"
            time.sleep(0.05)
    assert len(refused) > 20
    assert set(refused) == {429}
    rolled_out("deployment", "frontend")
    assert long.result()["Payload"]["inside"] == 1
    assert account.invoke("handed-over", {})["Payload"]["stream"] == stream
    assert len(account.environments("handed-over")) == 1


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

    def runs() -> bool:
        try:
            return bool(account.invoke("raised", {})["StatusCode"] == 200)
        except ClientError as error:
            raise AssertionError(str(error)) from error

    eventually(runs)


def test_the_account_quota_is_shared_by_its_functions(other_account: Account) -> None:
    """A namespace with a quota of 3 runs three invocations at once, of whichever functions."""
    namespace = other_account.namespace
    kubectl("annotate", "namespace", namespace, "kubelambda.dev/concurrent-executions=3", "--overwrite")
    for name in ("first", "second"):
        other_account.function(name, OCCUPY, timeout=30)
        other_account.invoke(name, {})
    time.sleep(1)
    with concurrent.futures.ThreadPoolExecutor(2) as callers:
        parts = callers.map(lambda name: parallel(other_account, name, 3, {"seconds": 3}), ("first", "second"))
        answers = [answer for part in parts for answer in part]
    throttled = [answer for answer in answers if isinstance(answer, ClientError)]
    assert len(throttled) == 3, answers
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
