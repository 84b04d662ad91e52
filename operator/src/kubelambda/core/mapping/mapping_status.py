"""The status of an event source mapping out of its spec and what it names: pure (§7.1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from kubelambda.api.conditions import ConditionStatus, conditions_of, merge, timestamp
from kubelambda.api.kinds.event_source_mapping import EventSourceMappingSpec, EventSourceMappingStatus, MappingState
from kubelambda.api.reasons import Reason
from kubelambda.core.mapping.event_pattern import InvalidPattern
from kubelambda.core.mapping.mapping_source import source_of
from kubelambda.core.mapping.record_filter import RecordFilter

POLLING = "Polling"
"""The condition that pollers write."""
_REFUSED: Final[Mapping[str, str]] = {
    Reason.SOURCE_AUTHENTICATION_FAILED: "EVENT_SOURCE_AUTHN_ERROR",
    Reason.SOURCE_AUTHORIZATION_FAILED: "EVENT_SOURCE_AUTHZ_ERROR",
}
"""Lambda's words for what a broker has against us (§7.1.3)."""


@dataclass(frozen=True, slots=True)
class MappingClaim:
    """A mapping as others see it: of those of one source and function, the oldest is the one."""

    uid: str
    created: str
    """RFC 3339."""
    source: str
    """What `source_key` makes of its spec."""
    function: str
    """As the spec names it."""

    def yields_to(self, other: "MappingClaim") -> bool:
        """Whether the other is of the same source and function, and older."""
        same = (self.source, self.function) == (other.source, other.function)
        return same and (other.created, other.uid) < (self.created, self.uid)


@dataclass(frozen=True, slots=True)
class ObservedMapping:
    """What a decision is made of."""

    generation: int
    claim: MappingClaim
    spec: EventSourceMappingSpec
    function_arn: str
    function_exists: bool
    others: Sequence[MappingClaim]
    """The other mappings of the namespace."""


def patterns(spec: EventSourceMappingSpec) -> list[str]:
    """The filters of a mapping."""
    return [each.pattern for each in spec.filter_criteria.filters] if spec.filter_criteria else []


def decide_mapping(observed: ObservedMapping, before: EventSourceMappingStatus, now: datetime) -> dict[str, object]:
    """The operator's part of the status to report: pollers write the rest of it."""
    problem = _problem(observed)
    refused = _REFUSED.get(polling_reason([each.model_dump() for each in before.conditions]))
    state, why = _state(observed, problem, refused)
    ready: tuple[ConditionStatus, Reason, str] = ("True", Reason.MAPPED, "the function gets what is in the source")
    if problem is not None:
        ready = ("False", *problem)
    elif not observed.spec.enabled:
        ready = ("True", Reason.PAUSED, "the mapping is not enabled: nothing is read from the source")
    unchanged = before.observed_generation == observed.generation and before.last_modified
    known = [each for each in before.conditions if each.type == "Ready"]
    decided = EventSourceMappingStatus(
        observed_generation=observed.generation,
        uuid=observed.claim.uid,
        function_arn=observed.function_arn,
        state=state,
        state_transition_reason=why,
        last_modified=before.last_modified if unchanged else timestamp(now),
        conditions=merge(known, conditions_of([("Ready", *ready)], now, generation=observed.generation)),
    )
    return decided.model_dump(mode="json", by_alias=True, exclude_none=True)


def _problem(observed: ObservedMapping) -> tuple[Reason, str] | None:
    source = source_of(observed.spec)
    try:
        RecordFilter(source.format, patterns(observed.spec))
    except InvalidPattern as error:
        return Reason.INVALID_FILTER, str(error)
    older = next((other for other in observed.others if observed.claim.yields_to(other)), None)
    if older is not None:
        return Reason.DUPLICATE, source.duplicate(observed.claim.function, older.uid)
    if not observed.function_exists:
        return Reason.FUNCTION_NOT_FOUND, f"Function does not exist: {observed.function_arn}"
    return None


def polling_reason(conditions: Sequence[Mapping[str, Any]]) -> str:
    """The reason of the pollers' condition; empty while there is none."""
    return next((str(each["reason"]) for each in conditions if each["type"] == POLLING), "")


def _state(
    observed: ObservedMapping, problem: tuple[Reason, str] | None, refused: str | None
) -> tuple[MappingState, str]:
    """A mapping that is refused stays enabled: pollers try again, and go on once a Secret or the broker is mended."""
    if problem is None:
        source = source_of(observed.spec)
        if observed.spec.enabled and source.is_brokered and refused is not None:
            return "Enabled", refused
        return ("Enabled" if observed.spec.enabled else "Disabled"), source.user_reason
    function = problem[0] is Reason.FUNCTION_NOT_FOUND
    return "Disabled", "FUNCTION_CONFIG_NOT_VALID" if function else "ESM_CONFIG_NOT_VALID"
