"""How we say to a cluster of Kafka who we are, and what its refusals mean (§7.1.3, §7.5.4)."""

import asyncio
import ssl
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
from kubelambda.pollers.sources.source_unreachable import SourceUnreachable
from kubelambda.pollers.sources.tls_login import TlsLogin

NOT_CONNECTED: Final = "PROBLEM: Connection error. Please check your event source connection configuration."
LOGIN_REFUSED: Final = "PROBLEM: SASL authentication failed"
_CERTIFICATE_REFUSED: Final = "PROBLEM: Server failed to authenticate Lambda"
_CLUSTER_REFUSED: Final = "PROBLEM: Lambda failed to authenticate server"
_NOT_ALLOWED: Final = "PROBLEM: Cluster failed to authorize Lambda"
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


def kafka_problem(error: BaseException) -> SourceUnreachable:
    """What to say of what the client raised, in Lambda's words where it has some."""
    for known in (error, error.__cause__):  # the cause: whoever gives out tokens, asked for a connection
        if isinstance(known, SourceUnreachable):
            return known
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
        why = f"the broker does not take who we are: {words}"
        return SourceUnreachable(why, reason=Reason.SOURCE_AUTHENTICATION_FAILED, result=LOGIN_REFUSED)
    if isinstance(error, _ALLOWANCE_ERRORS):
        why = f"our user may not read: {type(error).__name__}: {words}"
        return SourceUnreachable(why, reason=Reason.SOURCE_AUTHORIZATION_FAILED, result=_NOT_ALLOWED)
    return SourceUnreachable(f"the cluster does not answer: {words}", result=NOT_CONNECTED)


FAULTS: Final[tuple[type[BaseException], ...]] = (KafkaError, OSError, asyncio.TimeoutError)
"""What the client raises."""
type Options = dict[str, Any]


def connection_options(place: KafkaPlace, login: TlsLogin, tokens: Any = None) -> Options:
    """How the client connects to a broker; `tokens` are those of a place that has them. Raises `SourceUnreachable`."""
    context = login.context(place.certificate_secret or place.authority_secret) if place.tls else None
    options: Options = {"security_protocol": place.security_protocol, "ssl_context": context}
    if place.tokens is not None:
        options |= {"sasl_mechanism": place.mechanism, "sasl_oauth_token_provider": tokens}
    elif place.mechanism is not None:
        options |= {
            "sasl_mechanism": place.mechanism,
            "sasl_plain_username": login.username,
            "sasl_plain_password": login.password,
        }
    return options
