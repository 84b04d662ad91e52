"""What the dispatchers of a frontend share."""

from collections.abc import Callable
from dataclasses import dataclass

from kubelambda.frontend.dispatch.invocation import Invocation
from kubelambda.frontend.dispatch.lease_grants import LeaseGrants


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a dispatcher asks of the frontend around it."""

    why_ended: Callable[[str, str], str]
    """What Kubernetes says of the end of a pod: its memory, or that its node ended it; empty when nothing."""
    elsewhere: Callable[[Invocation], None]
    """Takes an invocation that reached nobody, to whoever runs the function now."""
    silent_node: Callable[[str, str], None]
    """An environment ended in a way that others on its node may have shared."""
    first_to_end: Callable[[str, str, bool], None]
    """Tells Kubernetes which pod of a Deployment is to end before the others, or that it is not any more."""
    leases: LeaseGrants
    """Lends environments to other frontends, and calls them back."""
