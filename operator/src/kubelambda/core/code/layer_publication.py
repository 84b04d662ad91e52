"""What a Layer publishes, and the status that tells of it: pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from kubelambda.api.conditions import Fact, conditions_of, merge
from kubelambda.api.kinds.layer import LayerSpec, LayerStatus, LayerVersionContent, LayerVersionSpec, LayerVersionStatus
from kubelambda.api.reasons import Reason
from kubelambda.core.code.layer_reference import layer_version_arn
from kubelambda.core.function.observation import Problem
from kubelambda.core.function.revision import revision

FETCHING = "the content is being fetched"


@dataclass(frozen=True, slots=True)
class LayerObservation:
    """Everything that the status of a Layer depends on. `content` is None while it is fetched."""

    name: str
    generation: int
    region: str
    account: str
    before: LayerStatus
    spec: LayerSpec | Problem
    content: LayerVersionContent | Problem | None
    numbers: frozenset[int]
    """Of the versions that there are."""


def new_layer_version(observed: LayerObservation) -> LayerVersionSpec | None:
    """The version to publish; None when what the Layer says is published, or cannot be."""
    if isinstance(observed.spec, Problem) or not isinstance(observed.content, LayerVersionContent):
        return None
    if observed.before.fingerprint == _fingerprint(observed.spec, observed.content):
        return None
    number = max((observed.before.latest_version or 0, *observed.numbers)) + 1
    return layer_version_spec(observed.name, number, observed.spec, observed.content)


def layer_version_spec(name: str, number: int, spec: LayerSpec, content: LayerVersionContent) -> LayerVersionSpec:
    """The version `number` of a Layer as it stands."""
    return LayerVersionSpec(
        layer_name=name,
        version=number,
        description=spec.description,
        license_info=spec.license_info,
        compatible_runtimes=spec.compatible_runtimes,
        compatible_architectures=spec.compatible_architectures,
        revision=spec.revision,
        content=content,
    )


def decide_layer(observed: LayerObservation, published: int | None, now: datetime) -> LayerStatus:
    """The status to report; `published` is the number of a version that was published just now."""
    before = observed.before
    latest = published if published is not None else before.latest_version
    fingerprint = before.fingerprint
    if isinstance(observed.spec, LayerSpec) and isinstance(observed.content, LayerVersionContent):
        fingerprint = _fingerprint(observed.spec, observed.content)
    return LayerStatus(
        observed_generation=observed.generation,
        latest_version=latest,
        latest_version_arn=(
            layer_version_arn(observed.region, observed.account, observed.name, latest) if latest else None
        ),
        fingerprint=fingerprint,
        conditions=merge(
            before.conditions, conditions_of(_told(observed, latest), now, generation=observed.generation)
        ),
    )


def decide_layer_version(
    before: LayerVersionStatus, arn: str, users: Sequence[str], now: datetime
) -> LayerVersionStatus:
    """The status of a version; `users` keep it from being deleted, when somebody wants that."""
    facts: list[Fact] = []
    if users:
        text = f"in use by {', '.join(users)}: it goes when they name it no more"
        facts = [("DeletionRefused", "True", Reason.IN_USE, text)]
    return LayerVersionStatus(layer_version_arn=arn, conditions=merge(before.conditions, conditions_of(facts, now)))


def _told(observed: LayerObservation, latest: int | None) -> list[Fact]:
    for found in (observed.spec, observed.content):
        if isinstance(found, Problem):
            return found.facts
    if observed.content is None:
        return [
            ("Ready", "False", Reason.IN_PROGRESS, FETCHING),
            ("Reconciling", "True", Reason.IN_PROGRESS, FETCHING),
        ]
    return [("Ready", "True", Reason.PUBLISHED, f"version {latest} is what this layer says")]


def _fingerprint(spec: LayerSpec, content: LayerVersionContent) -> str:
    """Equal exactly when publishing the one or the other makes no difference: of where it comes from, nothing."""
    said = spec.model_dump(mode="json", by_alias=True, exclude={"content", "layer_name", "permissions"})
    if spec.revision is None:  # as in the fingerprints of releases that had no such field
        del said["revision"]
    return revision(said | {"sha256": content.sha256})
