"""The policy of an InvokeEndpoint alone decides who may invoke what through it, in AWS's words."""

from typing import Any

import pytest

from kubelambda.core.account.caller import Caller, KubernetesUser, key_holder, token_holder
from kubelambda.core.network.endpoint_policy import endpoint_denial, endpoint_rules, for_everybody

TEAM = ("system:serviceaccounts", "system:serviceaccounts:team-b")
ROBOT = token_holder(KubernetesUser("system:serviceaccount:team-b:robot", groups=TEAM), "2" * 12, rightful=True)
STRANGER = token_holder(KubernetesUser("system:serviceaccount:team-bad:robot"), "3" * 12, rightful=True)
KEY = key_holder("ci", "team-b", "2" * 12, rightful=True, actions=("*",))


def statement(effect: str = "Allow", *, to: str = "*", of: str = "hello") -> dict[str, Any]:
    """One statement of a policy."""
    return {"effect": effect, "principals": [to], "functions": [of]}


def denied(caller: Caller | None, called: str, *policy: dict[str, Any]) -> str | None:
    """What a caller is told that invokes a function, with or without a qualifier."""
    name, _, qualifier = called.partition(":")
    return endpoint_denial(caller, name, qualifier or None, endpoint_rules(policy), resource="arn")


@pytest.mark.parametrize(
    ("principal", "caller", "let_in"),
    [
        ("system:serviceaccount:team-b:*", ROBOT, True),
        ("system:serviceaccount:team-b:*", STRANGER, False),
        ("system:serviceaccount:team-b:*", None, False),
        ("system:serviceaccounts:team-b", ROBOT, True),
        ("system:serviceaccounts:team-b", STRANGER, False),
        ("arn:aws:iam::222222222222:role/robot", ROBOT, True),
        ("arn:aws:iam::222222222222:user/*", KEY, True),
        ("arn:aws:iam::222222222222:user/*", key_holder("x", "n", "2" * 12, rightful=False, actions=("*",)), False),
        ("*", None, True),
        ("*", KEY, True),
        ("*", key_holder("x", "n", "2" * 12, rightful=True, actions=("lambda:List*",)), False),
        ("**", None, False),
    ],
)
def test_a_principal_is_who_it_names(principal: str, caller: Caller | None, let_in: bool) -> None:
    """Users and groups of Kubernetes, users of keys; everybody is one star, and a key's own limits hold."""
    assert (denied(caller, "hello", statement(to=principal)) is None) is let_in


@pytest.mark.parametrize(
    ("pattern", "called", "let_in"),
    [
        ("hello", "hello", True),
        ("hello", "hello:$LATEST", True),
        ("hello", "hello:live", False),
        ("hello", "hello2", False),
        ("hello:live", "hello:live", True),
        ("hello:live", "hello", False),
        ("hello:*", "hello:live", True),
        ("hello:*", "hello", True),
        ("*", "anything:7", True),
        ("h?llo", "hello", True),
    ],
)
def test_a_function_is_what_it_names(pattern: str, called: str, let_in: bool) -> None:
    """By its name for what is not published, with a qualifier for what is."""
    assert (denied(ROBOT, called, statement(of=pattern)) is None) is let_in


def test_what_nothing_allows_is_denied_and_a_deny_outweighs() -> None:
    """Wherever it stands, and what is no effect that we know denies."""
    assert denied(ROBOT, "hello") == (
        "User: arn:aws:iam::222222222222:role/robot is not authorized to perform: lambda:InvokeFunction on resource: "
        "arn because no VPC endpoint policy allows the lambda:InvokeFunction action"
    )
    for effect in ("Deny", "Perhaps"):
        for policy in ([statement(), statement(effect)], [statement(effect), statement()]):
            said = denied(ROBOT, "hello", *policy)
            assert said is not None
            assert said.endswith("with an explicit deny in a VPC endpoint policy")
    assert denied(ROBOT, "hello", statement(), statement("Deny", to="system:serviceaccounts:team-c")) is None


def test_who_calls_need_not_be_known_where_it_makes_no_difference() -> None:
    """Every statement is about everybody."""
    assert for_everybody(endpoint_rules([statement(), statement("Deny", of="secret")]))
    assert not for_everybody(endpoint_rules([statement(), statement("Deny", to="somebody")]))
