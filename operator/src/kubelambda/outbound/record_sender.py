"""Sends a record to a destination, whichever kind it is: of events, and of the batches of event source mappings."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import aiohttp
from pydantic import IPvAnyNetwork

from kubelambda.core.event.destination import (
    DestinationService,
    OutgoingRecord,
    ServiceCall,
    cloud_event,
    parse_destination,
    service_call,
)
from kubelambda.kube.errors import KubeError
from kubelambda.kube.kube_client import KubeClient
from kubelambda.outbound.aws_client import ServicePlace
from kubelambda.outbound.guarded_sockets import outside
from kubelambda.outbound.service_clients import ServiceClients, ServiceFailed
from kubelambda.outbound.service_credentials import CredentialsMissing, read_credentials, read_secret
from kubelambda.outbound.target_directory import AwsSink, HttpSink, TargetDirectory, TargetMissing

_HTTP_TIMEOUT = aiohttp.ClientTimeout(total=10, connect=5)


class DestinationFailed(Exception):
    """A destination did not take a record; the message says why."""


class RecordSender:
    """Everything goes as the namespace that the record is of: by its EventTargets, with the keys in its Secrets.

    Nothing in `refused` is reached: whoever writes a destination must not reach what only we can.
    """

    def __init__(self, client: KubeClient, region: str, refused: Sequence[IPvAnyNetwork] = ()) -> None:
        self._client = client
        self._region = region
        self._refused = refused
        self._targets = TargetDirectory(client)
        self._services = ServiceClients(refused)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=64, socket_factory=outside(self._refused))
        self._session = aiohttp.ClientSession(connector=connector, timeout=_HTTP_TIMEOUT)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._services.close()
        if self._session is not None:
            await self._session.close()

    async def send(self, namespace: str, destination: str, record: OutgoingRecord) -> None:
        """Sends a record once. Raises `DestinationFailed`, after which it may have arrived or not."""
        named = parse_destination(destination)
        if named is None or named.service is DestinationService.FUNCTION:
            raise DestinationFailed(f"records are not sent to {destination}")
        try:
            sink = await self._targets.find(namespace, named)
            if isinstance(sink, HttpSink):
                await self._post(namespace, sink, record)
            else:
                await self._call(namespace, sink, record)
        except (TargetMissing, CredentialsMissing, ServiceFailed, KubeError) as error:
            raise DestinationFailed(str(error)) from error

    async def queue_call(
        self, namespace: str, queue: str, operation: str, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Calls SQS about a queue, by its ARN. Raises `DestinationFailed`."""
        named = parse_destination(queue)
        if named is None or named.service is not DestinationService.QUEUE:
            raise DestinationFailed(f"{queue} is no queue")
        try:
            sink = await self._targets.find(namespace, named)
            assert isinstance(sink, AwsSink), "an ARN never leads to a sink for CloudEvents"
            call = ServiceCall("sqs", operation, arguments, queue=named.resource)
            return await self._services.call(await self._place(namespace, sink), call)
        except (TargetMissing, CredentialsMissing, ServiceFailed, KubeError) as error:
            raise DestinationFailed(str(error)) from error

    async def _call(self, namespace: str, sink: AwsSink, record: OutgoingRecord) -> None:
        call = service_call(sink.destination, record)
        if call is None:
            raise DestinationFailed(f"records are not sent to {sink.destination.text}")
        await self._services.call(await self._place(namespace, sink), call)

    async def _place(self, namespace: str, sink: AwsSink) -> ServicePlace:
        what = "an EventTarget's aws.credentialsSecret"
        credentials = await read_credentials(self._client, namespace, sink.secret, what)
        return ServicePlace(sink.destination.region or self._region, sink.endpoint_url, credentials)

    async def _post(self, namespace: str, sink: HttpSink, record: OutgoingRecord) -> None:
        assert self._session is not None, "used outside of its context"
        headers = {"Content-Type": "application/cloudevents+json; charset=UTF-8"}
        if sink.secret is not None:
            token = (await read_secret(self._client, namespace, sink.secret)).get("token", "").strip()
            if not token:
                raise CredentialsMissing(f"Secret {sink.secret} has no key token")
            headers["Authorization"] = f"Bearer {token}"
        if record.trace:
            headers["X-Amzn-Trace-Id"] = record.trace
        try:
            async with self._session.post(
                sink.url, data=cloud_event(record), headers=headers, allow_redirects=False
            ) as response:
                if response.status >= 300:
                    raise DestinationFailed(f"{sink.url} answers {response.status}")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise DestinationFailed(f"{sink.url} does not answer: {error or type(error).__name__}") from error
