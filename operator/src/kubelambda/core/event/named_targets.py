"""The EventTargets that destinations name: which of them are not there, and the condition that says so. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kubelambda.api.conditions import Fact
from kubelambda.api.reasons import Reason
from kubelambda.core.event.destination import DestinationService, parse_destination

DESTINATIONS_READY: Final = "DestinationsReady"


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """The parts of an EventTarget that others decide by."""

    uid: str
    nameable: bool
    """Whether it is a place of its own, and not only where ARNs of some services are."""


def named_targets(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of EventTargets among the destinations of a spec, or of its `eventInvokeConfig`."""
    config = (spec.get("eventInvokeConfig") or spec).get("destinationConfig") or {}
    texts = {each["destination"] for each in (config.get("onSuccess"), config.get("onFailure")) if each}
    named = (parse_destination(text) for text in sorted(texts))
    return tuple(each.text for each in named if each is not None and each.service is DestinationService.TARGET)


def missing_target(name: str, target: TargetFacts | None) -> str:
    """What is wrong with a target that a destination names; nothing of one that can be told."""
    if target is None:
        return f"there is no EventTarget {name}"
    return "" if target.nameable else f"EventTarget {name} has no arn: it can only be where other ARNs are"


def destinations_fact(targets: Mapping[str, TargetFacts | None]) -> Fact | None:
    """What a condition says of the targets that are named; nothing where there are none."""
    if not targets:
        return None
    text = "; ".join(filter(None, (missing_target(name, facts) for name, facts in targets.items())))
    if text:
        return DESTINATIONS_READY, "False", Reason.TARGET_NOT_FOUND, text
    return DESTINATIONS_READY, "True", Reason.TARGETS_FOUND, ", ".join(targets)
