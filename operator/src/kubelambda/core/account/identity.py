"""Account ids, ARNs and function names: who a request speaks of (`docs/semantics.md` §1.2, DESIGN §10)."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from kubelambda.api import labels

FUNCTION_NAME_PATTERN = (
    r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?"
    r"([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?"
)
"""What may stand for a function in a path (§1.2.1a). An ARN that ends with `function` names the function "function"."""
FUNCTION_NAME_MAX_LENGTH = 140
QUALIFIER_PATTERN = r"\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+"
"""What may stand for a version or an alias (§1.2.1a)."""
QUALIFIER_MAX_LENGTH = 128
_REGION, _ACCOUNT, _NAME, _QUALIFIER = 3, 9, 11, 13
_FUNCTION_NAME = re.compile(FUNCTION_NAME_PATTERN, re.ASCII)
_QUALIFIER_FORM = re.compile(QUALIFIER_PATTERN, re.ASCII)


@dataclass(frozen=True, slots=True)
class FunctionReference:
    """A function as a caller named it."""

    name: str
    qualifier: str | None = None
    account: str | None = None
    region: str | None = None


def parse_reference(text: str) -> FunctionReference | None:
    """The function that `text` names in any of the forms of §1.2.1; None when it is none of them."""
    found = _FUNCTION_NAME.fullmatch(text)
    if found is None:
        return None
    region, account = found[_REGION], found[_ACCOUNT]
    return FunctionReference(
        found[_NAME],
        found[_QUALIFIER],
        account.removesuffix(":") if account else None,
        region.removesuffix(":") if region else None,
    )


def unqualified(arn: str) -> str:
    """The ARN of a function without its version or alias."""
    return ":".join(arn.split(":")[:7])


def is_qualifier(text: str) -> bool:
    """Whether `text` has the form of a version or alias, which says nothing of whether there is one."""
    return _QUALIFIER_FORM.fullmatch(text) is not None


def account_id(namespace_uid: str, annotation: str | None = None) -> str:
    """The 12-digit account id of a namespace: its annotation where that is well-formed, else derived from its uid."""
    if annotation is not None and re.fullmatch(r"\d{12}", annotation):
        return annotation
    digest = hashlib.sha256(namespace_uid.encode()).digest()
    return f"{int.from_bytes(digest[:8]) % 10**12:012d}"


def namespace_account_id(uid: str, annotations: dict[str, str]) -> str:
    """`account_id` of a namespace object's uid and annotations."""
    return account_id(uid, annotations.get(labels.ACCOUNT_ID))


@dataclass(frozen=True, slots=True)
class AccountClaim:
    """A namespace as an account: the id that it names, if any."""

    uid: str
    created: str
    """RFC 3339."""
    annotation: str | None

    @property
    def id(self) -> str:
        """The account id that it claims."""
        return account_id(self.uid, self.annotation)

    @property
    def rank(self) -> tuple[bool, str, str]:
        """Order among those who claim one id: whom it is derived from, then the oldest."""
        return self.id != account_id(self.uid), self.created, self.uid


def rightful_account_id(claim: AccountClaim, others: Iterable[AccountClaim]) -> str:
    """The id that a namespace may have: the one it claims, or its own when another has more right to that.

    An annotation that was copied with a manifest never takes an account away from the namespace that had it.
    """
    rivals = (other for other in others if other.id == claim.id)
    return account_id(claim.uid) if any(other.rank < claim.rank for other in rivals) else claim.id


@lru_cache(maxsize=4096)
def function_arn(region: str, account: str, name: str, qualifier: str | None = None) -> str:
    """ARN of a function, qualified only when a qualifier was asked for (§1.2.3)."""
    arn = f"arn:aws:lambda:{region}:{account}:function:{name}"
    return f"{arn}:{qualifier}" if qualifier else arn
