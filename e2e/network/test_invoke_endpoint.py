"""An InvokeEndpoint with real pods: who reaches it, what they may invoke, and the way in when it is the only one."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from installation.account import Account
from installation.kubectl import eventually, kubectl
from installation.peers import client
from installation.release import RELEASE, SYSTEM_NAMESPACE, install, rolled_out

type Ask = Callable[[str, str], list[str]]
CODE = "def handler(event, context):\n    return event"


class Private:
    """An endpoint, and the pods that try it."""

    def __init__(self, account: Account, allowed: Account) -> None:
        self.account = account
        self.url = f"http://lambda.{account.namespace}.svc"
        with ThreadPoolExecutor(3) as pool:
            started = [
                pool.submit(client, allowed, "allowed"),
                pool.submit(client, account, "refused"),
                pool.submit(client, account, "member", {"security-group.kubelambda.dev/app": ""}),
            ]
        self.allowed, self.refused, self.member = (each.result() for each in started)

    def invoke(self, ask: Ask, function: str, event: str = "1") -> list[str]:
        """Status and what came with it."""
        return ask(f"{self.url}/2015-03-31/functions/{function}/invocations", event)


@pytest.fixture(scope="module")
def private(account: Account, other_account: Account) -> Private:
    """Service accounts of the other namespace may invoke one function; a group reaches it and may nothing."""
    for name in ("hello", "secret"):
        account.function(name, CODE, ready=False)
    principals = [f"system:serviceaccount:{other_account.namespace}:*"]
    spec: dict[str, Any] = {
        "allowedNamespaces": [other_account.namespace],
        "securityGroupIds": ["app"],
        "policy": [{"principals": principals, "functions": ["hello"]}],
    }
    account.apply({"kind": "InvokeEndpoint", "metadata": {"name": "lambda"}, "spec": spec})
    space = ("--namespace", account.namespace)
    found = Private(account, other_account)
    kubectl(*space, "wait", "--for=condition=Ready", "invokeendpoint/lambda", "--timeout=110s")
    for name in ("hello", "secret"):
        account.wait_ready(name)
    return found


def test_the_network_and_the_policy_both_decide(private: Private) -> None:
    """An allowed namespace invokes what it may; a member of the group gets there; everybody else does not."""
    assert eventually(lambda: private.invoke(private.allowed, "hello") == ["200", "1"])
    # Frontends open an endpoint one after the other: until then nobody answers at its address.
    denied = ["403", "AccessDeniedException"]
    assert eventually(lambda: answered(private.invoke(private.allowed, "secret"))) == denied
    assert eventually(lambda: answered(private.allowed(f"{private.url}/2015-03-31/functions/", "")))[0] == "404"
    assert eventually(lambda: answered(private.invoke(private.member, "hello"))) == denied
    assert private.invoke(private.refused, "hello")[0] == "0"


def answered(found: list[str]) -> list[str]:
    """What came of a request that somebody answered."""
    assert found[0] != "0", found
    return found


@pytest.mark.exclusive
def test_endpoints_are_the_only_way_in_when_the_public_frontend_is_closed(private: Private) -> None:
    """Nobody gets through to the frontends by their own Service then."""
    public = f"http://{RELEASE}-frontend.{SYSTEM_NAMESPACE}.svc"
    path = f"/2015-03-31/functions/{private.account.arn('hello')}/invocations"
    assert eventually(lambda: private.allowed(f"{public}{path}", "1") == ["200", "1"])
    install("--set", "frontend.public=false")
    try:
        rolled_out("deployment", "frontend")
        assert eventually(lambda: private.allowed(f"{public}{path}", "1")[0] == "0")
        assert eventually(lambda: private.invoke(private.allowed, "hello", '"in"') == ["200", '"in"'])
    finally:
        install()
        rolled_out("deployment", "frontend")
    assert eventually(lambda: private.allowed(f"{public}{path}", "1") == ["200", "1"])
