"""Narrow views of what pollers watch: mappings that can be served, and how long their functions may take."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kubelambda.api import limits
from kubelambda.api.kinds.event_source_mapping import EventSourceMappingSpec
from kubelambda.core.mapping.kafka_place import KafkaPlace, kafka_place
from kubelambda.core.mapping.mapping_source import MappingSource, source_of
from kubelambda.core.mapping.mapping_state import READ_IN, Confirmed, confirmed_by
from kubelambda.core.mapping.mapping_status import patterns
from kubelambda.core.mapping.mq_place import MqPlace, mq_place
from kubelambda.core.mapping.provisioned_pollers import ProvisionedPollers, provisioned_pollers
from kubelambda.core.mapping.record_filter import SourceFormat
from kubelambda.core.mapping.sqs_batch import BatchRules
from kubelambda.core.mapping.stream_rules import FOREVER, StartingPosition, StreamRules

_KAFKA_RETRIES_BEFORE_FAILURE = 10
"""Of a mapping of Kafka that is to retry for ever and has a destination for failures (§7.5.3)."""

_TOLD = ("lag", "lastProcessingResult")
"""Of a mapping's status, what stays when nobody reads any more."""


@dataclass(frozen=True, slots=True)
class MappingView:
    """A mapping as the operator has found it good. A change of it begins its poller anew."""

    uid: str
    namespace: str
    name: str
    generation: int
    enabled: bool
    """Whether its status says that records are to be read."""
    source: MappingSource
    function: str
    """Name of its function, without a qualifier."""
    function_arn: str
    endpoint_url: str | None
    credentials_secret: str | None
    rules: BatchRules
    patterns: tuple[str, ...]
    reports_failures: bool
    """Whether the function names the records that failed."""
    maximum_concurrency: int | None
    stream: StreamRules = field(default_factory=StreamRules)
    """Of streams."""
    starting_position: StartingPosition = field(default_factory=StartingPosition)
    """Of streams."""
    on_failure: str | None = None
    """Who is told of what was given up."""
    mq: MqPlace | None = None
    """Of brokers of MQ."""
    kafka: KafkaPlace | None = None
    """Of Kafka."""
    provisioned: ProvisionedPollers | None = None
    """Of queues and of Kafka."""

    @property
    def account(self) -> str:
        """The account of the mapping and of its function."""
        return self.function_arn.split(":")[4]

    @property
    def fifo(self) -> bool:
        """Whether the queue keeps the order of its groups."""
        return self.source.arn.endswith(".fifo")


def mapping_view(body: dict[str, Any]) -> MappingView | None:
    """The view of a mapping; None until the operator has seen its present spec."""
    metadata, status = body["metadata"], body.get("status") or {}
    if status.get("observedGeneration") != metadata["generation"]:
        return None
    spec = EventSourceMappingSpec.model_validate(body["spec"], extra="ignore")
    connection = spec.connection
    source = source_of(spec)
    size = spec.batch_size or source.batch_size
    window = spec.maximum_batching_window_in_seconds
    window_s = source.window_s if window is None else float(window)
    on_failure = spec.destination_config.on_failure if spec.destination_config else None
    return MappingView(
        uid=metadata["uid"],
        namespace=metadata["namespace"],
        name=metadata["name"],
        generation=metadata["generation"],
        enabled=status.get("state") in READ_IN and "deletionTimestamp" not in metadata,
        source=source,
        function=spec.function_name.partition(":")[0],
        function_arn=status["functionArn"],
        endpoint_url=connection.endpoint_url,
        credentials_secret=connection.credentials_secret.name if connection.credentials_secret else None,
        rules=BatchRules(size, window_s),
        patterns=tuple(patterns(spec)),
        reports_failures="ReportBatchItemFailures" in spec.function_response_types,
        maximum_concurrency=spec.scaling_config.maximum_concurrency if spec.scaling_config else None,
        stream=_stream_rules(spec, size, window_s),
        starting_position=_starting_position(spec, metadata["creationTimestamp"]),
        on_failure=on_failure.destination if on_failure else None,
        mq=_mq_place(spec, source),
        kafka=kafka_place(spec, metadata["uid"]),
        provisioned=provisioned_pollers(spec),
    )


@dataclass(frozen=True, slots=True)
class WatchedMapping:
    """A mapping, and what its status has of pollers' words: those of ours may be lost, or another's come later."""

    view: MappingView
    confirmed: Confirmed | None
    told: dict[str, Any] = field(default_factory=dict)
    """What pollers have said of its source and of the last batch."""

    @property
    def worked(self) -> bool:
        """Whether it says that a poller works it."""
        return self.confirmed is not None and self.confirmed.working


def watched_mapping(body: dict[str, Any]) -> WatchedMapping | None:
    """A mapping that can be served; None until the operator has seen its present spec."""
    view = mapping_view(body)
    if view is None:
        return None
    status = body["status"]
    told = {name: status[name] for name in _TOLD if name in status}
    return WatchedMapping(view, confirmed_by(status.get("conditions") or []), told)


def timeout_view(body: dict[str, Any]) -> int:
    """Seconds that a function may take: what is deployed, else what its spec asks for."""
    deployed = (body.get("status") or {}).get("deployed") or {}
    found: int = deployed.get("timeout") or body["spec"].get("timeout") or limits.TIMEOUT_DEFAULT_S
    return found


def _stream_rules(spec: EventSourceMappingSpec, size: int, window_s: float) -> StreamRules:
    attempts, age = spec.maximum_retry_attempts, spec.maximum_record_age_in_seconds
    if spec.topics and spec.destination_config and attempts in (None, FOREVER):
        attempts = _KAFKA_RETRIES_BEFORE_FAILURE
    return StreamRules(
        size=size,
        window_s=window_s,
        lanes=spec.parallelization_factor or 1,
        max_retries=FOREVER if attempts is None else attempts,
        max_age_s=FOREVER if age is None else age,
        bisect=bool(spec.bisect_batch_on_function_error),
        tumbling_s=spec.tumbling_window_in_seconds or 0,
    )


def _starting_position(spec: EventSourceMappingSpec, created: str) -> StartingPosition:
    """LATEST is what came since the mapping was made: who dies before its first checkpoint loses nothing."""
    match spec.starting_position:
        case "AT_TIMESTAMP":
            return StartingPosition(datetime.fromtimestamp(spec.starting_position_timestamp or 0, UTC))
        case "LATEST":
            return StartingPosition(datetime.fromisoformat(created))
    return StartingPosition()


def _mq_place(spec: EventSourceMappingSpec, source: MappingSource) -> MqPlace | None:
    if source.format is not SourceFormat.MQ or not spec.queues:
        return None
    access: dict[str, str] = {each.type: each.uri for each in spec.source_access_configurations or ()}
    return mq_place(source.arn, spec.queues[0], spec.connection.endpoint_url, access)
