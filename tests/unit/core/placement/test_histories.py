"""Thousands of random histories of an account: publishes, alias moves, reservations, crashes, hand-overs."""

from collections import deque
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kubelambda.core.account.ledger import Account
from kubelambda.core.placement.actions import Action, Cancel, Dispatch, Fail, Release, Retire, Start, Throttle
from kubelambda.core.placement.function_share import FunctionShare, ThrottleReason, function_share
from kubelambda.core.placement.ledger_drift import ledger_drift
from kubelambda.core.placement.placement import VersionPlacement

QUOTA = 12
UNRESERVED_MINIMUM = 2
RATES = (ThrottleReason.RATE, ThrottleReason.RESERVED_RATE)
FUNCTIONS = ("f", "g")
QUALIFIERS = ("", "live", "next")


@dataclass(eq=False)
class Version:
    """A version of a function and what the world knows of its environments."""

    function: str
    placement: VersionPlacement
    revision: int = 1
    running: dict[int, str] = field(default_factory=dict)
    starts: dict[int, bool] = field(default_factory=dict)
    """Starts, and whether they have begun."""
    provisioned: dict[int, str] = field(default_factory=dict)
    order: deque[str] = field(default_factory=deque)
    """Requests that wait, in order of arrival."""
    released: set[int] = field(default_factory=set)
    """Provisioned environments that may end at any moment."""
    doubted: set[int] = field(default_factory=set)
    """Environments that may be gone with their node."""


@dataclass(frozen=True)
class Open:
    """A request without an outcome."""

    function: str
    qualifier: str


