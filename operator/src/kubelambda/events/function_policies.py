"""How the events of each function are retried, and where their outcome goes: a narrow view of every Function."""

from dataclasses import dataclass, field
from typing import Any

from kubelambda.api.kinds.event_invoke_config import EventInvokeConfig
from kubelambda.core.event.delivery import RetryPolicy
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.reflector import Reflector
from kubelambda.kube.resources import FUNCTIONS


@dataclass(frozen=True, slots=True)
class EventPolicy:
    """What a function says of its events. Destinations are ARNs, None where there is none."""

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    reserved_concurrency: int | None = None
    on_success: str | None = None
    on_failure: str | None = None


class FunctionPolicies:
    """The policies as Kubernetes has them now; an event lives by the one of the moment."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self.reflector = Reflector(client, FUNCTIONS, event_policy, on_change=lambda *_: None)

    async def of(self, namespace: str, function: str) -> EventPolicy | None:
        """A function's policy; None when it is gone, which Kubernetes itself says. Raises `KubeError`."""
        known = self.reflector.items.get((namespace, function))
        if known is not None:
            return known
        # It may have been made a moment ago: nothing that was accepted is dropped on the word of a cache.
        body = await self._client.find(FUNCTIONS, function, namespace)
        return None if body is None else event_policy(body)


def event_policy(body: dict[str, Any]) -> EventPolicy:
    """The policy in a Function object."""
    spec = body["spec"]
    wanted = EventInvokeConfig.model_validate(spec.get("eventInvokeConfig") or {}, extra="ignore")
    destinations = wanted.destination_config
    return EventPolicy(
        retry=RetryPolicy(wanted.maximum_retry_attempts, float(wanted.maximum_event_age_in_seconds)),
        reserved_concurrency=(body.get("status") or {}).get("reservedConcurrentExecutions"),
        on_success=destinations.on_success.destination if destinations.on_success else None,
        on_failure=destinations.on_failure.destination if destinations.on_failure else None,
    )
