"""Access keys as they are held in Secrets: what a Secret must look like, and what is wrong with one (DESIGN §10)."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

SECRET_NAME: Final = "kubelambda-access-keys"  # noqa: S105 - a name
"""Name of the Secret that has the keys of its namespace: the only one that those who verify signatures can read."""
KEYS_MAX: Final = 1000
"""Of one Secret; the rest is not read."""
_ID = re.compile(r"\w{3,128}", re.ASCII)
_USER = re.compile(r"[\w+=,.@/-]{1,128}", re.ASCII)
_ACTION = re.compile(r"\*|[a-z-]+:[A-Za-z*]+")
_MEMBERS: Final = {
    "AccessKeyId",
    "Actions",
    "CreateDate",
    "Expiration",
    "SecretAccessKey",
    "SessionToken",
    "Status",
    "UserName",
}


@dataclass(frozen=True, slots=True)
class AccessKey:
    """One key. Of temporary credentials, `token` comes with every request, and `expires` is in seconds of the epoch."""

    id: str
    secret: str = field(repr=False)
    namespace: str
    user: str
    """Name in its ARN: the id unless the Secret says otherwise."""
    token: str | None = field(default=None, repr=False)
    expires: float | None = None
    actions: tuple[str, ...] = ("*",)
    """What its holder may do in the account and, where a policy of the other side agrees, beyond."""


class InvalidAccessKey(ValueError):
    """An entry of the Secret that is no key; the message never repeats its value."""


def access_keys(body: Mapping[str, Any]) -> tuple[dict[str, AccessKey], dict[str, str]]:
    """The keys in a Secret object by their ids, and by their names why the others are none."""
    namespace = body["metadata"]["namespace"]
    found: dict[str, AccessKey] = {}
    wrong: dict[str, str] = {}
    for name, value in sorted((body.get("data") or {}).items()):
        if len(found) >= KEYS_MAX:
            wrong[name] = f"a Secret has at most {KEYS_MAX} access keys"
            continue
        try:
            key = _access_key(namespace, name, value)
        except InvalidAccessKey as error:
            wrong[name] = str(error)
        else:
            if key is not None:
                found[name] = key
    return found, wrong


def _access_key(namespace: str, name: str, value: str) -> AccessKey | None:
    if not _ID.fullmatch(name):
        raise InvalidAccessKey("an access key id has 3 to 128 letters, digits and underscores")
    try:
        text = base64.b64decode(value).decode().strip()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise InvalidAccessKey("it is no UTF-8 text") from error
    members = _members(text)
    secret = members.get("SecretAccessKey")
    if not isinstance(secret, str) or not secret:
        raise InvalidAccessKey("it has no SecretAccessKey")
    if members.get("Status", "Active") != "Active":
        return None
    user = members.get("UserName") or name
    if not isinstance(user, str) or not _USER.fullmatch(user):
        raise InvalidAccessKey("UserName is no name of a user")
    token = members.get("SessionToken")
    if token is not None and (not isinstance(token, str) or not token):
        raise InvalidAccessKey("SessionToken is no text")
    expires = _expiration(members.get("Expiration"))
    return AccessKey(name, secret, namespace, user, token, expires, _actions(members.get("Actions")))


def _members(text: str) -> dict[str, Any]:
    """Those of a JSON object as the AWS CLI prints credentials; a text that is none is the secret key itself."""
    if not text.startswith("{"):
        return {"SecretAccessKey": text}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidAccessKey("it begins as JSON and is none") from error
    unknown = sorted(found.keys() - _MEMBERS)
    if unknown:
        raise InvalidAccessKey(f"it has members that no access key has: {', '.join(unknown)}")
    return dict(found)


def _expiration(given: Any) -> float | None:
    if given is None:
        return None
    try:
        found = datetime.fromisoformat(str(given))
    except ValueError as error:
        raise InvalidAccessKey("Expiration is no time as 2026-01-31T12:00:00Z") from error
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _actions(given: Any) -> tuple[str, ...]:
    if given is None:
        return ("*",)
    actions = [given] if isinstance(given, str) else given
    if not isinstance(actions, list) or not all(isinstance(each, str) and _ACTION.fullmatch(each) for each in actions):
        raise InvalidAccessKey("Actions is no list of actions as lambda:InvokeFunction or lambda:Get*")
    return tuple(actions)
