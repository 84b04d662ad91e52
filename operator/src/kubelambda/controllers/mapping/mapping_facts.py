"""What others may know of an EventSourceMapping: its source and its function."""

from dataclasses import dataclass

from kubelambda.controllers.machinery.watched import Watch
from kubelambda.core.event.named_targets import named_targets
from kubelambda.core.mapping.mapping_source import source_key
from kubelambda.core.mapping.mapping_state import TRANSITIONS, Confirmed, confirmed_by
from kubelambda.core.mapping.mapping_status import MappingClaim
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import EVENT_SOURCE_MAPPINGS


@dataclass(frozen=True, slots=True)
class MappingFacts:
    """The parts of a mapping that others decide by."""

    claim: MappingClaim
    generation: int
    function: str
    """Name of its function, without a qualifier."""
    settled: bool
    """Whether its status speaks of its spec and says Ready, and nothing is on the way."""
    confirmed: Confirmed | None
    """What pollers say of it: its state follows from that."""
    targets: tuple[str, ...]
    """EventTargets that its destination names."""
    deleting: bool


def mapping_claim(body: Object) -> MappingClaim:
    """A mapping as one of those of its source and function."""
    metadata, spec = body["metadata"], body["spec"]
    return MappingClaim(metadata["uid"], metadata["creationTimestamp"], source_key(spec), spec["functionName"])


def mapping_facts(body: Object) -> MappingFacts:
    """The facts of a mapping object."""
    metadata, status = body["metadata"], body.get("status") or {}
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions") or [])
    return MappingFacts(
        claim=mapping_claim(body),
        generation=metadata["generation"],
        function=body["spec"]["functionName"].partition(":")[0],
        settled=ready
        and status.get("observedGeneration") == metadata["generation"]
        and status.get("state") not in TRANSITIONS,
        confirmed=confirmed_by(status.get("conditions") or []),
        targets=named_targets(body["spec"]),
        deleting="deletionTimestamp" in metadata,
    )


WATCHED_MAPPINGS = Watch(EVENT_SOURCE_MAPPINGS, mapping_facts)
