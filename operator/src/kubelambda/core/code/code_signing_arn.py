"""How code signing configurations are named: as objects, by id and by ARN (§1.2.5)."""

import hashlib
import re
from typing import Final

_ID = re.compile(r"csc-[a-z0-9]{17}")
_ARN = re.compile(
    r"arn:[^:]+:lambda:(?P<region>[^:]+):(?P<account>\d{12}):code-signing-config:(?P<id>csc-[a-z0-9]{17})"
)
_LETTERS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_LENGTH: Final = 17


def code_signing_config_id(name: str, uid: str) -> str:
    """Lambda's id of an object: its name where that is one, else one derived of its uid."""
    if _ID.fullmatch(name):
        return name
    number, letters = int.from_bytes(hashlib.sha256(uid.encode()).digest()), []
    for _ in range(_LENGTH):
        number, digit = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[digit])
    return f"csc-{''.join(letters)}"


def code_signing_config_arn(region: str, account: str, config_id: str) -> str:
    """ARN of a configuration (§1.2.5)."""
    return f"arn:aws:lambda:{region}:{account}:code-signing-config:{config_id}"


def id_of_reference(reference: str, region: str, account: str) -> str | None:
    """The id that an ARN of this account and region names; empty of any other ARN. None: `reference` is a name."""
    if not reference.startswith("arn:"):
        return None
    found = _ARN.fullmatch(reference)
    return found["id"] if found and (found["region"], found["account"]) == (region, account) else ""
