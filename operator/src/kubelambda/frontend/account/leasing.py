"""Leases between frontends: what is granted, what is held, and what is said about it (`docs/decisions/0028`)."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from kubelambda.frontend.account.peers import Peers
from kubelambda.frontend.cold_start.start import Target
from kubelambda.frontend.dispatch import lease_messages
from kubelambda.frontend.dispatch.invocation import Invocation
from kubelambda.frontend.dispatch.lease_grants import LeaseGrants
from kubelambda.frontend.dispatch.lease_messages import GivenBack, UnusableLease
from kubelambda.frontend.dispatch.leased_environments import LeasedEnvironments, Neighbourhood
from kubelambda.wire.background_tasks import BackgroundTasks
from kubelambda.wire.flow import Headers
from kubelambda.wire.request import Request
from kubelambda.wire.request_reader import Serve

TICK_S = 0.1


@dataclass(frozen=True, slots=True)
class LeaseExchange:
    """What goes along with a request that is forwarded, and with its answer."""

    lines: bytes
    answered: Callable[[Headers], Headers]


class Leasing:
    """The leases of one frontend, both sides. `enabled`: whether it holds any; it grants none to who does not ask."""

    def __init__(self, address: str, peers: Peers, *, enabled: bool) -> None:
        self._address = address
        self._peers = peers
        self._enabled = enabled
        self._tasks = BackgroundTasks()
        self.grants = LeaseGrants(peers.call)
        self._held: LeasedEnvironments | None = None

    def surround(self, around: Neighbourhood) -> None:
        """What there is to know of the frontend, once it is there."""
        self._held = LeasedEnvironments(around, self._peers.call)

    # -- whoever would forward --------------------------------------------------------------------------------------

    def dispatch(self, target: Target, invocation: Invocation, qualifier: str) -> bool:
        """Runs an invocation here on a lease; False when it has to be forwarded.

        `qualifier`: its own where that has provisioned concurrency, else empty.
        """
        return self.held.dispatch(target, invocation, qualifier)

    def exchange(self, target: Target, owner: str, qualifier: str) -> LeaseExchange | None:
        """What to say to the owner beside a request, and to hear with its answer; None when no lease is wanted."""
        if not self._enabled or not self.held.willing:
            return None
        sent = time.monotonic()

        def answered(headers: Headers) -> Headers:
            value = headers.get(lease_messages.LEASE)
            if value is None:
                return headers
            self.held.granted(value, target, owner, sent)
            return {name: value for name, value in headers.items() if name != lease_messages.LEASE}

        lines = lease_messages.HOLDER + b": " + self._address.encode() + b"\r\n"
        return LeaseExchange(lines + self.held.giving_back(target, owner, qualifier), answered)

    # -- whoever owns -----------------------------------------------------------------------------------------------

    def holder(self, request: Request) -> str:
        """The frontend that a forwarded request came from, if that takes leases. Takes those back that came along."""
        given = request.headers.get(lease_messages.RETURNED)
        if given is not None:
            for name, use in lease_messages.parse_returned(given):
                self.grants.end(GivenBack(name, use))
        return request.headers.get(lease_messages.HOLDER, b"").decode(errors="replace")

    @property
    def routes(self) -> dict[bytes, Serve]:
        """What other frontends may ask about leases."""
        return {lease_messages.RECALL_PATH: self._serve, lease_messages.RETURN_PATH: self._serve}

    def _serve(self, request: Request) -> None:
        if not self._peers.is_one(request):
            request.respond(401)
            return
        try:
            if request.target == lease_messages.RETURN_PATH:
                for given in lease_messages.parse_given_back(request.body):
                    self.grants.end(given)
                request.respond(200)
            else:
                self._tasks.answer(request, self._recall(request, lease_messages.parse_recall(request.body)))
        except UnusableLease as error:
            request.respond(400, str(error).encode())

    async def _recall(self, request: Request, recall: lease_messages.Recall) -> None:
        answer = await self.held.recall(recall)
        request.respond(200, answer.encode(), b"Content-Type: application/json\r\n")

    # -- both -------------------------------------------------------------------------------------------------------

    @property
    def held(self) -> LeasedEnvironments:
        """Leases of environments that others own."""
        assert self._held is not None, "nothing is served before the frontend is whole"
        return self._held

    async def tick(self) -> None:
        """What time alone decides; asked every `TICK_S`."""
        self.held.tick()
        self.grants.tick()

    def close(self) -> None:
        """Lets go of every connection."""
        self.held.close()
        self._peers.close()
