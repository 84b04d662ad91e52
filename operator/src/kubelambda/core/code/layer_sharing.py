"""Layers of other accounts: whom the policy of a layer version lets have it (§1.1, §1.2.5). Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

GET_LAYER_VERSION: Final = "lambda:GetLayerVersion"
"""The one action that can be granted."""


@dataclass(frozen=True, slots=True)
class LayerGrant:
    """A statement of the policy of a layer version, as far as it can let anybody have that."""

    version: int
    principal: str
    """An account id, the ARN of its root, or * for all."""


def layer_grants(permissions: Iterable[Mapping[str, Any]]) -> tuple[LayerGrant, ...]:
    """The statements of `spec.permissions`; not those for an organization, which nobody here can be in."""
    return tuple(
        LayerGrant(each["version"], each["principal"])
        for each in permissions
        if each.get("action", GET_LAYER_VERSION) == GET_LAYER_VERSION and not each.get("principalOrgId")
    )


def is_shared_with(grants: Iterable[LayerGrant], number: int, account: str) -> bool:
    """Whether an account may have version `number`."""
    return any(grant.version == number and _is(grant.principal, account) for grant in grants)


def _is(principal: str, account: str) -> bool:
    if principal in ("*", account):
        return True
    service, _, resource = principal.partition(":iam::")
    return service.startswith("arn:aws") and resource == f"{account}:root"


def layer_denial(user: str, arn: str, action: str = GET_LAYER_VERSION) -> str:
    """AWS's words for who may not have a layer of another account: the same whether or not there is one."""
    return (
        f"User: {user} is not authorized to perform: {action} on resource: {arn} "
        f"because no resource-based policy allows the {action} action"
    )


def account_root(account: str) -> str:
    """The ARN that an account as a whole has as a caller."""
    return f"arn:aws:iam::{account}:root"
