"""Who we are at a broker, whom we take for it, and what its words of refusal mean (§7.1.3)."""

import re
import ssl
from dataclasses import dataclass, field
from typing import Final

from kubelambda.api.reasons import Reason
from kubelambda.core.mapping.mq_place import MqPlace
from kubelambda.kube.kube_client import KubeClient
from kubelambda.outbound.service_credentials import CredentialsMissing, read_secret
from kubelambda.pollers.sources.source_unreachable import SourceUnreachable

_AUTHENTICATION: Final = re.compile("login was refused|name .* or password is invalid|authenticat", re.IGNORECASE)
_AUTHORIZATION: Final = re.compile("access refused|refused for user|not authorized|access to .* refused", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class MqLogin:
    """A user of a broker."""

    username: str
    password: str = field(repr=False)
    authority: str | None = None
    """Certificates of who may have signed the broker's, PEM."""

    def tls(self, place: MqPlace) -> ssl.SSLContext | None:
        """How the broker is to prove who it is; None without TLS. Raises `CredentialsMissing`."""
        if not place.tls:
            return None
        try:
            return ssl.create_default_context(cadata=self.authority)
        except (ssl.SSLError, TypeError, ValueError) as error:
            raise CredentialsMissing(f"Secret {place.authority_secret} has no certificate: {error}") from error


async def read_login(client: KubeClient, namespace: str, place: MqPlace) -> MqLogin:
    """The login that the Secrets of a mapping have. Raises `CredentialsMissing`."""
    data = await read_secret(client, namespace, place.login_secret)
    missing = [key for key in ("username", "password") if not data.get(key)]
    if missing:
        raise CredentialsMissing(f"Secret {place.login_secret} has no key {' and no key '.join(missing)}")
    authority = None
    if place.authority_secret is not None:
        found = await read_secret(client, namespace, place.authority_secret)
        authority = found.get("certificate") or found.get("ca.crt")
        if not authority:
            raise CredentialsMissing(f"Secret {place.authority_secret} has no key certificate and no key ca.crt")
    return MqLogin(data["username"], data["password"], authority)


def connect_problem(error: OSError | TimeoutError) -> SourceUnreachable:
    """What to say of a connection that was not made."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"the broker's certificate is not trusted: {error.verify_message}"
        return SourceUnreachable(why, reason=Reason.SOURCE_AUTHENTICATION_FAILED)
    if isinstance(error, ssl.SSLError):
        return SourceUnreachable(f"the broker does not speak TLS with us: {error.reason or error}")
    return SourceUnreachable(f"the broker does not answer: {str(error) or type(error).__name__}")


def broker_problem(error: BaseException) -> SourceUnreachable:
    """What to say of what a broker's client raised, by the broker's own words if there are some."""
    if isinstance(error, SourceUnreachable):
        return error
    words = " ".join(str(each) for each in error.args if isinstance(each, str)) or type(error).__name__
    reason = Reason.SOURCE_UNAVAILABLE
    if _AUTHENTICATION.search(words):
        reason = Reason.SOURCE_AUTHENTICATION_FAILED
    elif _AUTHORIZATION.search(words):
        reason = Reason.SOURCE_AUTHORIZATION_FAILED
    return SourceUnreachable(f"the broker says: {words}", reason=reason)
