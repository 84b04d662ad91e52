"""Tokens by which our components know each other (`docs/environment-protocol.md`, Tokens).

Each is derived from the installation's key for one domain; no subject of one domain spells a token of another.
"""

import hashlib
import hmac
from typing import Final

KEY_MIN_BYTES: Final = 32


class InvalidKey(ValueError):
    """The installation's key cannot protect anything."""


def installation_key(content: bytes) -> bytes:
    """The key in the content of its file. Raises `InvalidKey` for one that could be guessed."""
    key = content.strip()
    if len(key) < KEY_MIN_BYTES:
        raise InvalidKey(
            f"the installation's key has {len(key)} bytes; at least {KEY_MIN_BYTES} random ones are needed"
        )
    return key


def pool_token(key: bytes, namespace: str) -> str:
    """What authorises the first call to an unclaimed environment of `namespace`."""
    return _derived(key, "pool", namespace)


def pool_token_sha256(key: bytes, namespace: str) -> str:
    """What a pod template may show of the pool token."""
    return hashlib.sha256(pool_token(key, namespace).encode()).hexdigest()


def environment_token(key: bytes, pod_uid: str) -> str:
    """What authorises every call to a claimed environment."""
    return _derived(key, "environment", pod_uid)


def caller_token(key: bytes, role: str) -> str:
    """What proves that a caller of the Invoke API is one of our components, in that role."""
    return _derived(key, "caller", role)


def secret_report_token(key: bytes) -> str:
    """What authorises the operator to ask a frontend for the names of keys in Secrets."""
    return _derived(key, "secret-report")


def code_key(key: bytes) -> bytes:
    """The key of whoever takes code in: it uploads archives and signs addresses with it, and can do nothing else."""
    return _derived(key, "code-key").encode()


def code_signature(code_key: bytes, sha256: str, expires: int) -> str:
    """Signature of a code store address that is good until `expires`, in seconds since the epoch."""
    return _derived(code_key, "code", f"{sha256}/{expires}")


def upload_token(code_key: bytes) -> str:
    """What authorises writing an archive to the code store."""
    return _derived(code_key, "upload-token")


def upload_signature(code_key: bytes, namespace: str, sha256: str) -> str:
    """What proves that an archive was uploaded for `namespace`: who only knows its digest does not have the code."""
    return _derived(code_key, "upload", f"{namespace}/{sha256}")


def fetch_token(code_key: bytes) -> str:
    """What authorises asking the code fetcher for the code of any namespace."""
    return _derived(code_key, "fetch-token")


def code_store_token(key: bytes) -> str:
    """What authorises everything in the code store: what it lists and forgets as well."""
    return _derived(key, "code-store")


def _derived(key: bytes, domain: str, subject: str = "") -> str:
    return hmac.new(key, f"{domain}/{subject}".encode(), hashlib.sha256).hexdigest()
