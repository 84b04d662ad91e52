"""Where what a destination names is: what the EventTargets of its namespace say, remembered for a few seconds."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from kubelambda.api.kinds.event_target import AwsTarget, EventTargetSpec, HttpTarget
from kubelambda.core.event.destination import Destination, DestinationService, parse_destination
from kubelambda.core.event.named_targets import TargetFacts, missing_target
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.resources import EVENT_TARGETS

_REMEMBERED_S = 5.0
_REMEMBERED_MAX = 1024


class TargetMissing(Exception):
    """Nothing says where a destination is; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class AwsSink:
    """Something that an ARN names."""

    destination: Destination
    endpoint_url: str | None = None
    secret: str | None = None


@dataclass(frozen=True, slots=True)
class HttpSink:
    """An address that takes CloudEvents."""

    url: str
    secret: str | None = None


@dataclass(slots=True)
class TargetDirectory:
    """The EventTargets of namespaces that have sent something lately."""

    client: KubeClient
    _known: dict[str, tuple[float, Mapping[str, EventTargetSpec]]] = field(default_factory=dict)

    async def find(self, namespace: str, destination: Destination) -> AwsSink | HttpSink:
        """Where a destination is. Raises `TargetMissing` or `KubeError`."""
        targets = await self._targets(namespace)
        if destination.service is not DestinationService.TARGET:
            return _aws_sink(destination, _serving(destination, targets))
        target = targets.get(destination.text)
        if target is None:
            raise TargetMissing(missing_target(destination.text, None))
        if target.http is not None:
            return _http_sink(target.http)
        named = parse_destination(target.aws.arn) if target.aws is not None and target.aws.arn else None
        if named is None:
            raise TargetMissing(missing_target(destination.text, TargetFacts("", nameable=False)))
        return _aws_sink(named, target.aws)

    async def _targets(self, namespace: str) -> Mapping[str, EventTargetSpec]:
        known = self._known.get(namespace)
        if known is not None and time.monotonic() - known[0] < _REMEMBERED_S:
            return known[1]
        found = {}
        for body in (await self.client.list(EVENT_TARGETS, namespace))["items"]:
            try:
                found[body["metadata"]["name"]] = EventTargetSpec.model_validate(body["spec"], extra="ignore")
            except ValidationError:  # of another release; the others serve
                continue
        if len(self._known) >= _REMEMBERED_MAX:
            self._known.clear()
        self._known[namespace] = (time.monotonic(), found)
        return found


def _serving(destination: Destination, targets: Mapping[str, EventTargetSpec]) -> AwsTarget | None:
    """The target of that very ARN, else one of its whole service; of several the first by name."""
    aws = [target.aws for _, target in sorted(targets.items()) if target.aws is not None]
    exact = (each for each in aws if each.arn == destination.text)
    serving = (each for each in aws if destination.service.value in each.services)
    return next(exact, None) or next(serving, None)


def _aws_sink(destination: Destination, target: AwsTarget | None) -> AwsSink:
    if target is None:
        return AwsSink(destination)
    return AwsSink(
        destination, target.endpoint_url, target.credentials_secret.name if target.credentials_secret else None
    )


def _http_sink(target: HttpTarget) -> HttpSink:
    return HttpSink(target.url, target.bearer_token_secret.name if target.bearer_token_secret else None)
