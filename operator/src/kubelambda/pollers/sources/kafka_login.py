"""Who we are at a cluster of Kafka, whom we take for it, and what its refusals mean (§7.1.3, §7.5.4)."""

import asyncio
import os
import ssl
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka.errors import (
    AuthenticationFailedError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)

from kubelambda.api.reasons import Reason
from kubelambda.core.mapping.kafka_place import KafkaPlace
from kubelambda.kube.kube_client import KubeClient
from kubelambda.outbound.service_credentials import CredentialsMissing, read_secret
from kubelambda.pollers.sources.source import SourceUnreachable

NOT_CONNECTED: Final = "PROBLEM: Connection error. Please check your event source connection configuration."
_LOGIN_REFUSED: Final = "PROBLEM: SASL authentication failed"
_CERTIFICATE_REFUSED: Final = "PROBLEM: Server failed to authenticate Lambda"
_CLUSTER_REFUSED: Final = "PROBLEM: Lambda failed to authenticate server"
_NOT_ALLOWED: Final = "PROBLEM: Cluster failed to authorize Lambda"
_NO_CERTIFICATE: Final = "PROBLEM: Provided certificate or private key is invalid"
_LOGIN_ERRORS: Final = (
    AuthenticationFailedError,
    SaslAuthenticationFailed,
    IllegalSaslStateError,
    UnsupportedSaslMechanismError,
)
_ALLOWANCE_ERRORS: Final = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
)
_CLIENT_ALERTS: Final = (
    "ALERT_BAD_CERTIFICATE",
    "ALERT_CERTIFICATE",
    "CERTIFICATE_REQUIRED",
    "ALERT_HANDSHAKE_FAILURE",
)
"""How a broker says that our certificate is missing or none of its."""


@dataclass(frozen=True, slots=True)
class KafkaLogin:
    """What the Secrets of a mapping have."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    certificate: str | None = None
    """Ours, PEM, with those that lead to its authority."""
    private_key: str | None = field(default=None, repr=False)
    private_key_password: str | None = field(default=None, repr=False)
    authority: str | None = None
    """Certificates of who may have signed the brokers', PEM."""

    def tls(self, place: KafkaPlace) -> ssl.SSLContext | None:
        """How both sides prove who they are; None without TLS. Raises `SourceUnreachable`."""
        if not place.tls:
            return None
        try:
            context = ssl.create_default_context(cadata=self.authority)
            # Authorities of one's own are often made without what RFC 5280 asks for, and other clients take them.
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            if self.certificate is not None and self.private_key is not None:
                _load_chain(context, f"{self.certificate}\n{self.private_key}\n", self.private_key_password)
        except (ssl.SSLError, ValueError) as error:
            why = f"the certificate or private key in Secret {place.certificate_secret or place.authority_secret}"
            raise SourceUnreachable(
                f"{why} is invalid: {getattr(error, 'reason', None) or error}",
                reason=Reason.SOURCE_AUTHENTICATION_FAILED,
                result=_NO_CERTIFICATE,
            ) from error
        return context


def _load_chain(context: ssl.SSLContext, chain: str, password: str | None) -> None:
    """OpenSSL reads files only: this one is in memory, and nobody else's."""
    number = os.memfd_create("chain")
    try:
        os.write(number, chain.encode())
        context.load_cert_chain(f"/proc/self/fd/{number}", password=lambda: password or "")
    finally:
        os.close(number)


async def read_kafka_login(client: KubeClient, namespace: str, place: KafkaPlace) -> KafkaLogin:
    """The login of a mapping. Raises `CredentialsMissing`."""

    async def found(secret: str | None, *keys: tuple[str, ...]) -> list[str | None]:
        if secret is None:
            return [None for _ in keys]
        data = await read_secret(client, namespace, secret)
        values = [next((data[name] for name in names if data.get(name)), None) for names in keys]
        missing = [names[0] for names, value in zip(keys, values, strict=True) if value is None]
        if missing:
            raise CredentialsMissing(f"Secret {secret} has no key {' and no key '.join(missing)}")
        return values

    username, password = await found(place.login_secret, ("username",), ("password",))
    certificate, key = await found(place.certificate_secret, ("certificate", "tls.crt"), ("privateKey", "tls.key"))
    (authority,) = await found(place.authority_secret, ("certificate", "ca.crt"))
    key_password = None
    if place.certificate_secret is not None:
        key_password = (await read_secret(client, namespace, place.certificate_secret)).get("privateKeyPassword")
    return KafkaLogin(username, password, certificate, key, key_password, authority)


def kafka_problem(error: BaseException) -> SourceUnreachable:
    """What to say of what the client raised, in Lambda's words where it has some."""
    if isinstance(error, SourceUnreachable):
        return error
    if isinstance(error.__cause__, ssl.SSLError):  # a connection that was made, and then ended by the broker
        error = error.__cause__
    words = str(error) or type(error).__name__
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"the broker's certificate is not trusted: {error.verify_message}"
        return SourceUnreachable(why, reason=Reason.SOURCE_AUTHENTICATION_FAILED, result=_CLUSTER_REFUSED)
    if isinstance(error, ssl.SSLError) and any(each in words.upper() for each in _CLIENT_ALERTS):
        why = f"the broker does not take our certificate: {error.reason or words}"
        return SourceUnreachable(why, reason=Reason.SOURCE_AUTHENTICATION_FAILED, result=_CERTIFICATE_REFUSED)
    if isinstance(error, _LOGIN_ERRORS):
        why = f"the broker does not take our user and password: {words}"
        return SourceUnreachable(why, reason=Reason.SOURCE_AUTHENTICATION_FAILED, result=_LOGIN_REFUSED)
    if isinstance(error, _ALLOWANCE_ERRORS):
        why = f"our user may not read: {type(error).__name__}: {words}"
        return SourceUnreachable(why, reason=Reason.SOURCE_AUTHORIZATION_FAILED, result=_NOT_ALLOWED)
    return SourceUnreachable(f"the cluster does not answer: {words}", result=NOT_CONNECTED)


FAULTS: Final[tuple[type[BaseException], ...]] = (KafkaError, OSError, asyncio.TimeoutError)
"""What the client raises."""
type Options = dict[str, Any]


def connection_options(place: KafkaPlace, login: KafkaLogin) -> Options:
    """How the client connects to a broker. Raises `SourceUnreachable`."""
    options: Options = {"security_protocol": place.security_protocol, "ssl_context": login.tls(place)}
    if place.mechanism is not None:
        options |= {
            "sasl_mechanism": place.mechanism,
            "sasl_plain_username": login.username,
            "sasl_plain_password": login.password,
        }
    return options
