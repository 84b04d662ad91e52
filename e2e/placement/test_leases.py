"""Frontends that are not an account's owner run its invocations on leases, on demand and provisioned (decision 28)."""

import concurrent.futures
import json
import re
import time
from contextlib import ExitStack, closing
from http.client import HTTPConnection

from installation import api_server
from installation.account import Account
from installation.kubectl import kubectl
from installation.release import SYSTEM_NAMESPACE, forwarded, platform_pods

WHO = """
import os
inside = 0

def handler(event, context):
    global inside
    inside += 1
    seen, kind = inside, os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]
    inside -= 1
    return {"inside": seen, "kind": kind, "stream": context.log_stream_name}
"""
CALLS = 80
PATIENCE_S = 120.0


def ran_at_each(account: Account, name: str) -> list[float]:
    """How many invocations of a function each frontend ran; what it passed on to the other one, that one ran."""
    series = f'kubelambda_invocations_total{{function="{name}",namespace="{account.namespace}"}}'
    found = []
    for pod in platform_pods("frontend"):
        path = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/pods/{pod}:9090/proxy/metrics"
        line = re.search(rf"^{re.escape(series)} (\S+)$", api_server.text(path), re.MULTILINE)
        found.append(float(line[1]) if line else 0.0)
    return found


def called_at_each(account: Account, name: str) -> list[dict[str, object]]:
    """Answers to so many calls at each frontend, one after the other there: an idle lease goes back soon."""

    def calls(frontend: str) -> list[dict[str, object]]:
        path, answers = f"/2015-03-31/functions/{account.arn(name)}/invocations", []
        with closing(HTTPConnection(frontend.removeprefix("http://"), timeout=60)) as connection:
            for _ in range(CALLS):
                connection.request("POST", path, b"{}")
                response = connection.getresponse()
                body = response.read()
                assert (response.status, response.headers.get("X-Amz-Function-Error")) == (200, None), body
                answers.append(json.loads(body))
        return answers

    with ExitStack() as forwardings, concurrent.futures.ThreadPoolExecutor(2) as callers:
        frontends = [forwardings.enter_context(forwarded(pod, 8080)) for pod in platform_pods("frontend")]
        return [answer for answers in callers.map(calls, frontends) for answer in answers]


def mostly_direct(account: Account, name: str, function: str) -> list[dict[str, object]]:
    """Answers to the calls at each frontend, until each has run most of its own, in an environment for each caller.

    A frontend lends what is called often. On a machine that stands still for a moment calls are rare, and are made once
    more.
    """
    answers: list[dict[str, object]] = []
    deadline = time.monotonic() + PATIENCE_S
    while True:
        before = ran_at_each(account, function)
        latest = called_at_each(account, name)
        assert len(latest) == 2 * CALLS
        answers += latest
        ran = [now - then for now, then in zip(ran_at_each(account, function), before, strict=True)]
        if min(ran) >= CALLS / 2 and len({answer["stream"] for answer in latest}) <= 3:
            return answers
        assert time.monotonic() < deadline, f"the frontend that does not own the account passed most calls on: {ran}"


def test_callers_at_every_frontend_reach_environments_directly(account: Account) -> None:
    """One environment for each of the two callers, one invocation in it at a time, and hardly a second hop."""
    account.function("leased", WHO, publish=True)
    answers = mostly_direct(account, "leased", "leased")
    assert {answer["inside"] for answer in answers} == {1}
    assert sum(ran_at_each(account, "leased")) == len(answers)


def test_an_alias_with_provisioned_concurrency_is_leased_too(account: Account) -> None:
    """Each call runs on one of its two environments, wherever it arrives."""
    account.function("provided", WHO, publish=True)
    spec = {"functionName": "provided", "name": "live", "functionVersion": "1"}
    spec["provisionedConcurrency"] = {"provisionedConcurrentExecutions": 2}  # type: ignore[assignment]
    account.apply({"kind": "Alias", "metadata": {"name": "provided-live"}, "spec": spec})
    ready = ("wait", "--for=condition=ProvisionedConcurrencyReady", "alias/provided-live", "--timeout=180s")
    kubectl("--namespace", account.namespace, *ready, timeout=210)
    answers = mostly_direct(account, "provided:live", "provided")
    assert {answer["kind"] for answer in answers} == {"provisioned-concurrency"}
    assert {answer["inside"] for answer in answers} == {1}
