"""What others may know of an Alias: which versions it uses, and what it wants provisioned."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from sys import intern

from kubelambda.api.kinds.alias import AliasSpec, AliasStatus
from kubelambda.controllers.machinery.watched import Watch
from kubelambda.core.event.named_targets import named_targets
from kubelambda.core.invoke.routing import alias_rank
from kubelambda.core.scaling.alias_scaling import requested_capacity
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import ALIASES


@dataclass(frozen=True, slots=True)
class AliasFacts:
    """The parts of an Alias that others decide by."""

    uid: str
    generation: int
    created: str
    function: str
    name: str
    """The qualifier."""
    by_code: bool
    """Whether it names its version by code."""
    uses: frozenset[str]
    """Versions that it names or that callers get by it."""
    provisions: frozenset[str]
    """Versions that it names, whose environments are provisioned."""
    requested: int
    """Provisioned environments that it asks for now, the scaler's word included."""
    allocated: int
    """Those that its status says it has."""
    routed: bool
    """Whether callers get something by it."""
    targets: tuple[str, ...]
    """EventTargets that its destinations name."""
    moving: bool
    settled: bool
    """Whether its status speaks of its spec and says Ready."""

    @property
    def rank(self) -> tuple[str, bool, str]:
        """Of objects that are one alias the one of the lowest rank is it."""
        return *alias_rank(self.created, routed=self.routed), self.uid


def the_aliases(found: Iterable[AliasFacts]) -> Collection[AliasFacts]:
    """Without those objects that are the same alias of the same function as one before them."""
    first: dict[tuple[str, str], AliasFacts] = {}
    for facts in found:
        known = first.setdefault((facts.function, facts.name), facts)
        if facts.rank < known.rank:
            first[facts.function, facts.name] = facts
    return first.values()


def alias_facts(body: Object) -> AliasFacts:
    """The facts of an Alias object. Raises `ValidationError` for one that this release cannot read."""
    metadata = body["metadata"]
    spec = AliasSpec.model_validate(body["spec"], extra="ignore")
    status = AliasStatus.model_validate(body.get("status") or {}, extra="ignore")
    weights = spec.routing_config.additional_version_weights if spec.routing_config else {}
    names = {spec.function_version or status.function_version, *weights}
    routed = {status.routed_version, *status.routed_version_weights}
    wanted = spec.provisioned_concurrency
    ready = any(each.type == "Ready" and each.status == "True" for each in status.conditions)
    return AliasFacts(
        uid=metadata["uid"],
        generation=metadata["generation"],
        created=metadata["creationTimestamp"],
        function=intern(spec.function_name),
        name=spec.name,
        by_code=spec.code_sha256 is not None,
        uses=frozenset(each for each in names | routed if each),
        provisions=frozenset(each for each in names if each),
        requested=requested_capacity(wanted, status.scaling) if wanted else 0,
        allocated=status.provisioned_concurrency.allocated if status.provisioned_concurrency else 0,
        routed=status.routed_version is not None,
        targets=named_targets(body["spec"]),
        moving=status.move is not None,
        settled=ready and status.observed_generation == metadata["generation"],
    )


WATCHED_ALIASES = Watch(ALIASES, alias_facts)
