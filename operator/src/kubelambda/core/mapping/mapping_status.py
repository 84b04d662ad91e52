"""The status of an event source mapping out of its spec and what it names: pure (§7.1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from kubelambda.api.conditions import ConditionStatus, Fact, conditions_of, merge, timestamp
from kubelambda.api.kinds.event_source_mapping import EventSourceMappingSpec, EventSourceMappingStatus
from kubelambda.api.mapping_states import MappingState
from kubelambda.api.reasons import Reason
from kubelambda.core.event.named_targets import DESTINATIONS_READY
from kubelambda.core.mapping.event_pattern import InvalidPattern
from kubelambda.core.mapping.mapping_source import source_of
from kubelambda.core.mapping.mapping_state import confirmed_by, mapping_state
from kubelambda.core.mapping.record_filter import RecordFilter

_REFUSED: Final[Mapping[str, str]] = {
    Reason.SOURCE_AUTHENTICATION_FAILED: "EVENT_SOURCE_AUTHN_ERROR",
    Reason.SOURCE_AUTHORIZATION_FAILED: "EVENT_SOURCE_AUTHZ_ERROR",
}
"""Lambda's words for what a broker has against us (§7.1.3)."""
OWN_CONDITIONS: Final = frozenset({"Ready", DESTINATIONS_READY})
"""What the operator says; the others are the pollers'."""
_UNREAD: Final = "no poller has taken the mapping yet: nothing is read from the source"
_READY: Final[Mapping[MappingState, tuple[ConditionStatus, Reason, str]]] = {
    "Creating": ("Unknown", Reason.WAITING_FOR_POLLER, _UNREAD),
    "Enabling": ("Unknown", Reason.WAITING_FOR_POLLER, _UNREAD),
    "Enabled": ("True", Reason.MAPPED, "the function gets what is in the source"),
    "Updating": ("Unknown", Reason.WAITING_FOR_POLLER, "no poller has taken the last change of the mapping yet"),
    "Disabling": ("Unknown", Reason.WAITING_FOR_POLLER, "no poller has said yet that it reads nothing any more"),
    "Disabled": ("True", Reason.PAUSED, "the mapping is not enabled: nothing is read from the source"),
    "Deleting": ("False", Reason.PAUSED, "the mapping is deleted: nothing more is read from the source"),
}
"""What the condition says of a mapping that nothing is wrong with: one that is on its way waits for pollers' word."""


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
    destinations: Fact | None = None
    """Whether the EventTarget is there that its destination names; None where it names none."""
    deleting: bool = False
    """Whether it goes, once whoever holds it up lets it."""


def patterns(spec: EventSourceMappingSpec) -> list[str]:
    """The filters of a mapping."""
    return [each.pattern for each in spec.filter_criteria.filters] if spec.filter_criteria else []


def decide_mapping(observed: ObservedMapping, before: EventSourceMappingStatus, now: datetime) -> dict[str, object]:
    """The operator's part of the status to report: pollers write the rest of it."""
    problem = _problem(observed)
    state, why = _state(observed, problem, before)
    ready: tuple[ConditionStatus, Reason, str] = _READY[state]
    if problem is not None:
        ready = ("False", *problem)
    unchanged = before.observed_generation == observed.generation and before.last_modified
    told: list[Fact] = [("Ready", *ready), *([observed.destinations] if observed.destinations else [])]
    known = [each for each in before.conditions if each.type in OWN_CONDITIONS]
    decided = EventSourceMappingStatus(
        observed_generation=observed.generation,
        uuid=observed.claim.uid,
        function_arn=observed.function_arn,
        state=state,
        state_transition_reason=why,
        last_modified=before.last_modified if unchanged else timestamp(now),
        conditions=merge(known, conditions_of(told, now, generation=observed.generation)),
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


def _state(
    observed: ObservedMapping, problem: tuple[Reason, str] | None, before: EventSourceMappingStatus
) -> tuple[MappingState, str]:
    """A mapping that is refused stays enabled: pollers try again, and go on once a Secret or the broker is mended."""
    confirmed = confirmed_by([each.model_dump(mode="json", by_alias=True) for each in before.conditions])
    state = mapping_state(
        before.state,
        wanted=observed.spec.enabled and problem is None,
        generation=observed.generation,
        confirmed=confirmed,
        deleting=observed.deleting,
    )
    if problem is not None:
        function = problem[0] is Reason.FUNCTION_NOT_FOUND
        return state, "FUNCTION_CONFIG_NOT_VALID" if function else "ESM_CONFIG_NOT_VALID"
    source = source_of(observed.spec)
    refused = _REFUSED.get(confirmed.reason) if confirmed is not None else None
    if observed.spec.enabled and source.is_brokered and refused is not None:
        return state, refused
    return state, source.user_reason
