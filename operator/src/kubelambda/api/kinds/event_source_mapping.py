"""The `EventSourceMapping` custom resource: a source whose records a function is invoked with (§7.1)."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from kubelambda.api.conditions import Condition
from kubelambda.api.kinds.kafka_members import IS_KAFKA, KAFKA_RULES, KafkaMembers
from kubelambda.api.kinds.mq_members import IS_BROKER, MQ_RULES, MqMembers
from kubelambda.api.kinds.source_access import SourceAccessConfiguration
from kubelambda.api.kinds.stream_members import IS_STREAM, SOURCE_ARN, STREAM_RULES
from kubelambda.api.mapping_states import MappingState
from kubelambda.api.model import Model
from kubelambda.api.validations import rule, rules

_QUEUE = "^arn:[a-zA-Z0-9-]+:sqs:[a-z0-9-]+:[0-9]{12}:[a-zA-Z0-9_-]{1,80}(\\\\.fifo)?$"
IS_QUEUE = f"{SOURCE_ARN}.matches('{_QUEUE}')"
_BATCH = "(has(self.batchSize) ? self.batchSize : 10)"
_WINDOW = "(has(self.maximumBatchingWindowInSeconds) ? self.maximumBatchingWindowInSeconds : 0)"
_FIFO = f"{SOURCE_ARN}.endsWith('.fifo')"
PROVISIONED_RULES = (
    rule(
        f"!has(self.provisionedPollerConfig) || {IS_QUEUE} || {IS_KAFKA}",
        "provisionedPollerConfig is of queues of SQS and of Kafka only",
        fieldPath=".provisionedPollerConfig",
    ),
    rule(
        f"!has(self.provisionedPollerConfig) || !{IS_QUEUE} || "
        "((!has(self.provisionedPollerConfig.minimumPollers) || self.provisionedPollerConfig.minimumPollers >= 2) && "
        "(!has(self.provisionedPollerConfig.maximumPollers) || self.provisionedPollerConfig.maximumPollers >= 2))",
        "a queue has 2 provisioned pollers at least",
        fieldPath=".provisionedPollerConfig",
    ),
    rule(
        "!has(self.provisionedPollerConfig) || "
        "(has(self.provisionedPollerConfig.minimumPollers) ? self.provisionedPollerConfig.minimumPollers : 1) <= "
        "(has(self.provisionedPollerConfig.maximumPollers) ? self.provisionedPollerConfig.maximumPollers : 200)",
        "minimumPollers is more than maximumPollers",
        fieldPath=".provisionedPollerConfig",
    ),
    rule(
        "!has(self.provisionedPollerConfig) || !has(self.scalingConfig)",
        "scalingConfig and provisionedPollerConfig exclude each other: both bound the concurrency",
        fieldPath=".scalingConfig",
    ),
)


class SecretName(Model):
    """A Secret in the mapping's namespace."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    """Its name."""


class SourceConnection(Model):
    """Where a source is and who we are there: what Lambda has no need to be told."""

    endpoint_url: Annotated[str, Field(pattern=r"^(https?|amqps?|stomp(\+ssl)?)://[^/]+", max_length=2048)] | None = (
        None
    )
    """Base address of the service; AWS's own in the ARN's region unless given. Of Kafka that of the service that says
    where the brokers of a cluster are. Of a broker of MQ the address of its port: amqp:// or amqps:// of RabbitMQ,
    stomp:// or stomp+ssl:// of ActiveMQ."""
    credentials_secret: SecretName | None = None
    """Secret with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, if needed, AWS_SESSION_TOKEN; that of the namespace's
    annotation kubelambda.dev/credentials-secret unless given."""
    tls: bool | None = None
    """Of self-managed Kafka: whether connections are encrypted. As Lambda's they are, unless nothing says who we are
    and no certificate authority is given."""


class EventFilter(Model):
    """One pattern."""

    pattern: Annotated[str, Field(min_length=1, max_length=4096)]
    """JSON, by the grammar of §7.8."""


class FilterCriteria(Model):
    """Which records the function gets."""

    filters: Annotated[list[EventFilter], Field(max_length=10)] = []
    """A record passes when one of them matches, or when there is none."""


class ScalingConfig(Model):
    """Bounds of the concurrency."""

    maximum_concurrency: Annotated[int, Field(ge=2, le=1000)] | None = None
    """Invocations of the function at once by this mapping, 2 to 1000."""


class ProvisionedPollerConfig(Model):
    """Pollers in advance."""

    minimum_pollers: Annotated[int, Field(ge=1, le=200)] | None = None
    """How many there are at least, of a queue 2 or more; 2 of a queue and 1 of Kafka unless given."""
    maximum_pollers: Annotated[int, Field(ge=1, le=2000)] | None = None
    """How many there are at most, of a queue 2 or more; 200 unless given. A poller of a queue is worth 10 batches at
    the function at once, one of Kafka 5."""


