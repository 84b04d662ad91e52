"""Versions, aliases and provisioned environments, with everything that makes them: operator, Deployments, frontends."""

from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError

from installation.account import Account
from installation.held import HOLD, inside, let_go
from installation.kubectl import eventually, kubectl, kubectl_json
from installation.load import Load
from installation.published import alias, provisioned, publish, source, status


def test_callers_get_the_version_that_they_name(account: Account) -> None:
    """By number, by alias, and $LATEST; the answer, the log stream and the environment say which one it was."""
    publish(account, "named", 1)
    publish(account, "named", 2)
    alias(account, "named", 1)
    eventually(lambda: status(account, "named").get("routedVersion") == "1")
    for path, version, code in (
        ("named:1", "1", 1),
        ("named:2", "2", 2),
        ("named:live", "1", 1),
        ("named", "$LATEST", 2),
    ):
        answer = eventually(partial(found_at, account, path))
        assert answer["ExecutedVersion"] == version
        assert (answer["Payload"]["version"], answer["Payload"]["code"]) == (version, code)
        assert f"[{version}]" in answer["Payload"]["stream"]
    assert account.invoke("named", Qualifier="live")["ExecutedVersion"] == "1"
    with pytest.raises(ClientError) as missing:
        account.invoke("named:9")
    assert missing.value.response["Error"]["Code"] == "ResourceNotFoundException"


def found_at(account: Account, path: str) -> Any:
    """An answer, once the frontend that is asked has heard of a version or an alias."""
    try:
        return account.invoke(path)
    except account.client.exceptions.ResourceNotFoundException as error:
        raise AssertionError(str(error)) from error


def test_an_edit_of_an_alias_is_everybodys_within_moments(account: Account) -> None:
    """And nobody gets an error meanwhile."""
    publish(account, "edited", 1)
    publish(account, "edited", 2)
    alias(account, "edited", 1)
    eventually(lambda: status(account, "edited").get("routedVersion") == "1")
    for version in (1, 2):
        account.invoke(f"edited:{version}")
    with Load(account, "edited:live", callers=2, pause=0.02) as load:
        for move in range(6):
            version = 2 - move % 2
            alias(account, "edited", version)
            eventually(lambda version=version: account.invoke("edited:live")["Payload"]["code"] == version)  # type: ignore[misc]
    assert not load.failed, load.summary()


def test_provisioned_environments_are_there_before_anybody_calls(account: Account) -> None:
    """The alias is READY once their INIT is over, the Deployment agrees, and callers get them, one after the other."""
    ahead = 'if os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"] == "provisioned-concurrency":\n    hold("init")\n'
    publish(account, "ready", 1, f"{HOLD}\n{ahead}\n{source(1)}")
    alias(account, "ready", 1, provisioned=2)
    eventually(lambda: len(inside(account, "ready", "init")) == 2, timeout=180)
    assert provisioned(account, "ready").get("status") != "READY"
    let_go(account, "ready", "init")
    eventually(lambda: provisioned(account, "ready").get("status") == "READY", timeout=180)

    def available() -> bool:
        of_the_function = ("get", "deployments", "--selector", "kubelambda.dev/function=ready")
        (deployment,) = kubectl_json("--namespace", account.namespace, *of_the_function)["items"]
        return bool(deployment["status"]["availableReplicas"] == 2)

    eventually(available)
    answers = [account.invoke("ready:live")["Payload"] for _ in range(5)]
    assert {answer["kind"] for answer in answers} == {"provisioned-concurrency"}
    assert account.invoke("ready:1")["Payload"]["kind"] == "on-demand"


def test_an_init_that_fails_is_the_aliass_status(account: Account) -> None:
    """In Lambda's words, and one pod after the other tries, not all of them again and again."""
    publish(account, "failing", 1, "raise RuntimeError('no luck')")
    alias(account, "failing", 1, provisioned=1)

    def failed() -> Any:
        found = provisioned(account, "failing")
        return found if found.get("status") == "FAILED" else None

    status = eventually(failed, timeout=180)
    assert status["statusReason"] == "FUNCTION_ERROR_INIT_FAILURE"
    assert "no luck" in status["initError"]


def test_a_lost_provisioned_environment_is_replaced(account: Account) -> None:
    """By Kubernetes, and initialized again; nobody who calls meanwhile gets an error."""
    publish(account, "refilled", 1)
    alias(account, "refilled", 1, provisioned=1)
    eventually(lambda: provisioned(account, "refilled").get("status") == "READY", timeout=180)
    pod = account.environment("refilled")
    with Load(account, "refilled:live", callers=1, pause=0.1) as load:
        kubectl("--namespace", account.namespace, "delete", "pod", pod["metadata"]["name"], "--wait=false")

        def replaced() -> bool:
            names = [found["metadata"]["name"] for found in account.environments("refilled")]
            return pod["metadata"]["name"] not in names and provisioned(account, "refilled").get("status") == "READY"

        eventually(replaced, timeout=180)
        eventually(lambda: account.invoke("refilled:live")["Payload"]["kind"] == "provisioned-concurrency")
    assert not load.failed, load.summary()
