"""Members of an `EventSourceMapping` that only streams have: where to begin, what becomes of failures (§7.4)."""

from typing import Annotated, Literal

from pydantic import Field

from kubelambda.api.kinds.event_invoke_config import EVENT_DESTINATION, DestinationConfig, EventDestination
from kubelambda.api.model import Model
from kubelambda.api.validations import rule

_KINESIS = "^arn:[a-zA-Z0-9-]+:kinesis:[a-z0-9-]+:[0-9]{12}:stream/[a-zA-Z0-9_.-]{1,128}$"
_DYNAMODB = "^arn:[a-zA-Z0-9-]+:dynamodb:[a-z0-9-]+:[0-9]{12}:table/[a-zA-Z0-9_.-]{3,255}/stream/[^/]+$"
SOURCE_ARN = "(has(self.eventSourceArn) ? self.eventSourceArn : '')"
"""CEL: the ARN of a mapping's source, empty for a source that has none."""
IS_STREAM = f"({SOURCE_ARN}.matches('{_KINESIS}') || {SOURCE_ARN}.matches('{_DYNAMODB}'))"
"""CEL: whether a mapping's source is a stream."""
_IS_KAFKA = f"(has(self.selfManagedEventSource) || {SOURCE_ARN}.contains(':kafka:'))"
_IN_ORDER = f"({IS_STREAM} || {_IS_KAFKA})"
"""Sources of records that stay where they are, in order."""
_MEMBERS = (
    "startingPosition",
    "startingPositionTimestamp",
    "bisectBatchOnFunctionError",
    "maximumRecordAgeInSeconds",
    "maximumRetryAttempts",
    "destinationConfig",
)
_OF_SHARDS = ("parallelizationFactor", "tumblingWindowInSeconds")
_IN_TOPIC = (
    "has(self.destinationConfig.onFailure) && self.destinationConfig.onFailure.destination.startsWith('kafka://')"
)

STREAM_RULES = (
    rule(
        f"!{SOURCE_ARN}.matches('^arn:[^:]+:kinesis:[^:]+:[^:]+:stream/[^/]+/consumer/.+$')",
        "enhanced fan-out is not served: give the ARN of the stream itself, and not that of a consumer",
        fieldPath=".eventSourceArn",
    ),
    rule(
        f"!{_IN_ORDER} || has(self.startingPosition)",
        "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: "
        "Member must not be null.",
        fieldPath=".startingPosition",
    ),
    rule(
        "!has(self.startingPosition) || self.startingPosition != 'AT_TIMESTAMP' || has(self.startingPositionTimestamp)",
        "startingPosition AT_TIMESTAMP needs startingPositionTimestamp, in seconds since 1970",
        fieldPath=".startingPosition",
    ),
    rule(
        f"!has(self.startingPosition) || self.startingPosition != 'AT_TIMESTAMP' || "
        f"!{SOURCE_ARN}.matches('{_DYNAMODB}')",
        "Unsupported starting position for arn type: streams of DynamoDB begin at TRIM_HORIZON or LATEST",
        fieldPath=".startingPosition",
    ),
    rule(
        "(has(self.startingPosition) ? self.startingPosition : '') == "
        "(has(oldSelf.startingPosition) ? oldSelf.startingPosition : '')",
        "where a mapping begins is fixed: startingPosition",
    ),
    rule(
        f"!{_IN_ORDER} || !has(self.scalingConfig)",
        "scalingConfig is of queues: a stream's concurrency is its shards times parallelizationFactor, Kafka's its "
        "partitions",
        fieldPath=".scalingConfig",
    ),
    rule(
        "!has(self.maximumRecordAgeInSeconds) || self.maximumRecordAgeInSeconds == -1 || "
        "self.maximumRecordAgeInSeconds >= 60",
        "maximumRecordAgeInSeconds is -1, for ever, or 60 to 604800",
        fieldPath=".maximumRecordAgeInSeconds",
    ),
    rule(
        "!has(self.destinationConfig) || !has(self.destinationConfig.onSuccess)",
        "a mapping tells of failures only: onFailure",
        fieldPath=".destinationConfig",
    ),
    rule(
        "!has(self.destinationConfig) || !has(self.destinationConfig.onFailure) || "
        "!self.destinationConfig.onFailure.destination.matches('^arn:[a-z-]+:(lambda|events):')",
        "the records of a mapping's failures go to a queue, a topic, a bucket or an EventTarget",
        fieldPath=".destinationConfig",
    ),
    rule(
        "!has(self.tumblingWindowInSeconds) || self.tumblingWindowInSeconds == 0 || "
        "!has(self.parallelizationFactor) || self.parallelizationFactor == 1",
        "a tumbling window has one state a shard: parallelizationFactor is 1 beside tumblingWindowInSeconds",
        fieldPath=".tumblingWindowInSeconds",
    ),
    rule(
        f"{_IS_KAFKA} || !has(self.destinationConfig) || !({_IN_TOPIC})",
        "a topic, kafka://<topic>, is a destination for mappings of Kafka only: it is of the same cluster",
        fieldPath=".destinationConfig",
    ),
    *(
        rule(f"{_IN_ORDER} || !has(self.{member})", f"{member} is of streams only", fieldPath=f".{member}")
        for member in _MEMBERS
    ),
    *(
        rule(f"{IS_STREAM} || !has(self.{member})", f"{member} is of streams only", fieldPath=f".{member}")
        for member in _OF_SHARDS
    ),
)


class FailureDestination(EventDestination):
    """Where records of failed batches go."""

    destination: Annotated[
        str, Field(pattern=f"^({EVENT_DESTINATION}|kafka://[a-zA-Z0-9._-]{{1,249}})$", max_length=512)
    ]
    """ARN of a standard queue or topic, or of a bucket; the name of an EventTarget; of mappings of Kafka also a topic
    of the same cluster, kafka://<topic>."""


class FailureDestinationConfig(DestinationConfig):
    """Who is told of batches that were given up."""

    on_failure: FailureDestination | None = None
    """Of those that failed."""


class StreamMembers(Model):
    """What streams have beside the members of every source."""

    starting_position: Literal["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"] | None = None
    """Where a shard is begun: at its oldest record, at what came after the mapping was made, or at a time."""
    starting_position_timestamp: float | None = None
    """Of AT_TIMESTAMP: seconds since 1970."""
    parallelization_factor: Annotated[int, Field(ge=1, le=10)] | None = None
    """Batches of one shard at once, 1 unless given; records of one partition key keep their order."""
    bisect_batch_on_function_error: bool | None = None
    """Whether a batch that failed is halved before it is tried again."""
    maximum_record_age_in_seconds: Annotated[int, Field(ge=-1, le=604_800)] | None = None
    """Older records are given up; -1, as unless given: never."""
    maximum_retry_attempts: Annotated[int, Field(ge=-1, le=10_000)] | None = None
    """How often a batch that failed is tried again; -1, as unless given: until it succeeds."""
    tumbling_window_in_seconds: Annotated[int, Field(ge=0, le=900)] | None = None
    """Length of windows in which the function hands a state on from one batch to the next; 0: none."""
    destination_config: FailureDestinationConfig | None = None
    """Who is told of batches that were given up."""