class Histories(RuleBasedStateMachine):
    """Random histories; what must never break is checked after every step."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.requests = 0
        self.open: dict[str, Open] = {}
        self.reserved: dict[str, int | None] = dict.fromkeys(FUNCTIONS)
        self.allocated: dict[str, dict[str, int]] = {name: {} for name in FUNCTIONS}
        self.aliases = {(name, alias): 0 for name in FUNCTIONS for alias in QUALIFIERS}
        self.account = Account(QUOTA)
        self.shares: dict[str, FunctionShare] = {}
        self.versions: dict[str, list[Version]] = {}
        for name in FUNCTIONS:
            self.shares[name] = function_share(self.account, name, None, 0.0)
            self.versions[name] = [Version(name, VersionPlacement(self.shares[name], "r1"))]

    # -- the world --------------------------------------------------------------------------------------------------

    @property
    def all(self) -> list[Version]:
        """Every version of every function."""
        return [version for name in FUNCTIONS for version in self.versions[name]]

    def carry_out(self, version: Version, actions: list[Action]) -> None:
        """Applies actions to the world."""
        for action in actions:
            match action:
                case Dispatch(request=request, environment=number):
                    assert number not in version.running, "two invocations in one environment"
                    assert number not in version.released, "an invocation in an environment that is about to end"
                    assert number not in version.doubted, "an invocation in an environment that may be gone"
                    kept_for = version.provisioned.get(number, "")
                    assert kept_for in ("", self.open[request].qualifier), "a provisioned environment is not for all"
                    version.running[number] = request
                    self.left(version, request, kept_for)
                case Throttle(request=request) | Fail(request=request):
                    del self.open[request]
                    if request in version.order:
                        version.order.remove(request)
                case Start(environment=number):
                    assert number not in version.starts
                    version.starts[number] = False
                case Cancel(environment=number):
                    assert not version.starts.pop(number), "a start that has begun cannot be cancelled"
                case Retire(environment=number):
                    assert number not in version.running, "a busy environment was retired"
                    version.starts.pop(number, None)
                    version.provisioned.pop(number, None)
                    version.released.discard(number)
                    version.doubted.discard(number)
                case Release(environment=number, again=again):
                    assert number not in version.running, "a busy environment was let go of"
                    (version.released.discard if again else version.released.add)(number)

    def left(self, version: Version, request: str, kept_for: str) -> None:
        """A request waits no longer: it was the first of those that the environment may take."""
        if request in version.order:
            fit = [one for one in version.order if kept_for in ("", self.open[one].qualifier)]
            assert fit[0] == request, "not in order of arrival"
            version.order.remove(request)

    def in_flight(self, function: str, qualifier: str | None = None) -> int:
        """Requests of a function without an outcome, as its callers would count them."""
        found = [one for one in self.open.values() if one.function == function]
        return len(found if qualifier is None else [one for one in found if one.qualifier == qualifier])

    def promised(self, function: str, qualifier: str) -> bool:
        """Whether a request cannot be refused for its concurrency, whatever all others do."""
        reserved, allocated = self.reserved[function], self.allocated[function]
        if reserved is not None and self.in_flight(function) >= reserved:
            return False
        if self.in_flight(function, qualifier) < allocated.get(qualifier, 0):
            return True
        return reserved is not None and self.in_flight(function) < reserved - sum(allocated.values())

    # -- what happens -----------------------------------------------------------------------------------------------

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        """Some functions have a reservation, some provisioned concurrency, some both."""
        for name in FUNCTIONS:
            self.reserve(name, data.draw(st.sampled_from([None, 1, 3, 4])))
            for qualifier in QUALIFIERS[1:]:
                self.provision(name, qualifier, data.draw(st.sampled_from([0, 0, 1, 2])))

    @rule(
        gap=st.floats(0, 0.2),
        function=st.sampled_from(FUNCTIONS),
        qualifier=st.sampled_from(QUALIFIERS),
        count=st.integers(1, 5),
    )
    def arrive(self, gap: float, function: str, qualifier: str, count: int) -> None:
        """Requests, by an alias or by none."""
        self.now += gap
        for _ in range(count):
            self.requests += 1
            self.request(function, qualifier, f"q{self.requests}")

    def request(self, function: str, qualifier: str, request: str) -> None:
        """One request."""
        version = self.versions[function][self.aliases[function, qualifier]]
        promised, share = self.promised(function, qualifier), self.shares[function]
        idle = any(kept_for == qualifier and found not in version.running for found, kept_for in self.kept(version))
        on_demand, provisioned = share.on_demand_in_flight, self.provisioned_in_flight(function, qualifier)
        self.open[request] = Open(function, qualifier)
        actions = version.placement.arrive(request, self.now, qualifier)
        throttled = next((action.reason for action in actions if isinstance(action, Throttle)), None)
        if throttled is not None:
            assert throttled in RATES or not promised, "a guarantee was not kept"
        elif not any(isinstance(action, Dispatch) for action in actions):
            assert not idle, "a start beside an idle provisioned environment"
            version.order.append(request)
        self.carry_out(version, actions)
        if throttled is None:
            self.check_limits(function, on_demand=share.on_demand_in_flight > on_demand)
        if self.provisioned_in_flight(function, qualifier) > provisioned:
            assert provisioned < self.allocated[function][qualifier], "more than is provisioned"

    def check_limits(self, function: str, *, on_demand: bool) -> None:
        """What was just admitted is within every limit."""
        reserved, provisioned = self.reserved[function], sum(self.allocated[function].values())
        if reserved is not None:
            assert self.in_flight(function) <= reserved, "more than is reserved"
            if on_demand:
                assert self.shares[function].on_demand_in_flight <= reserved - provisioned, (
                    "more than is left on demand"
                )
        elif on_demand:
            taken = sum(self.reserved[name] or 0 for name in FUNCTIONS)
            taken += sum(sum(self.allocated[name].values()) for name in FUNCTIONS if self.reserved[name] is None)
            assert self.account.unreserved_in_flight <= QUOTA - taken, "more than the others leave"

    def provisioned_in_flight(self, function: str, qualifier: str) -> int:
        """Invocations that hold a unit of the qualifier's provisioned concurrency."""
        found = self.shares[function].provisioned.get(qualifier)
        return found.in_flight if found else 0

    def kept(self, version: Version) -> list[tuple[int, str]]:
        """Provisioned environments that take invocations."""
        known = version.placement.environments
        return [
            (number, kept_for)
            for number, kept_for in version.provisioned.items()
            if not known[number].retiring and number not in version.released and number not in version.doubted
        ]

    @precondition(lambda self: any(version.starts for version in self.all))
    @rule(data=st.data())
    def progress(self, data: st.DataObject) -> None:
        """A start begins, becomes ready, fails, or turns out broken."""
        version = data.draw(st.sampled_from([version for version in self.all if version.starts]))
        number = data.draw(st.sampled_from(sorted(version.starts)))
        if not version.starts[number]:
            assert version.placement.begun(number)
            version.starts[number] = True
            return
        del version.starts[number]
        outcome = data.draw(st.sampled_from(["ready", "ready", "lost", "broken"]))
        if outcome == "ready":
            self.carry_out(version, version.placement.ready(number, self.now))
        else:
            failure = {"e": 1} if outcome == "broken" else None
            self.carry_out(version, version.placement.start_failed(number, self.now, failure))

    @precondition(lambda self: any(version.running for version in self.all))
    @rule(data=st.data(), outcome=st.sampled_from(["finished", "finished", "lost", "rejected", "retired"]))
    def end(self, data: st.DataObject, outcome: str) -> None:
        """An invocation ends, its environment dies or has to go, or the request was refused."""
        version = data.draw(st.sampled_from([version for version in self.all if version.running]))
        number = data.draw(st.sampled_from(sorted(version.running)))
        request = version.running.pop(number)
        placement = version.placement
        if outcome in ("lost", "rejected"):
            version.provisioned.pop(number, None)
            version.released.discard(number)
        if outcome == "rejected":
            version.order.appendleft(request)
            qualifier = self.open[request].qualifier
            self.carry_out(version, placement.rejected(number, request, self.now, self.now, qualifier))
            return
        del self.open[request]
        if outcome == "lost":
            self.carry_out(version, placement.lost(number, self.now))
        else:
            retire = "it has to go" if outcome == "retired" else ""
            self.carry_out(version, placement.finished(number, self.now, retire=retire))

    @precondition(lambda self: any(version.placement.environments for version in self.all))
    @rule(data=st.data())
    def misplace(self, data: st.DataObject) -> None:
        """The node of an environment is too small for it."""
        version = data.draw(st.sampled_from([version for version in self.all if version.placement.environments]))
        known = [number for number in version.placement.environments if number not in version.starts]
        if known:
            number = data.draw(st.sampled_from(sorted(known)))
            self.carry_out(version, version.placement.misplace(number, self.now))

    @precondition(lambda self: any(version.placement.environments for version in self.all))
    @rule(data=st.data())
    def doubt(self, data: st.DataObject) -> None:
        """The node of an environment that runs nothing is not ready."""
        version = data.draw(st.sampled_from([version for version in self.all if version.placement.environments]))
        number = data.draw(st.sampled_from(sorted(version.placement.environments)))
        version.placement.doubt(number)
        if number not in version.running and number not in version.starts and number not in version.released:
            version.doubted.add(number)

    @precondition(lambda self: any(version.doubted for version in self.all))
    @rule(data=st.data(), there=st.booleans())
    def know(self, data: st.DataObject, *, there: bool) -> None:
        """A doubted environment answers, or does not."""
        version = data.draw(st.sampled_from([version for version in self.all if version.doubted]))
        number = data.draw(st.sampled_from(sorted(version.doubted)))
        version.doubted.discard(number)
        if there:
            self.carry_out(version, version.placement.trust(number, self.now))
        else:
            version.provisioned.pop(number, None)
            self.carry_out(version, version.placement.lost(number, self.now))

    @rule(function=st.sampled_from(FUNCTIONS), reserved=st.sampled_from([None, 0, 1, 3, 5]))
    def reserve_again(self, function: str, reserved: int | None) -> None:
        """Another reservation."""
        self.reserve(function, reserved)

    def reserve(self, function: str, reserved: int | None) -> None:
        """A reservation that the account can grant, and that is not below what is provisioned (§5.3)."""
        others = sum(self.reserved[name] or 0 for name in FUNCTIONS if name != function)
        outside = sum(sum(self.allocated[name].values()) for name in FUNCTIONS if self.reserved[name] is None)
        if reserved is not None and not (
            sum(self.allocated[function].values()) <= reserved <= QUOTA - UNRESERVED_MINIMUM - others - outside
        ):
            return
        self.reserved[function] = reserved
        self.shares[function].reserve(reserved, self.now)

    @rule(
        function=st.sampled_from(FUNCTIONS), qualifier=st.sampled_from(QUALIFIERS[1:]), units=st.sampled_from([0, 1, 2])
    )
    def provision_again(self, function: str, qualifier: str, units: int) -> None:
        """Another number of provisioned environments."""
        self.provision(function, qualifier, units)

    def provision(self, function: str, qualifier: str, units: int) -> None:
        """Provisioned concurrency that the reservation or the account can grant (§5.4)."""
        wanted = self.allocated[function] | {qualifier: units}
        reserved = self.reserved[function]
        others = sum(
            self.reserved[name] or sum(self.allocated[name].values()) for name in FUNCTIONS if name != function
        )
        if sum(wanted.values()) > (QUOTA - UNRESERVED_MINIMUM - others if reserved is None else reserved):
            return
        self.allocated[function] = wanted
        self.shares[function].provision(wanted, self.now)

    @rule(function=st.sampled_from(FUNCTIONS), qualifier=st.sampled_from(QUALIFIERS[1:]))
    def provisioned_environment_appears(self, function: str, qualifier: str) -> None:
        """One that Kubernetes keeps is initialized, on the version that the alias names."""
        version = self.versions[function][self.aliases[function, qualifier]]
        if sum(kept_for == qualifier for kept_for in version.provisioned.values()) >= 3:
            return
        revision = f"r{version.revision}"
        number, actions = version.placement.adopt(revision, self.now, busy=False, provisioned=qualifier)
        version.provisioned[number] = qualifier
        self.carry_out(version, actions)

    @precondition(lambda self: any(version.provisioned for version in self.all))
    @rule(data=st.data())
    def provisioned_environment_goes(self, data: st.DataObject) -> None:
        """Kubernetes ends a pod, whatever it runs."""
        version = data.draw(st.sampled_from([version for version in self.all if version.provisioned]))
        number = data.draw(st.sampled_from(sorted(version.provisioned)))
        self.carry_out(version, version.placement.retire(number, "the pod ends"))

    @rule(
        data=st.data(),
        function=st.sampled_from(FUNCTIONS),
        qualifier=st.sampled_from(QUALIFIERS[1:]),
        count=st.sampled_from([None, 0, 1, 2]),
    )
    def keep(self, data: st.DataObject, function: str, qualifier: str, count: int | None) -> None:
        """A Deployment is to shrink: idle environments are let go of first, or are wanted after all."""
        version = data.draw(st.sampled_from(self.versions[function]))
        self.carry_out(version, version.placement.keep(qualifier, count, self.now))
        serving = [number for number, kept_for in self.kept(version) if kept_for == qualifier]
        if count is None:
            assert not any(version.provisioned[number] == qualifier for number in version.released)
        elif any(number not in version.running for number in serving):
            assert len(serving) <= count, "one too many that runs nothing was kept"

    @precondition(lambda self: any(version.released for version in self.all))
    @rule(data=st.data())
    def released_environment_ends(self, data: st.DataObject) -> None:
        """Kubernetes ends one that was let go of; nobody notices."""
        version = data.draw(st.sampled_from([version for version in self.all if version.released]))
        number = data.draw(st.sampled_from(sorted(version.released)))
        self.carry_out(version, version.placement.retire(number, "the pod ends"))

    @rule(function=st.sampled_from(FUNCTIONS))
    def publish(self, function: str) -> None:
        """A new version."""
        if len(self.versions[function]) < 3:
            self.versions[function].append(Version(function, VersionPlacement(self.shares[function], "r1")))

    @rule(data=st.data(), function=st.sampled_from(FUNCTIONS), qualifier=st.sampled_from(QUALIFIERS[1:]))
    def move(self, data: st.DataObject, function: str, qualifier: str) -> None:
        """An alias leads to another version."""
        self.aliases[function, qualifier] = data.draw(st.integers(0, len(self.versions[function]) - 1))

    @rule(function=st.sampled_from(FUNCTIONS))
    def update(self, function: str) -> None:
        """$LATEST has another configuration."""
        version = self.versions[function][0]
        version.revision += 1
        self.carry_out(version, version.placement.configure(f"r{version.revision}", self.now))

    @rule()
    def hand_over(self) -> None:
        """Another frontend owns the account: it adopts every environment as it is, busy, idle or still starting."""
        self.account = Account(QUOTA)
        for name in FUNCTIONS:
            share = function_share(self.account, name, self.reserved[name], self.now)
            share.provision(self.allocated[name], self.now)
            self.shares[name] = share
            for version in self.versions[name]:
                for request in version.placement.abandon(self.now):
                    del self.open[request]
                version.order.clear()
                self._adopt(version, share)

    def _adopt(self, version: Version, share: FunctionShare) -> None:
        former, running, provisioned, starts = version.placement, version.running, version.provisioned, version.starts
        version.placement = VersionPlacement(share, former.revision)
        version.running, version.provisioned, version.starts, version.released = {}, {}, {}, set()
        version.doubted = set()
        for number, found in former.environments.items():
            if number in former.coming and starts[number] and found.revision == former.revision:
                version.starts[version.placement.expect(self.now)] = True
                continue
            if number in former.coming or number in former.replacing or found.retiring:
                if number in running:
                    del self.open[running[number]]
                continue
            adopted, actions = version.placement.adopt(
                found.revision, self.now, busy=number in running, provisioned=found.provisioned
            )
            if number in running:
                version.running[adopted] = running[number]
            if number in provisioned and not any(isinstance(action, Retire) for action in actions):
                version.provisioned[adopted] = provisioned[number]
            self.carry_out(version, actions)

    @rule(gap=st.sampled_from([0.0, 1.0, 5.0]))
    def tick(self, gap: float) -> None:
        """Time passes."""
        self.now += gap
        for version in self.all:
            actions = version.placement.tick(self.now, idle_timeout=4.0, start_timeout=8.0, max_age=30.0)
            self.carry_out(version, actions)

    # -- what always holds ------------------------------------------------------------------------------------------

    @invariant()
    def the_ledger_is_exact(self) -> None:
        """Units in flight are the requests without an outcome."""
        assert ledger_drift(self.account, [version.placement for version in self.all]) == 0
        for name in FUNCTIONS:
            assert self.shares[name].in_flight == self.in_flight(name)
            for found in self.shares[name].provisioned.values():
                assert found.allocated or found.in_flight
        if not self.open:
            assert self.account.unreserved_in_flight == 0

    @invariant()
    def nobody_waits_beside_an_idle_environment(self) -> None:
        """Rule 2, for every environment that a request may take."""
        for version in self.all:
            found = version.placement
            assert not (found.waiting and found.idle)
            for waiting in found.waiting:
                assert not found.provisioned_idle.get(waiting.qualifier)
            for qualifier, kept in found.kept.items():
                idle = found.provisioned_idle.get(qualifier, [])
                assert not idle or found.available(qualifier) <= kept, "one too many is still used"

    @invariant()
    def every_waiting_request_has_a_start(self) -> None:
        """And no start leaks."""
        for version in self.all:
            found = version.placement
            assert [waiting.request for waiting in found.waiting] == list(version.order)
            assert len(found.coming) >= len(found.waiting)
            assert set(found.coming) <= set(version.starts)

    def teardown(self) -> None:
        """When everything ends, nothing is left in the ledger."""
        for _ in range(1000):
            for version in self.all:
                for number in list(version.running):
                    del self.open[version.running.pop(number)]
                    self.carry_out(version, version.placement.finished(number, self.now))
            if not self.open:
                break
            self.now += 1000
            for version in self.all:
                self.carry_out(version, version.placement.tick(self.now, idle_timeout=4.0, start_timeout=8.0))
        assert not any(share.in_flight or share.on_demand_in_flight for share in self.shares.values())
        assert self.account.unreserved_in_flight == 0


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=250, stateful_step_count=80, deadline=None)
