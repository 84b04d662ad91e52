"""Who calls, once that is proven (DESIGN §10)."""

import base64
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class AuthMode(StrEnum):
    """How callers prove who they are."""

    NONE = "none"
    """They need not: whoever reaches us may do everything."""
    SIGV4 = "sigv4"
    """By signing with an access key."""
    TOKEN = "token"  # noqa: S105 - a mode
    """By a bearer token of Kubernetes."""
    ANY = "any"
    """By either."""

    @property
    def signatures(self) -> bool:
        """Whether a signature proves anything."""
        return self in (AuthMode.SIGV4, AuthMode.ANY)

    @property
    def tokens(self) -> bool:
        """Whether a bearer token proves anything."""
        return self in (AuthMode.TOKEN, AuthMode.ANY)


def account_mode(installation: AuthMode, annotation: str | None) -> AuthMode:
    """The mode of one account: its namespace may ask for more than the installation does, and never for less.

    What is no mode counts as the strictest that there is, so that a misspelled wish opens nothing.
    """
    if annotation is None or installation is not AuthMode.NONE:
        return installation
    try:
        return AuthMode(annotation)
    except ValueError:
        return AuthMode.ANY


class CallerKind(StrEnum):
    """How a caller proved who it is."""

    ACCESS_KEY = "access key"
    TOKEN = "token"  # noqa: S105 - a kind
    SERVICE = "service"
    """A service principal: something that invokes on behalf of an event source."""
    PLATFORM = "platform"
    """One of our own components, which asked its own callers."""
    ANONYMOUS = "anonymous"
    """Somebody who need not say who it is: a caller of a function URL of the type NONE."""


@dataclass(frozen=True, slots=True)
class KubernetesUser:
    """Whom a token belongs to, as the API server says."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def service_account(self) -> tuple[str, str] | None:
        """Namespace and name of the service account that it is."""
        parts = self.name.split(":")
        if len(parts) != 4 or parts[:2] != ["system", "serviceaccount"]:
            return None
        return parts[2], parts[3]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. `arn` is what errors and the audit log call it."""

    kind: CallerKind
    arn: str
    namespace: str | None = None
    """The account that it belongs to."""
    account: str | None = None
    """The id of that account, where it is rightfully its own."""
    actions: tuple[str, ...] = ("*",)
    """What an access key was made for."""
    user: KubernetesUser | None = None
    source_arn: str | None = None
    source_account: str | None = None
    """Of a service: the event source that it acts for."""


PLATFORM: Final = Caller(CallerKind.PLATFORM, "kubelambda")
ANYBODY: Final = Caller(CallerKind.ANONYMOUS, "anonymous")


def key_holder(user: str, namespace: str, claimed: str | None, *, rightful: bool, actions: tuple[str, ...]) -> Caller:
    """The holder of an access key of `namespace`, which claims the account id `claimed`."""
    arn = f"arn:aws:iam::{claimed or ''}:user/{user}"
    account = claimed if rightful else None
    return Caller(CallerKind.ACCESS_KEY, arn, namespace, account, actions)


def token_holder(user: KubernetesUser, claimed: str | None, *, rightful: bool) -> Caller:
    """The holder of a bearer token. A service account is a role of its namespace's account; others are of none."""
    found = user.service_account
    if found is None:
        return Caller(CallerKind.TOKEN, user.name, user=user)
    namespace, name = found
    arn = f"arn:aws:iam::{claimed}:role/{name}" if claimed else user.name
    return Caller(CallerKind.TOKEN, arn, namespace, claimed if rightful else None, user=user)


def token_namespace(token: str) -> str | None:
    """The namespace of the service account that a bearer token says it is of. Nothing of it is proven."""
    payload = token.split(".")[1:2]
    try:
        found = json.loads(base64.urlsafe_b64decode(payload[0] + "===")) if payload else None
    except (ValueError, RecursionError):
        return None
    name = found.get("sub") if isinstance(found, dict) else None
    account = KubernetesUser(name).service_account if isinstance(name, str) else None
    return account[0] if account is not None and account[0].isascii() else None


def service(name: str, *, source_arn: str | None = None, source_account: str | None = None) -> Caller:
    """A service principal, as `events.amazonaws.com`."""
    return Caller(CallerKind.SERVICE, name, source_arn=source_arn, source_account=source_account)
