"""Which frontend owns an account: rendezvous hashing, so that a change of members moves few (DESIGN §5)."""

import hashlib
from collections.abc import Iterable


def ranked(account: str, members: Iterable[str]) -> list[str]:
    """Members in the order in which they own `account`: the first does, the next one follows when it is gone."""

    def weight(member: str) -> bytes:
        return hashlib.blake2b(f"{member}/{account}".encode(), digest_size=8).digest()

    return sorted(members, key=weight, reverse=True)
