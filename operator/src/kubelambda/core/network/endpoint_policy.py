"""Who may invoke what through an InvokeEndpoint: pure. Beside its policy neither rights nor permissions count.

It is in the functions' own namespace, as their permissions are: whoever writes it may let others in.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubelambda.core.account.access_decision import INVOKE, allows, like
from kubelambda.core.account.caller import Caller
from kubelambda.core.invoke.routing import LATEST

_EVERYBODY = "*"


@dataclass(frozen=True, slots=True)
class EndpointRule:
    """A statement of a policy."""

    deny: bool
    principals: tuple[str, ...]
    functions: tuple[str, ...]


def endpoint_rules(policy: Sequence[Mapping[str, Any]]) -> tuple[EndpointRule, ...]:
    """The statements of `spec.policy`. What is not clearly an Allow denies."""
    return tuple(
        EndpointRule(each.get("effect", "Allow") != "Allow", tuple(each["principals"]), tuple(each["functions"]))
        for each in policy
    )


def endpoint_denial(
    caller: Caller | None, function: str, qualifier: str | None, rules: Iterable[EndpointRule], *, resource: str
) -> str | None:
    """Why `caller`, None where nothing proves who it is, may not invoke, in AWS's words; None when it may.

    `resource` is the ARN of what it invokes.
    """
    name = caller.arn if caller is not None else "anonymous"
    lacking = f"User: {name} is not authorized to perform: {INVOKE} on resource: {resource}"
    if caller is not None and not allows(caller.actions, INVOKE):
        return f"{lacking} because no identity-based policy allows the {INVOKE} action"
    called, asked = _names(caller), _asked(function, qualifier)
    fitting = [rule for rule in rules if _any(rule.functions, asked) and _concerns(rule.principals, called)]
    if any(rule.deny for rule in fitting):
        return f"{lacking} with an explicit deny in a VPC endpoint policy"
    if not fitting:
        return f"{lacking} because no VPC endpoint policy allows the {INVOKE} action"
    return None


def for_everybody(rules: Iterable[EndpointRule]) -> bool:
    """Whether every statement is about everybody: who calls makes no difference."""
    return all(_EVERYBODY in rule.principals for rule in rules)


def _names(caller: Caller | None) -> tuple[str, ...]:
    """What a caller is called. An account id that is rightfully another's gives no name."""
    if caller is None:
        return ()
    user = caller.user
    arn = (caller.arn,) if caller.account is not None else ()
    return (*arn, *((user.name, *user.groups) if user is not None else ()))


def _asked(function: str, qualifier: str | None) -> tuple[str, ...]:
    if qualifier is None or qualifier == LATEST:
        return (function, f"{function}:{LATEST}")
    return (f"{function}:{qualifier}",)


def _concerns(principals: Iterable[str], called: Sequence[str]) -> bool:
    return any(principal == _EVERYBODY or _any((principal,), called) for principal in principals)


def _any(patterns: Iterable[str], texts: Iterable[str]) -> bool:
    return any(like(pattern, text) for pattern in patterns for text in texts)