class EventSourceMappingSpec(KafkaMembers, MqMembers):
    """What people write: Lambda's members with a small first letter, and `connection`."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                f"{IS_QUEUE} || {IS_STREAM} || {IS_KAFKA} || {IS_BROKER}",
                "eventSourceArn is not served by this release of kubelambda: sources are SQS queues "
                "(arn:aws:sqs:<region>:<account>:<queue>), Kinesis streams (arn:aws:kinesis:<region>:<account>:stream/"
                "<name>), streams of DynamoDB (arn:aws:dynamodb:<region>:<account>:table/<table>/stream/<label>), "
                "brokers of MQ (arn:aws:mq:<region>:<account>:broker:<name>:<id>) and clusters of Kafka "
                "(arn:aws:kafka:<region>:<account>:cluster/<name>/<id>, or selfManagedEventSource)",
                fieldPath=".eventSourceArn",
            ),
            rule(
                "has(self.eventSourceArn) == has(oldSelf.eventSourceArn) && "
                "(!has(self.eventSourceArn) || self.eventSourceArn == oldSelf.eventSourceArn)",
                "the source of a mapping is fixed: eventSourceArn",
            ),
            rule(
                f"!{IS_QUEUE} || {_BATCH} <= 10 || {_WINDOW} >= 1",
                "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10",
            ),
            rule(f"!{_FIFO} || {_BATCH} <= 10", "Batch size of a FIFO queue is 10 at most"),
            rule(f"!{_FIFO} || {_WINDOW} == 0", "Batching window is not supported for FIFO queues"),
            rule(
                f"{IS_KAFKA} || {IS_BROKER} || !has(self.sourceAccessConfigurations)",
                "sourceAccessConfigurations is of Kafka and of brokers of MQ only",
                fieldPath=".sourceAccessConfigurations",
            ),
            *STREAM_RULES,
            *KAFKA_RULES,
            *MQ_RULES,
            *PROVISIONED_RULES,
        )
    )

    function_name: Annotated[
        str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}(:(\$LATEST|[a-zA-Z0-9_-]{1,128}))?$", max_length=193)
    ]
    """Name of a Function of the same namespace; a version or an alias may follow after a colon."""
    enabled: bool = True
    """Whether records are read; false pauses the mapping, and loses nothing."""
    tags: Annotated[dict[str, Annotated[str, Field(max_length=256)]], Field(max_length=50)] = {}
    """Tags, for people and for the control API."""
    event_source_arn: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """ARN of the source; a self-managed cluster of Kafka has none."""
    connection: SourceConnection = SourceConnection()
    """Where the source is."""
    batch_size: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """The most records of one invocation; 10 of a queue and 100 of other sources unless given."""
    maximum_batching_window_in_seconds: Annotated[int, Field(ge=0, le=300)] | None = None
    """How long records are gathered for one invocation; 0 unless given, of Kafka and of MQ half a second."""
    filter_criteria: FilterCriteria | None = None
    """Which records the function gets; the others are deleted from a queue and passed over in a stream."""
    function_response_types: Annotated[list[Literal["ReportBatchItemFailures"]], Field(max_length=1)] = []
    """ReportBatchItemFailures: the function names the records that failed, and the others are done (§7.2)."""
    scaling_config: ScalingConfig | None = None
    """Bounds of the concurrency."""
    source_access_configurations: Annotated[list[SourceAccessConfiguration], Field(max_length=22)] | None = None
    """Of Kafka and of brokers of MQ: who we are there, and whom we take for it."""
    provisioned_poller_config: ProvisionedPollerConfig | None = None
    """Of queues and of Kafka: how many pollers there are in advance."""


class ShardPosition(Model):
    """How far a shard of a stream is done."""

    shard_id: str
    """Its name."""
    sequence_number: str | None = None
    """Of the last record that is done; none while the first is not."""
    finished: bool = False
    """Whether it is closed and all of it is done: then its children are read."""


class Checkpoints(Model):
    """How far a stream is done. Atomic: who takes it over owns all of it, and no other poller can write it any more."""

    model_config = ConfigDict(json_schema_extra={"x-kubernetes-map-type": "atomic"})

    poller: str
    """Who works the mapping."""
    shards: list[ShardPosition] = []
    """Every shard of which something is done."""


class EventSourceMappingStatus(Model):
    """What the operator reports.

    The pollers write lastProcessingResult, lag, pollers, checkpoints and the condition Polling.
    """

    observed_generation: int | None = None
    """Generation of the spec that this status speaks of."""
    uuid: str | None = None
    """Lambda's name of the mapping."""
    function_arn: str | None = None
    """ARN of the function, qualified as the spec says."""
    state: MappingState | None = None
    """Whether records are read, as pollers have confirmed it of this generation, or what is on the way (§7.1.2)."""
    state_transition_reason: str | None = None
    """Why the state is what it is (§7.1.3)."""
    last_processing_result: str | None = None
    """How the last batch ended; mappings of SQS have none (§7.1.4)."""
    last_modified: str | None = None
    """When the spec was last seen to change, RFC 3339."""
    lag: int | None = None
    """Messages that wait in the queue, approximately, or records of Kafka that are not done; streams have none."""
    pollers: int | None = None
    """Batches that may be in the making or at the function at once."""
    checkpoints: Checkpoints | None = None
    """Of streams: who works the mapping, and how far it was done when that one took it over. How far it is now says the
    Lease of the mapping, written after the function's answer, never before."""
    conditions: Annotated[
        list[Condition],
        Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
    ] = []
    """Ready: the mapping can be served; Polling: the source answers; DestinationsReady: where failures go is there."""
