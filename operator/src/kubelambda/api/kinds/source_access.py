"""Who we are at a broker, and whom we take for it: Secrets by what they are for (§7.5.4, §7.6.3)."""

from typing import Annotated, Literal

from pydantic import Field

from kubelambda.api.model import Model

SECRET_REFERENCE = r"^([a-z0-9]([a-z0-9.-]*[a-z0-9])?|arn:[a-z0-9-]+:secretsmanager:[^:]*:[^:]*:secret:[^:]+)$"
"""A Secret by its name, or by an ARN that ends with it."""
AccessType = Literal[
    "BASIC_AUTH",
    "VIRTUAL_HOST",
    "SASL_SCRAM_256_AUTH",
    "SASL_SCRAM_512_AUTH",
    "CLIENT_CERTIFICATE_TLS_AUTH",
    "SERVER_ROOT_CA_CERTIFICATE",
    "OAUTHBEARER_AUTH",
    "OAUTHBEARER_SCOPE",
    "OAUTHBEARER_AUDIENCE",
    "OAUTHBEARER_LOGICAL_CLUSTER",
    "OAUTHBEARER_IDENTITY_POOL",
]


class SourceAccessConfiguration(Model):
    """One of them."""

    type: AccessType
    """What it is for: a user and password, our certificate, that of the authority that signed the broker's, or who we
    are at whoever gives out tokens."""
    uri: Annotated[str, Field(min_length=1, max_length=253)]
    """Name of a Secret of the same namespace; of VIRTUAL_HOST the virtual host itself, and so of OAUTHBEARER_SCOPE and
    the like. Keys of the Secret: `username` and `password`; `certificate` (or `tls.crt`), `privateKey` (or `tls.key`)
    and, if needed, `privateKeyPassword`; of the authority `certificate` (or `ca.crt`); of OAUTHBEARER_AUTH
    `oauthTokenEndpointUrl`, `oauthClientId`, `oauthClientSecret` and, if needed, `oauthIdpCaCertificate`."""
