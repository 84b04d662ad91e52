"""Who may do what: access keys, tokens and resource policies together (§1.3, §2.1.4). The one place that decides."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from kubelambda.core.account.caller import Caller, CallerKind
from kubelambda.core.invoke.routing import LATEST

INVOKE: Final = "lambda:InvokeFunction"
INVOKE_URL: Final = "lambda:InvokeFunctionUrl"

_ELSEWHERE: Final = ("eventSourceToken", "principalOrgId")
_ACCOUNT = re.compile(r"\d{12}")
_ARN = re.compile(r"arn:aws[a-z-]*:(?:iam|sts)::(\d{12}):(.+)")


@dataclass(frozen=True, slots=True)
class PolicyStatement:
    """A permission of a function's resource policy, as far as it decides anything (§1.3)."""

    action: str
    principal: str
    qualifier: str | None = None
    source_arn: str | None = None
    source_account: str | None = None
    elsewhere: bool = False
    """Whether it needs what no caller of ours can show: an organization, a token of Alexa's."""
    url_auth_type: str | None = None
    """Only through a function URL of this kind."""
    via_url: bool | None = None
    """Only through a function URL, or only past it."""


def policy_statements(permissions: Sequence[Mapping[str, Any]]) -> tuple[PolicyStatement, ...]:
    """The statements of `spec.permissions`."""
    return tuple(
        PolicyStatement(
            str(each.get("action", "")),
            str(each.get("principal", "")),
            each.get("qualifier"),
            each.get("sourceArn"),
            each.get("sourceAccount"),
            any(each.get(name) for name in _ELSEWHERE),
            each.get("functionUrlAuthType"),
            each.get("invokedViaFunctionUrl"),
        )
        for each in permissions
    )


@dataclass(frozen=True, slots=True)
class AccessQuestion:
    """What a caller wants to do, and to what."""

    action: str
    """As lambda:InvokeFunction."""
    resource: str
    """ARN of what it is about, with the qualifier where one was named."""
    namespace: str
    """Whose that is."""
    qualifier: str | None = None
    statements: Sequence[PolicyStatement] = ()
    """The resource policy of the function, with those of its versions and aliases."""
    url_auth_type: str | None = None
    """The kind of the function URL that is called; None for a call past those."""


def denial(caller: Caller, question: AccessQuestion, *, granted: bool = False) -> str | None:
    """Why the caller may not, in AWS's words; None when it may. `granted`: what Kubernetes says of a token's holder.

    Within an account one side is enough, the caller's own rights or the policy of the resource; from another account
    it takes both. A token's rights come from the cluster's administrator, who may grant them anywhere.
    """
    if caller.kind is CallerKind.PLATFORM or (caller.kind is CallerKind.TOKEN and granted):
        return None
    own = caller.kind is CallerKind.ACCESS_KEY and allows(caller.actions, question.action)
    at_home = caller.namespace is not None and caller.namespace == question.namespace
    if own and at_home:
        return None
    invited = any(_fits(statement, caller, question) for statement in question.statements)
    if invited and (own or at_home or caller.kind is not CallerKind.ACCESS_KEY):
        return None
    lacking = "resource-based" if caller.kind is CallerKind.SERVICE or (own and not at_home) else "identity-based"
    return (
        f"User: {caller.arn} is not authorized to perform: {question.action} on resource: {question.resource} "
        f"because no {lacking} policy allows the {question.action} action"
    )


def url_denial(caller: Caller, question: AccessQuestion, *, granted: bool = False) -> str | None:
    """As `denial`, of a call through a function URL: it takes the right to that and to the function (§2.5.5)."""
    asked = (replace(question, action=action) for action in (INVOKE_URL, INVOKE))
    return next((text for each in asked if (text := denial(caller, each, granted=granted)) is not None), None)


def allows(patterns: Sequence[str], action: str) -> bool:
    """Whether any of `patterns`, as `lambda:Get*`, has the action."""
    return any(pattern in ("*", action) or like(pattern, action) for pattern in patterns)


def _fits(statement: PolicyStatement, caller: Caller, question: AccessQuestion) -> bool:
    qualifier = None if question.qualifier == LATEST else question.qualifier
    if statement.elsewhere or statement.qualifier != qualifier or not allows((statement.action,), question.action):
        return False
    if statement.url_auth_type not in (None, question.url_auth_type):
        return False
    if statement.via_url not in (None, question.url_auth_type is not None):
        return False
    if statement.source_account is not None and statement.source_account != caller.source_account:
        return False
    if statement.source_arn is not None and not _arn_like(statement.source_arn, caller.source_arn):
        return False
    return _is(statement.principal, caller)


def _is(principal: str, caller: Caller) -> bool:
    if principal == "*":
        return True
    if caller.kind is CallerKind.SERVICE:
        return principal == caller.arn
    if caller.account is None:
        return False
    if _ACCOUNT.fullmatch(principal):
        return principal == caller.account
    found = _ARN.fullmatch(principal)
    if found is None or found[1] != caller.account:
        return False
    return found[2] == "root" or principal == caller.arn


def _arn_like(pattern: str, arn: str | None) -> bool:
    """IAM's ArnLike: each of the six parts on its own, with `*` and `?`."""
    if arn is None:
        return False
    patterns, parts = pattern.split(":", 5), arn.split(":", 5)
    return len(patterns) == len(parts) and all(map(like, patterns, parts))


def like(pattern: str, text: str) -> bool:
    """`*` and `?` in linear time, whatever the pattern: who wrote it may want it to take long."""
    at = star = mark = 0
    starred = False
    position = 0
    while position < len(text):
        if at < len(pattern) and pattern[at] == "*":
            starred, star, mark = True, at, position
            at += 1
        elif at < len(pattern) and pattern[at] in ("?", text[position]):
            at += 1
            position += 1
        elif starred:
            mark += 1
            at, position = star + 1, mark
        else:
            return False
    return pattern[at:].strip("*") == ""
