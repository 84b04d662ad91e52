"""Tokens by which agents know frontends (`docs/environment-protocol.md`, Tokens)."""

import hashlib
import hmac


def pool_token(key: bytes, namespace: str) -> str:
    """What authorises the first call to an unclaimed environment of `namespace`."""
    return hmac.new(key, f"pool/{namespace}".encode(), hashlib.sha256).hexdigest()


def pool_token_sha256(key: bytes, namespace: str) -> str:
    """What a pod template may show of the pool token."""
    return hashlib.sha256(pool_token(key, namespace).encode()).hexdigest()


def environment_token(key: bytes, pod_uid: str) -> str:
    """What authorises every call to a claimed environment."""
    return hmac.new(key, f"environment/{pod_uid}".encode(), hashlib.sha256).hexdigest()


def code_signature(key: bytes, sha256: str, expires: int) -> str:
    """Signature of a code store address that is good until `expires`, in seconds since the epoch."""
    return hmac.new(key, f"code/{sha256}/{expires}".encode(), hashlib.sha256).hexdigest()


def code_store_token(key: bytes) -> str:
    """What authorises writing to the code store."""
    return hmac.new(key, b"code-store", hashlib.sha256).hexdigest()
