"""Moves of an alias whose operator dies between any two of its writes, in a cluster that goes on meanwhile (§5.7).

The world is what Kubernetes has: the alias's status, the Deployments, and how many of their pods are ready. An operator
keeps nothing: whoever comes after it goes on from there.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kubelambda.api.kinds.alias import AliasSpec, AliasStatus
from kubelambda.api.kinds.provisioned_concurrency import AliasProvisionedConcurrency
from kubelambda.core.account.reserved_concurrency import Grant
from kubelambda.core.function.alias_routing import AliasObservation, VersionState, decide_alias
from kubelambda.core.function.provisioning import Provision

NOW = datetime(2026, 1, 1, tzinfo=UTC)
VERSIONS = ("1", "2", "3")


@dataclass
class World:
    """One alias, and what Kubernetes has of it."""

    version: str = "1"
    environments: int = 2
    now: datetime = NOW
    status: AliasStatus = field(default_factory=AliasStatus)
    deployments: dict[str, int] = field(default_factory=dict)
    ready: dict[str, int] = field(default_factory=dict)

    def observe(self) -> AliasObservation:
        """All that an operator knows."""
        wanted = AliasProvisionedConcurrency(
            provisioned_concurrent_executions=self.environments, progress_deadline_seconds=60
        )
        spec = AliasSpec(function_name="f", name="live", function_version=self.version, provisioned_concurrency=wanted)
        return AliasObservation(
            generation=1,
            spec=spec,
            before=self.status,
            arn="arn:aws:lambda:us-east-1:123456789012:function:f",
            function_exists=True,
            elder=None,
            versions={version: VersionState() for version in VERSIONS},
            requested=self.environments,
            grant=Grant(self.environments),
            provisions={
                version: Provision(self.ready.get(version, 0), "", replicas, self.ready.get(version, 0))
                for version, replicas in self.deployments.items()
            },
        )

    def reconcile(self) -> Iterator[str]:
        """An operator's writes, one by one, in their order; it may die after each."""
        decision = decide_alias(self.observe(), self.now)
        for version in [version for version in self.deployments if not decision.replicas.get(version)]:
            del self.deployments[version]
            self.ready.pop(version, None)
            yield f"removed {version}"
        for version, count in decision.replicas.items():
            if self.deployments.get(version) != count:
                self.deployments[version] = count
                self.ready[version] = min(count, self.ready.get(version, 0))
                yield f"{version} has {count}"
        if decision.status != self.status:
            self.status = decision.status
            yield f"routed to {self.status.routed_version}"

    def start_pods(self, version: str) -> None:
        """The cluster has made what was asked for."""
        if version in self.deployments:
            self.ready[version] = self.deployments[version]

    def settle(self) -> None:
        """Nobody dies any more, and the cluster has room."""
        for _ in range(6):
            self.now += timedelta(seconds=200)
            for _ in self.reconcile():
                pass
            for version in self.deployments:
                self.start_pods(version)


def check(world: World, served: str | None, *, lost: bool) -> str | None:
    """What callers get has its environments, unless the cluster took them; returns it."""
    routed = world.status.routed_version
    if served is not None:
        assert routed is not None, "callers get nothing any more"
        assert world.deployments.get(routed, 0) >= world.environments, "what callers get is given up"
        if not lost:
            assert world.ready.get(routed, 0) >= world.environments, "callers get what is not there"
    return routed if world.ready.get(routed or "", 0) >= world.environments else served


def test_an_operator_that_dies_after_any_of_its_writes_breaks_no_move() -> None:
    """Every combination of two deaths in a move there and back, with another target in between."""
    for first, second in itertools.product(range(5), repeat=2):
        world = World()
        world.settle()
        served = check(world, None, lost=False)
        assert served == "1"
        for target, dies in (("2", first), ("3", second), ("1", 99)):
            world.version = target
            for _ in itertools.islice(world.reconcile(), dies):
                served = check(world, served, lost=False)
            for _ in range(6):
                for version in list(world.deployments):
                    world.start_pods(version)
                world.now += timedelta(seconds=2)
                for _ in itertools.islice(world.reconcile(), dies or 1):
                    served = check(world, served, lost=False)
        world.settle()
        assert (world.status.routed_version, world.deployments) == ("1", {"1": 2})


class Moves(RuleBasedStateMachine):
    """Random edits, deaths, and pods that come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.world.settle()
        self.served = check(self.world, None, lost=False)
        self.lost = False

    @rule(version=st.sampled_from(VERSIONS))
    def edit(self, version: str) -> None:
        """Somebody points the alias elsewhere."""
        self.world.version = version

    @rule(writes=st.integers(0, 5), seconds=st.sampled_from([0, 1, 5, 70, 130]))
    def reconcile(self, writes: int, seconds: int) -> None:
        """An operator that dies after some writes, or finishes."""
        self.world.now += timedelta(seconds=seconds)
        for _ in itertools.islice(self.world.reconcile(), writes):
            self.served = check(self.world, self.served, lost=self.lost)

    @rule(version=st.sampled_from(VERSIONS), some=st.booleans())
    def pods(self, version: str, some: bool) -> None:
        """Pods become ready, all or only some."""
        if version in self.world.deployments:
            count = self.world.deployments[version]
            ready = self.world.ready.get(version, 0)
            self.world.ready[version] = max(ready, count - 1 if some else count)

    @rule(version=st.sampled_from(VERSIONS))
    def lose(self, version: str) -> None:
        """A node goes."""
        if self.world.ready.get(version):
            self.world.ready[version] -= 1
            self.lost = True

    @invariant()
    def callers_get_what_is_kept_for_them(self) -> None:
        """The Deployment of what callers get is never given up."""
        routed = self.world.status.routed_version
        assert routed is not None
        assert self.world.deployments.get(routed) == self.world.environments

    def teardown(self) -> None:
        """In the end the alias is where it was pointed, and nothing else is left."""
        self.world.settle()
        assert self.world.status.routed_version == self.world.version
        assert self.world.deployments == {self.world.version: self.world.environments}


TestMoves = Moves.TestCase
TestMoves.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
