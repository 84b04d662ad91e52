"""Who we are at a service of AWS: what a Secret of the account says, and never credentials of our own."""

from base64 import b64decode
from dataclasses import dataclass, field

from kubelambda.api import labels
from kubelambda.kube.errors import KubeError
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import NAMESPACES, SECRETS


class CredentialsMissing(Exception):
    """Nothing says who we are at a service; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class ServiceCredentials:
    """The keys of an account."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


async def read_credentials(client: KubeClient, namespace: str, secret: str | None, what: str) -> ServiceCredentials:
    """The keys in `secret`, or in the Secret of the account's functions. `what` has the field that may name one.

    Raises `CredentialsMissing`.
    """
    name = secret or await _accounts_secret(client, namespace, what)
    data = await read_secret(client, namespace, name)
    missing = [key for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY") if not data.get(key)]
    if missing:
        raise CredentialsMissing(f"Secret {name} has no key {' and no key '.join(missing)}")
    return ServiceCredentials(
        data["AWS_ACCESS_KEY_ID"], data["AWS_SECRET_ACCESS_KEY"], data.get("AWS_SESSION_TOKEN") or None
    )


async def read_secret(client: KubeClient, namespace: str, name: str) -> dict[str, str]:
    """The values of a Secret. Raises `CredentialsMissing`."""
    try:
        found = await client.find(SECRETS, name, namespace)
    except KubeError as error:
        raise CredentialsMissing(f"Secret {name} cannot be read: {error}") from error
    if found is None:
        raise CredentialsMissing(f"there is no Secret {name}")
    return secret_values(found)


def secret_values(secret: Object) -> dict[str, str]:
    """The values in a Secret object."""
    return {key: b64decode(value).decode(errors="replace") for key, value in (secret.get("data") or {}).items()}


async def _accounts_secret(client: KubeClient, namespace: str, what: str) -> str:
    """The Secret with the credentials of the account's functions: services are reached as they (§7.1.8)."""
    try:
        metadata = (await client.get(NAMESPACES, namespace))["metadata"]
    except KubeError as error:
        raise CredentialsMissing(f"the namespace cannot be read: {error}") from error
    found: str | None = (metadata.get("annotations") or {}).get(labels.CREDENTIALS_SECRET)
    if not found:
        raise CredentialsMissing(
            f"neither {what} nor the namespace's annotation {labels.CREDENTIALS_SECRET} names a Secret: "
            "without one no service is reached"
        )
    return found
