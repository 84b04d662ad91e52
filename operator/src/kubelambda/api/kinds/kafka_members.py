"""Members of an `EventSourceMapping` that only Kafka has: its cluster, the topic, the consumer group (§7.5)."""

from typing import Annotated

from pydantic import Field

from kubelambda.api.kinds.schema_registry_config import SchemaRegistryConfig
from kubelambda.api.kinds.stream_members import SOURCE_ARN, StreamMembers
from kubelambda.api.model import Model
from kubelambda.api.validations import fixed, rule

_CLUSTER = "^arn:[a-zA-Z0-9-]+:kafka:[a-z0-9-]+:[0-9]{12}:cluster/[a-zA-Z0-9_-]{1,64}/[a-zA-Z0-9-]+$"
_IS_MANAGED = f"{SOURCE_ARN}.matches('{_CLUSTER}')"
IS_KAFKA = f"(has(self.selfManagedEventSource) || {_IS_MANAGED})"
"""CEL: whether a mapping's source is a cluster of Kafka."""
_LOGINS = "['BASIC_AUTH', 'SASL_SCRAM_256_AUTH', 'SASL_SCRAM_512_AUTH', 'OAUTHBEARER_AUTH']"
_OF_TOKENS = "['OAUTHBEARER_SCOPE', 'OAUTHBEARER_AUDIENCE', 'OAUTHBEARER_LOGICAL_CLUSTER', 'OAUTHBEARER_IDENTITY_POOL']"
_ACCESS = "(has(self.sourceAccessConfigurations) ? self.sourceAccessConfigurations : [])"


def _group(spec: str, config: str) -> str:
    """CEL: the consumer group that a spec names, empty while it names none."""
    found = f"{spec}.{config}"
    return f"(has({found}) && has({found}.consumerGroupId) ? {found}.consumerGroupId : '')"


KAFKA_RULES = (
    rule(
        "has(self.eventSourceArn) != has(self.selfManagedEventSource)",
        "give either eventSourceArn or, for a cluster of Kafka that no ARN names, selfManagedEventSource",
    ),
    rule(
        f"!{IS_KAFKA} || (has(self.topics) && self.topics.size() == 1)",
        "a mapping of Kafka reads exactly one topic: topics",
        fieldPath=".topics",
    ),
    rule(f"{IS_KAFKA} || !has(self.topics)", "topics is of Kafka only", fieldPath=".topics"),
    rule(
        f"{_IS_MANAGED} || !has(self.amazonManagedKafkaEventSourceConfig)",
        "amazonManagedKafkaEventSourceConfig is of clusters with an ARN only",
        fieldPath=".amazonManagedKafkaEventSourceConfig",
    ),
    rule(
        "has(self.selfManagedEventSource) || !has(self.selfManagedKafkaEventSourceConfig)",
        "selfManagedKafkaEventSourceConfig is of selfManagedEventSource only",
        fieldPath=".selfManagedKafkaEventSourceConfig",
    ),
    rule(
        f"!{IS_KAFKA} || {_ACCESS}.filter(each, each.type in {_LOGINS}).size() <= 1",
        "a cluster knows us by one user: one of BASIC_AUTH, SASL_SCRAM_256_AUTH, SASL_SCRAM_512_AUTH and "
        "OAUTHBEARER_AUTH",
        fieldPath=".sourceAccessConfigurations",
    ),
    rule(
        f"has(self.selfManagedEventSource) || !{_ACCESS}.exists(each, each.type.startsWith('OAUTHBEARER_'))",
        "OAUTHBEARER_AUTH and what goes with it is of selfManagedEventSource only",
        fieldPath=".sourceAccessConfigurations",
    ),
    rule(
        f"!{_ACCESS}.exists(each, each.type in {_OF_TOKENS}) || "
        f"{_ACCESS}.exists(each, each.type == 'OAUTHBEARER_AUTH')",
        "scope, audience, logical cluster and identity pool are of tokens: OAUTHBEARER_AUTH says where those are had",
        fieldPath=".sourceAccessConfigurations",
    ),
    rule(
        f"!{IS_KAFKA} || !{_ACCESS}.exists(each, each.type == 'VIRTUAL_HOST')",
        "VIRTUAL_HOST is of RabbitMQ only",
        fieldPath=".sourceAccessConfigurations",
    ),
    fixed("topics", "the topic"),
    fixed("selfManagedEventSource", "the source"),
    *(
        rule(
            f"{_group('self', config)} == {_group('oldSelf', config)}",
            f"the consumer group of a mapping is fixed: {config}.consumerGroupId",
        )
        for config in ("amazonManagedKafkaEventSourceConfig", "selfManagedKafkaEventSourceConfig")
    ),
)


class KafkaEndpoints(Model):
    """Addresses of a cluster."""

    kafka_bootstrap_servers: Annotated[
        list[Annotated[str, Field(pattern=r"^[a-zA-Z0-9.-]{1,253}:[0-9]{1,5}$", max_length=260)]],
        Field(alias="KAFKA_BOOTSTRAP_SERVERS", min_length=1, max_length=10),
    ]
    """`host:port` of brokers that say where the others are."""


class SelfManagedEventSource(Model):
    """A cluster that no ARN names."""

    endpoints: KafkaEndpoints
    """Where it is."""


class KafkaConsumerConfig(Model):
    """How a topic is read."""

    consumer_group_id: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_./:-]+$", min_length=1, max_length=200)] | None = None
    """The consumer group, the mapping's UUID unless given. Where it has been before, it goes on: startingPosition is
    for what it has not read yet."""
    schema_registry_config: SchemaRegistryConfig | None = None
    """Where the schemas of records are."""


class KafkaMembers(StreamMembers):
    """What Kafka has beside the members of streams."""

    topics: (
        Annotated[
            list[Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]+$", min_length=1, max_length=249)]],
            Field(min_length=1, max_length=1),
        ]
        | None
    ) = None
    """Of Kafka: the topic."""
    self_managed_event_source: SelfManagedEventSource | None = None
    """Of Kafka: a cluster that no ARN names."""
    amazon_managed_kafka_event_source_config: KafkaConsumerConfig | None = None
    """Of Kafka: how the topic of a cluster with an ARN is read."""
    self_managed_kafka_event_source_config: KafkaConsumerConfig | None = None
    """Of Kafka: how the topic of a self-managed cluster is read."""
