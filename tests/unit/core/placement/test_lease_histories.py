"""Random histories of leases: late and lost messages, holders and owners that die, accounts that move, updates.

Whatever happens, no function runs more than it may, no environment runs two invocations, and no unit is lost for ever.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kubelambda.core.account import token_bucket
from kubelambda.core.account.ledger import Account
from kubelambda.core.account.token_bucket import TokenBucket
from kubelambda.core.placement.actions import Action, Cancel, Dispatch, Retire, Start, Throttle
from kubelambda.core.placement.function_share import FunctionShare, ThrottleReason, function_share
from kubelambda.core.placement.granted_leases import (
    LEASE_S,
    PAUSE_S,
    REQUESTS_MIN,
    GrantedLease,
    GrantedLeases,
    LeaseState,
)
from kubelambda.core.placement.held_leases import HeldLease, HeldLeases, LeasedFunction, Recalled
from kubelambda.core.placement.lease_use import LeaseUse
from kubelambda.core.placement.ledger_drift import ledger_drift
from kubelambda.core.placement.placed_environment import Status
from kubelambda.core.placement.placement import VersionPlacement

QUOTA = 5
FUNCTIONS = ("f", "g")
CALLED = (("f", ""), ("g", ""), ("f", "live"))
"""Functions, and the qualifier that their callers name."""
HOLDERS = ("b", "c")
RATES = (ThrottleReason.RATE, ThrottleReason.RESERVED_RATE)


@dataclass(eq=False)
class Call:
    """A request. It is open until its caller has an answer, or is gone with the frontend that it asked."""

    function: str
    holder: str = ""
    open: bool = True
    qualifier: str = ""


@dataclass(eq=False)
class Agent:
    """An environment as it is: whatever frontends believe, it runs one call at a time and knows its owner's term."""

    function: str
    revision: str
    term: int
    running: Call | None = None
    lease: HeldLease | None = None
    gone: bool = False
    provisioned: str = ""


@dataclass(eq=False)
class Message:
    """Something on its way. `lost` is what whoever waits for it does instead."""

    deliver: Callable[[], None]
    lost: Callable[[], None]


@dataclass(eq=False)
class Owner:
    """One time of ownership."""

    term: int
    account: Account
    shares: dict[str, FunctionShare]
    versions: dict[str, VersionPlacement]
    book: GrantedLeases
    agents: dict[tuple[str, int], Agent] = field(default_factory=dict)
    starts: list[tuple[str, int]] = field(default_factory=list)
    asks: dict[str, list[Callable[[], None]]] = field(default_factory=dict)
    """What waits until it is known what becomes of a lease that was called back."""
    asked_first: list[Call] = field(default_factory=list)
    """Calls that would have been throttled, and wait for leases."""


