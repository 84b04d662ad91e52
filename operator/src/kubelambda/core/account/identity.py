"""Account ids, ARNs and function names: who a request speaks of (`lambda-semantics.md` §1.2, DESIGN §10)."""

import hashlib
import re
from dataclasses import dataclass

from kubelambda.api import labels

_NAME = r"(?P<name>[a-zA-Z0-9-_]+)"
_QUALIFIER = r"(?::(?P<qualifier>\$LATEST|[a-zA-Z0-9-_]+))?"
_FORMS = tuple(
    re.compile(form)
    for form in (
        rf"^arn:aws[a-z-]*:lambda:(?P<region>[a-z0-9-]+):(?P<account>\d{{12}}):function:{_NAME}{_QUALIFIER}$",
        rf"^(?P<account>\d{{12}}):function:{_NAME}{_QUALIFIER}$",
        rf"^function:{_NAME}{_QUALIFIER}$",
        rf"^{_NAME}{_QUALIFIER}$",
    )
)


@dataclass(frozen=True, slots=True)
class FunctionReference:
    """A function as a caller named it."""

    name: str
    qualifier: str | None = None
    account: str | None = None
    region: str | None = None


def parse_reference(text: str) -> FunctionReference | None:
    """The function that `text` names in any of the forms of §1.2.1; None when it is none of them."""
    for form in _FORMS:
        match = form.match(text)
        if match:
            found = match.groupdict()
            return FunctionReference(found["name"], found.get("qualifier"), found.get("account"), found.get("region"))
    return None


def account_id(namespace_uid: str, annotation: str | None = None) -> str:
    """The 12-digit account id of a namespace: its annotation where that is well-formed, else derived from its uid."""
    if annotation is not None and re.fullmatch(r"\d{12}", annotation):
        return annotation
    digest = hashlib.sha256(namespace_uid.encode()).digest()
    return f"{int.from_bytes(digest[:8]) % 10**12:012d}"


def namespace_account_id(uid: str, annotations: dict[str, str]) -> str:
    """`account_id` of a namespace object's uid and annotations."""
    return account_id(uid, annotations.get(labels.ACCOUNT_ID))


def function_arn(region: str, account: str, name: str, qualifier: str | None = None) -> str:
    """ARN of a function, qualified only when a qualifier was asked for (§1.2.3)."""
    arn = f"arn:aws:lambda:{region}:{account}:function:{name}"
    return f"{arn}:{qualifier}" if qualifier else arn
