"""Where a mapping of Kafka reads, and by which Secrets it is known there: pure (§7.5.2, §7.5.4)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from kubelambda.api.kinds.event_source_mapping import EventSourceMappingSpec
from kubelambda.core.mapping.mapping_source import source_of
from kubelambda.core.mapping.mq_place import secret_name
from kubelambda.core.mapping.record_filter import SourceFormat
from kubelambda.core.mapping.schema_place import SchemaPlace, schema_place

MECHANISMS: Final = {
    "BASIC_AUTH": "PLAIN",
    "SASL_SCRAM_256_AUTH": "SCRAM-SHA-256",
    "SASL_SCRAM_512_AUTH": "SCRAM-SHA-512",
}
"""What SASL calls our ways to log in with a user and a password."""
_TOKENS: Final = "OAUTHBEARER_AUTH"
_EXTENSIONS: Final = {
    "OAUTHBEARER_LOGICAL_CLUSTER": "logicalCluster",
    "OAUTHBEARER_IDENTITY_POOL": "identityPoolId",
}
"""What brokers are told with a token, by the names that Confluent has for it."""


@dataclass(frozen=True, slots=True)
class TokenPlace:
    """Who gives out the tokens that we log in with, and what they are to be good for."""

    secret: str
    """Who we are there."""
    scope: str | None
    audience: str | None
    extensions: tuple[tuple[str, str], ...]
    """What brokers are told with a token."""


@dataclass(frozen=True, slots=True)
class KafkaPlace:
    """A topic, and how it is reached. Secrets are named; what is in them is read when a poller begins."""

    topic: str
    group: str
    """The consumer group."""
    arn: str
    """Of the cluster, whose service says where its brokers are; empty for one that is self-managed."""
    servers: tuple[str, ...]
    """Brokers of a self-managed cluster."""
    mechanism: str | None
    """Of SASL; None: no user logs in."""
    login_secret: str | None
    certificate_secret: str | None
    """Of our certificate."""
    authority_secret: str | None
    """Of whoever may have signed the brokers' certificates; those that everybody trusts unless given."""
    tls: bool
    schemas: SchemaPlace | None = None
    """Where the schemas of records are; None: records have none."""
    tokens: TokenPlace | None = None
    """Where we get what we log in with; None: we log in with a password, or not at all."""

    @property
    def security_protocol(self) -> str:
        """What Kafka calls that."""
        return ("SASL_" if self.mechanism else "") + ("SSL" if self.tls else "PLAINTEXT")

    def among(self, brokers: Mapping[str, str]) -> "KafkaPlace | None":
        """The place with servers of what the service of a cluster calls its brokers; None: it has none for us."""
        for name, tls in _BROKERS[_way_in(self)]:
            if brokers.get(name):
                return replace(self, servers=tuple(brokers[name].split(",")), tls=tls)
        return None


_BROKERS: Final[Mapping[str, tuple[tuple[str, bool], ...]]] = {
    "login": (("BootstrapBrokerStringSaslScram", True),),
    "certificate": (("BootstrapBrokerStringTls", True),),
    "nobody": (("BootstrapBrokerString", False), ("BootstrapBrokerStringTls", True)),
}
"""Where a cluster with an ARN is, by who we are there, and whether that is encrypted."""


def _way_in(place: KafkaPlace) -> str:
    if place.mechanism is not None:
        return "login"
    return "certificate" if place.certificate_secret is not None else "nobody"


def kafka_place(spec: EventSourceMappingSpec, uuid: str) -> KafkaPlace | None:
    """The place of a mapping; None of another source. The consumer group is the mapping's UUID unless it has one."""
    source = source_of(spec)
    if source.format is not SourceFormat.KAFKA:
        return None
    config = spec.amazon_managed_kafka_event_source_config or spec.self_managed_kafka_event_source_config
    given: dict[str, str] = {each.type: each.uri for each in spec.source_access_configurations or ()}
    access = {kind: secret_name(uri) for kind, uri in given.items()}
    login = next((kind for kind in MECHANISMS if kind in access), None)
    tokens = _token_place(given)
    mechanism = MECHANISMS[login] if login else None
    wanted = spec.connection.tls
    return KafkaPlace(
        topic=source.topics[0],
        group=(config.consumer_group_id if config else None) or uuid,
        arn=source.arn,
        servers=source.servers,
        mechanism="OAUTHBEARER" if tokens else mechanism,
        login_secret=access[login] if login else None,
        certificate_secret=access.get("CLIENT_CERTIFICATE_TLS_AUTH"),
        authority_secret=access.get("SERVER_ROOT_CA_CERTIFICATE"),
        tls=bool(access) if wanted is None else wanted,
        schemas=schema_place(config.schema_registry_config) if config and config.schema_registry_config else None,
        tokens=tokens,
    )


def _token_place(given: Mapping[str, str]) -> TokenPlace | None:
    if _TOKENS not in given:
        return None
    return TokenPlace(
        secret=secret_name(given[_TOKENS]),
        scope=given.get("OAUTHBEARER_SCOPE"),
        audience=given.get("OAUTHBEARER_AUDIENCE"),
        extensions=tuple((name, given[kind]) for kind, name in _EXTENSIONS.items() if kind in given),
    )