class LeaseHistories(RuleBasedStateMachine):
    """One account, its owner, and two frontends that forward and hold leases."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.terms = 0.0, 0
        self.reserved: dict[str, int | None] = dict.fromkeys(FUNCTIONS)
        self.allocated = 0
        """Provisioned concurrency of the alias `live` of `f`."""
        self.revision = dict.fromkeys(FUNCTIONS, 1)
        self.agents: list[Agent] = []
        self.calls: list[Call] = []
        self.messages: list[Message] = []
        self.held = {name: HeldLeases() for name in HOLDERS}
        self.sees = dict.fromkeys(HOLDERS, 0)
        """The owner that each of them sees."""
        self.lossless = True

    @initialize(reserved=st.sampled_from([1, 2, 3]), allocated=st.sampled_from([0, 1, 2]))
    def begin(self, reserved: int, allocated: int) -> None:
        """One function has a reservation, and provisioned concurrency; the other shares what is left."""
        self.reserved["f"] = reserved
        self.allocated = min(reserved, allocated)
        self.take_over()
        for _ in range(self.allocated):
            self.provisioned_environment_appears()

    def take_over(self) -> None:
        """A frontend becomes the owner: it goes by what every environment says."""
        self.terms += 1
        account = Account(QUOTA)
        shares = {name: function_share(account, name, self.reserved[name], self.now) for name in FUNCTIONS}
        shares["f"].provision({"live": self.allocated}, self.now)
        versions = {name: VersionPlacement(shares[name], f"r{self.revision[name]}") for name in FUNCTIONS}
        self.owner = Owner(self.terms, account, shares, versions, GrantedLeases(str(self.terms)))
        self.rates = {name: self.full_rate(name) for name in FUNCTIONS}
        self.rates["g"] = token_bucket.full(QUOTA * 10.0, QUOTA * 10.0, self.now)
        for agent in self.agents:
            if not agent.gone:
                agent.term = self.terms
                version, busy = versions[agent.function], agent.running is not None
                number, actions = version.adopt(agent.revision, self.now, busy=busy, provisioned=agent.provisioned)
                self.owner.agents[agent.function, number] = agent
                self.carry_out(agent.function, actions)

    def full_rate(self, name: str) -> TokenBucket:
        """What the rate of a function is without leases."""
        rate = 10.0 * (self.reserved[name] or 0)
        return token_bucket.full(rate, rate, self.now)

    # -- the owner --------------------------------------------------------------------------------------------------

    def carry_out(self, function: str, actions: list[Action]) -> None:
        """What a dispatcher does."""
        for action in actions:
            match action:
                case Dispatch(request=call, environment=number):
                    self.run(self.owner.agents[function, number], call, None)
                case Throttle(request=call):
                    call.open = False
                case Start(environment=number):
                    self.recall(self.owner.versions[function], None, lambda: None)
                    self.owner.starts.append((function, number))
                case Cancel(environment=number):
                    self.owner.starts.remove((function, number))
                case Retire(environment=number):
                    if (function, number) in self.owner.starts:
                        self.owner.starts.remove((function, number))
                    else:
                        agent = self.owner.agents.pop((function, number))
                        assert agent.running is None, "a busy environment was retired"
                        agent.gone = True

    def run(self, agent: Agent, call: Call, lease: HeldLease | None) -> None:
        """An agent takes a call."""
        assert agent.running is None, "two invocations in one environment"
        assert not agent.gone
        assert agent.provisioned in ("", call.qualifier), "a provisioned environment is not for all"
        agent.running, agent.lease = call, lease
        reserved = self.reserved[call.function]
        running = [one for one in self.agents if one.running is not None]
        own = sum(one.function == call.function for one in running)
        assert reserved is None or own <= reserved, "more than is reserved"
        assert reserved is not None or own <= QUOTA - (self.reserved["f"] or 0), "more than the account has left"

    def arrive(self, owner: Owner, call: Call, reason: ThrottleReason | None = None) -> None:
        """A call reaches the owner, or is looked at again after leases were called back."""
        if owner is not self.owner:
            call.open = False
            return
        rated = reason is not None and reason not in RATES
        version = owner.versions[call.function]
        if reason is None and (leases := owner.book.before_spilling(version, call.qualifier)):
            self.call_back(leases, 1, lambda: self.look_again(owner, call, ThrottleReason.RATE))
            owner.asked_first.append(call)
            return
        provisioned = version.share.provisioned.get(call.qualifier)
        before = provisioned.in_flight if provisioned else 0
        actions = version.arrive(call, self.now, call.qualifier, rated=rated)
        found = actions[0].reason if actions and isinstance(actions[0], Throttle) else None
        if provisioned is not None and provisioned.in_flight == before and self.lossless and not self.messages:
            assert found in RATES or self.in_flight(owner, "live") >= self.allocated, "on demand beside a free unit"
        if found not in RATES and not rated:
            self.count_request(call.function)
        if found is not None:
            if self.recall(version, found, lambda: self.look_again(owner, call, found)):
                owner.asked_first.append(call)
                return
            if self.lossless and found is ThrottleReason.RESERVED and not self.allocated:
                in_flight = sum(one.open and one.function == call.function for one in self.calls) - 1
                waiting = sum(one.function == call.function for one in owner.asked_first)
                assert in_flight - waiting >= (self.reserved[call.function] or 0), "throttled beside a free unit"
        self.carry_out(call.function, actions)

    def in_flight(self, owner: Owner, qualifier: str) -> int:
        """Calls of a qualifier that run, or wait for an environment, beside the one that is looked at."""
        waiting = sum(one.qualifier == qualifier for one in owner.asked_first)
        return sum(one.open and one.qualifier == qualifier for one in self.calls) - 1 - waiting

    def count_request(self, function: str) -> None:
        """One request of the rate. What a qualifier has beyond it is not told apart here."""
        if function != "f" or not self.allocated:
            assert self.rates[function].take(self.now), "more requests than the rate allows"

    def look_again(self, owner: Owner, call: Call, reason: ThrottleReason) -> None:
        """What was in the way is back, or in use."""
        owner.asked_first.remove(call)
        self.arrive(owner, call, reason)

    def recall(self, version: VersionPlacement, reason: ThrottleReason | None, then: Callable[[], None]) -> bool:
        """Calls back what may be in the way."""
        owner, leases = self.owner, self.owner.book.in_the_way(version, reason)
        if not leases:
            return False
        if reason is not None:
            owner.book.pause(version.share, self.now)
        self.call_back(leases, None if reason is not None else max(1, len(version.waiting)), then)
        return True

    def call_back(self, leases: list[GrantedLease], wanted: int | None, then: Callable[[], None]) -> None:
        """Leases are asked for; `then` follows when it is known what becomes of them."""
        owner = self.owner
        names = {lease.id for lease in leases}
        left = set(names)

        def known(name: str) -> None:
            left.discard(name)
            if not left:
                left.add("told")
                then()

        for holder, ids in owner.book.ask(leases).items():
            self.ask(owner, holder, ids, wanted)
        for name in names:
            owner.asks.setdefault(name, []).append(lambda name=name: known(name))  # type: ignore[misc]

    def ask(self, owner: Owner, holder: str, ids: list[str], wanted: int | None) -> None:
        """A recall goes to a holder, and its answer comes back."""

        def unanswered() -> None:
            owner.book.unanswered(ids)
            self.settled(owner, ids)

        def answered(found: Recalled) -> None:
            for lease in found.returned:
                self.end(owner, lease.id, lease.use)
            kept = {lease.id: lease.use for lease in found.kept}
            if not found.recalled:
                kept |= dict.fromkeys(found.missing, LeaseUse())
            owner.book.kept(kept, self.now, recalled=found.recalled)
            owner.book.unanswered(ids)
            self.settled(owner, ids)

        def asked() -> None:
            found = self.held[holder].recall(ids, wanted, self.now)
            self.send(lambda: answered(found), unanswered)

        self.send(asked, unanswered)

    def settled(self, owner: Owner, ids: list[str]) -> None:
        """Who waited for these leases goes on."""
        for name in ids:
            for tell in owner.asks.pop(name, ()):
                tell()

    def end(self, owner: Owner, name: str, used: LeaseUse) -> None:
        """A lease came back."""
        lease = owner.book.end(name, used, self.now)
        if lease is not None and owner is self.owner:
            self.free(lease)

    def free(self, lease: GrantedLease) -> None:
        """The environment of a lease is the owner's again."""
        function = next(name for name, version in self.owner.versions.items() if version is lease.version)
        self.carry_out(function, lease.version.finished(lease.environment, self.now))

    # -- messages ---------------------------------------------------------------------------------------------------

    def send(self, deliver: Callable[[], None], lost: Callable[[], None]) -> None:
        """Something is on its way."""
        self.messages.append(Message(deliver, lost))

    @precondition(lambda self: self.messages)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        """One message arrives, in any order."""
        self.messages.pop(data.draw(st.integers(0, len(self.messages) - 1))).deliver()

    @precondition(lambda self: self.messages)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        """One message never arrives."""
        self.lossless = False
        self.messages.pop(data.draw(st.integers(0, len(self.messages) - 1))).lost()

    # -- what happens -----------------------------------------------------------------------------------------------

    @rule(function=st.sampled_from(CALLED), count=st.integers(1, 3))
    def call_owner(self, function: tuple[str, str], count: int) -> None:
        """Callers reach the owner."""
        for _ in range(count):
            call = Call(function[0], qualifier=function[1])
            self.calls.append(call)
            self.arrive(self.owner, call)

    @rule(function=st.sampled_from(CALLED), holder=st.sampled_from(HOLDERS), count=st.integers(1, 3))
    def call_holder(self, function: tuple[str, str], holder: str, count: int) -> None:
        """Callers reach another frontend: it runs their calls on a lease, or forwards them."""
        for _ in range(count):
            call = Call(function[0], holder, qualifier=function[1])
            self.calls.append(call)
            self.dispatch_or_forward(call)

    @rule(
        function=st.sampled_from(CALLED),
        holder=st.sampled_from(HOLDERS),
        times=st.integers(2, 4),
        more=st.integers(0, 2),
        rested=st.booleans(),
    )
    def keep_calling(self, function: tuple[str, str], holder: str, times: int, more: int, rested: bool) -> None:
        """A caller that calls again as soon as it has an answer: this is what leases are for. The last ones go on."""
        if rested:
            self.wait(PAUSE_S + 0.1)
        for _ in range(times):
            call = Call(function[0], holder, qualifier=function[1])
            self.calls.append(call)
            self.dispatch_or_forward(call)
            for _ in range(10):
                if not call.open:
                    break
                self.settle_messages()
                for place in list(self.owner.starts):
                    if place in self.owner.starts:
                        self.started(*place)
                agent = next((agent for agent in self.agents if agent.running is call), None)
                if agent is not None:
                    self.finished(agent)
        for _ in range(more):
            self.calls.append(Call(function[0], holder, qualifier=function[1]))
            self.dispatch_or_forward(self.calls[-1])

    def settle_messages(self) -> None:
        """Everything that is on its way arrives."""
        while self.messages:
            self.messages.pop(0).deliver()

    def dispatch_or_forward(self, call: Call) -> None:
        """What a frontend does that is not the owner."""
        held, sees = self.held[call.holder], str(self.sees[call.holder] or self.terms)
        qualifier = call.qualifier if self.allocated else ""
        function = LeasedFunction("ns", call.function, "uid", "1", f"r{self.revision[call.function]}", qualifier)
        lease = held.take(function, sees, self.now)
        if lease is not None:
            agent = self.agents[int(lease.pod)]
            if agent.term == int(lease.term) and agent.running is None and not agent.gone:
                if agent.term == self.terms:
                    self.count_request(call.function)
                self.run(agent, call, lease)
                return
            assert agent.term != int(lease.term) or agent.gone, "two invocations in one environment"
            held.done(lease, self.now, usable=False)
        back = {each.id: each.use for each in held.used_up(sees, function, self.now)}
        owner, sent = self.owner, self.now

        def forwarded() -> None:
            for name, used in back.items():
                self.end(owner, name, used)
            self.arrive(owner, call)

        call.sent = sent  # type: ignore[attr-defined]
        self.send(forwarded, lambda: setattr(call, "open", False))

    @precondition(lambda self: any(agent.running for agent in self.agents))
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        """An invocation ends."""
        agent = data.draw(st.sampled_from([agent for agent in self.agents if agent.running]))
        self.finished(agent)

    def finished(self, agent: Agent) -> None:
        """The agent tells whoever waits for it to be idle, and answers whoever sent the call."""
        call, lease = agent.running, agent.lease
        assert call is not None
        agent.running = agent.lease = None
        place = next((place for place, found in self.owner.agents.items() if found is agent), None)
        if lease is None and place is not None:
            self.answer(place, call)
            return
        if place is not None:
            self.tell_owner(place, lease)
        if lease is None or not call.open or self.held[call.holder].done(lease, self.now):
            call.open = False
        else:
            self.give_back(lease, call)

    def tell_owner(self, place: tuple[str, int], lease: HeldLease | None) -> None:
        """A new owner waits for what ran for the former one; the owner for a lease that has lapsed."""
        version = self.owner.versions[place[0]]
        found = self.owner.book.leases.get(lease.id) if lease is not None else None
        if found is None:
            if lease is None or int(lease.term) != self.terms or lease.id not in self.owner.book.leases:
                self.carry_out(place[0], version.finished(place[1], self.now))
        elif found.state is LeaseState.LAPSED:
            self.owner.book.forget(found, self.now)
            self.free(found)

    def answer(self, place: tuple[str, int], call: Call) -> None:
        """The owner answers a call, with a lease if its frontend keeps forwarding."""
        owner, (function, number) = self.owner, place
        version = owner.versions[function]
        if call.holder and owner.book.forwarded(version, call.holder, self.now):
            lease = owner.book.grant(version, number, call.holder, self.now, call.qualifier)
            if lease is not None:
                assert lease.requests >= REQUESTS_MIN
                self.send(lambda: self.granted(owner, lease, call), lambda: setattr(call, "open", False))
                return
        self.carry_out(function, version.finished(number, self.now))
        call.open = False

    def granted(self, owner: Owner, lease: GrantedLease, call: Call) -> None:
        """An answer with a lease arrives."""
        held, name = self.held[call.holder], call.function
        known = lease.version.environments.get(lease.environment)
        found = HeldLease(
            id=lease.id,
            owner=str(owner.term),
            term=str(owner.term),
            function=LeasedFunction("ns", name, "uid", "1", known.revision if known else "gone", lease.qualifier),
            pod=str(self.agents.index(owner.agents[name, lease.environment]))
            if (name, lease.environment) in owner.agents
            else "0",
            uid="uid",
            until=call.sent + LEASE_S,  # type: ignore[attr-defined]
            requests=lease.requests or REQUESTS_MIN,
            since=self.now,
            connected=True,
        )
        if not held.add(found, self.now):
            self.send(lambda: self.end(owner, lease.id, LeaseUse()), lambda: None)
        call.open = False

    def give_back(self, lease: HeldLease, call: Call | None) -> None:
        """A lease goes back; a call is answered once its owner knows."""
        owner = self.owner

        def close() -> None:
            if call is not None:
                call.open = False

        def back() -> None:
            if owner.term == int(lease.term):
                self.end(owner, lease.id, lease.use)
            close()

        self.send(back, close)

    @precondition(lambda self: self.owner.starts)
    @rule(data=st.data())
    def start(self, data: st.DataObject) -> None:
        """An environment becomes ready."""
        function, number = data.draw(st.sampled_from(self.owner.starts))
        self.started(function, number)

    def started(self, function: str, number: int) -> None:
        """A start ends well."""
        self.owner.starts.remove((function, number))
        version = self.owner.versions[function]
        version.begun(number)
        agent = Agent(function, version.environments[number].revision, self.terms)
        self.agents.append(agent)
        self.owner.agents[function, number] = agent
        self.carry_out(function, version.ready(number, self.now))

    def provisioned_environment_appears(self) -> None:
        """One that Kubernetes keeps is initialized."""
        version = self.owner.versions["f"]
        agent = Agent("f", version.revision, self.terms, provisioned="live")
        self.agents.append(agent)
        number, actions = version.adopt(version.revision, self.now, busy=False, provisioned="live")
        self.owner.agents["f", number] = agent
        self.carry_out("f", actions)

    @rule(gap=st.sampled_from([0.0, 0.1, 0.1, 0.4, 1.0, 3.0]))
    def wait(self, gap: float) -> None:
        """Time passes."""
        self.now += gap
        for name in HOLDERS:
            sees = str(self.sees[name] or self.terms)
            for lease in self.held[name].over(self.now, lambda _, sees=sees: sees):  # type: ignore[misc]
                self.give_back(lease, None)
        for lapsed in self.owner.book.lapsed(self.now):
            place = next(
                (name, lapsed.environment) for name in FUNCTIONS if self.owner.versions[name] is lapsed.version
            )
            agent = self.owner.agents.get(place)
            if agent is None or agent.running is None:
                self.owner.book.forget(lapsed, self.now)
                self.free(lapsed)
        for name, version in self.owner.versions.items():
            self.carry_out(name, version.tick(self.now, idle_timeout=100.0, start_timeout=50.0))

    @rule(holder=st.sampled_from(HOLDERS))
    def holder_dies(self, holder: str) -> None:
        """What it ran goes on in its environments; its callers are gone."""
        self.lossless = False
        self.held[holder] = HeldLeases()
        for call in self.calls:
            if call.holder == holder:
                call.open = False

    @rule(seen=st.sets(st.sampled_from(HOLDERS)))
    def move(self, seen: set[str]) -> None:
        """Another frontend owns the account; those who do not see it go on using their leases."""
        self.lossless = False
        for name in HOLDERS:
            self.sees[name] = 0 if name in seen else self.sees[name] or self.terms
        for call in self.calls:
            if not any(agent.running is call for agent in self.agents):
                call.open = False
        self.messages.clear()
        self.take_over()

    @rule(function=st.sampled_from(FUNCTIONS))
    def update(self, function: str) -> None:
        """The function has another configuration; leases of the former one are called back."""
        self.revision[function] += 1
        version = self.owner.versions[function]
        self.carry_out(function, version.configure(f"r{self.revision[function]}", self.now))
        for holder, ids in self.owner.book.ask(self.owner.book.of(version)).items():
            self.ask(self.owner, holder, ids, None)

    # -- what always holds ------------------------------------------------------------------------------------------

    @invariant()
    def the_ledger_is_exact(self) -> None:
        """Every unit is some request's, some busy environment's, or some lease's."""
        if not self.terms:
            return
        assert ledger_drift(self.owner.account, self.owner.versions.values()) == 0
        for lease in self.owner.book.leases.values():
            found = lease.version.environments.get(lease.environment)
            assert found is None or found.status is Status.BUSY, "an environment is lent and free"
        for (function, number), agent in self.owner.agents.items():
            found = self.owner.versions[function].environments.get(number)
            assert agent.running is None or found is None or found.unit is not None, "it runs what nobody counts"

    def teardown(self) -> None:
        """When everything ends, nothing is left in the ledger, and nothing is lent."""
        for _ in range(200):
            self.settle_messages()
            for function, number in list(self.owner.starts):
                if (function, number) in self.owner.starts:
                    self.started(function, number)
            for agent in self.agents:
                if agent.running is not None:
                    self.finished(agent)
            self.wait(1.0)
            if not self.owner.account.unreserved_in_flight and not any(
                share.in_flight for share in self.owner.shares.values()
            ):
                break
        assert not any(share.in_flight for share in self.owner.shares.values())
        assert not self.owner.book.leases
        for share in self.owner.shares.values():
            assert share.request_bucket.lent == 0
            for provisioned in share.provisioned.values():
                assert provisioned.requests.lent == 0


TestLeaseHistories = LeaseHistories.TestCase
TestLeaseHistories.settings = settings(max_examples=120, stateful_step_count=60, deadline=None)
