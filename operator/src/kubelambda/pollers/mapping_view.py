"""Narrow views of what pollers watch: mappings that can be served, and how long their functions may take."""

from dataclasses import dataclass
from typing import Any

from kubelambda.api import limits
from kubelambda.api.kinds.event_source_mapping import EventSourceMappingSpec
from kubelambda.core.mapping.mapping_status import patterns
from kubelambda.core.mapping.sqs_batch import BatchRules


@dataclass(frozen=True, slots=True)
class MappingView:
    """A mapping as the operator has found it good. A change of it begins its poller anew."""

    uid: str
    namespace: str
    name: str
    generation: int
    enabled: bool
    """Whether its status says that records are read."""
    source_arn: str
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

    @property
    def fifo(self) -> bool:
        """Whether the queue keeps the order of its groups."""
        return self.source_arn.endswith(".fifo")


def mapping_view(body: dict[str, Any]) -> MappingView | None:
    """The view of a mapping; None until the operator has seen its present spec."""
    metadata, status = body["metadata"], body.get("status") or {}
    if status.get("observedGeneration") != metadata["generation"]:
        return None
    spec = EventSourceMappingSpec.model_validate(body["spec"], extra="ignore")
    connection = spec.connection
    return MappingView(
        uid=metadata["uid"],
        namespace=metadata["namespace"],
        name=metadata["name"],
        generation=metadata["generation"],
        enabled=status.get("state") == "Enabled" and "deletionTimestamp" not in metadata,
        source_arn=spec.event_source_arn,
        function=spec.function_name.partition(":")[0],
        function_arn=status["functionArn"],
        endpoint_url=connection.endpoint_url,
        credentials_secret=connection.credentials_secret.name if connection.credentials_secret else None,
        rules=BatchRules(spec.batch_size or 10, float(spec.maximum_batching_window_in_seconds or 0)),
        patterns=tuple(patterns(spec)),
        reports_failures="ReportBatchItemFailures" in spec.function_response_types,
        maximum_concurrency=spec.scaling_config.maximum_concurrency if spec.scaling_config else None,
    )


def timeout_view(body: dict[str, Any]) -> int:
    """Seconds that a function may take: what is deployed, else what its spec asks for."""
    deployed = (body.get("status") or {}).get("deployed") or {}
    found: int = deployed.get("timeout") or body["spec"].get("timeout") or limits.TIMEOUT_DEFAULT_S
    return found
