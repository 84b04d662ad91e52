"""Makes the poller of a mapping, with a client of its source: one way for each kind of source."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiobotocore.session import AioSession
from pydantic import IPvAnyNetwork

from kubelambda.core.mapping.kafka_place import KafkaPlace, TokenPlace
from kubelambda.core.mapping.mq_place import BrokerEngine, MqPlace
from kubelambda.core.mapping.record_filter import SourceFormat
from kubelambda.core.mapping.schema_place import SchemaPlace
from kubelambda.kube.kube_client import KubeClient
from kubelambda.outbound.aws_client import ServicePlace
from kubelambda.outbound.record_sender import RecordSender
from kubelambda.outbound.service_credentials import read_credentials
from kubelambda.pollers.batch_room import BatchRoom
from kubelambda.pollers.function_invoker import FunctionInvoker
from kubelambda.pollers.mapping_report import MappingReport
from kubelambda.pollers.mapping_view import MappingView
from kubelambda.pollers.mq_poller import SENT_BYTES, MqPoller
from kubelambda.pollers.poller import MappingWork, Poller
from kubelambda.pollers.poller_metrics import PollerMetrics
from kubelambda.pollers.record_decoder import RecordDecoder
from kubelambda.pollers.schemas.reading_processes import ReadingProcesses
from kubelambda.pollers.schemas.schema_registry import schema_registry
from kubelambda.pollers.shard_checkpoints import ShardCheckpoints
from kubelambda.pollers.share_ledger import ShareLedger
from kubelambda.pollers.sources.dynamodb import DynamoDbStream
from kubelambda.pollers.sources.kinesis import KinesisStream
from kubelambda.pollers.sources.mq_login import read_login
from kubelambda.pollers.sources.mq_queue import MqQueue
from kubelambda.pollers.sources.source import aws_service
from kubelambda.pollers.sources.source_unreachable import SourceUnreachable
from kubelambda.pollers.sources.sqs import sqs_queue
from kubelambda.pollers.sources.stream import StreamSource
from kubelambda.pollers.sources.tls_login import TlsLogin, read_tls_login
from kubelambda.pollers.sqs_poller import SqsPoller
from kubelambda.pollers.stream_delivery import StreamDelivery
from kubelambda.pollers.stream_poller import StreamPoller

if TYPE_CHECKING:
    from kubelambda.pollers.sources.access_tokens import AccessTokens

_HOLD_MARGIN_S = 90.0
"""For how much longer than a function may run its batch may be under way."""


class PollerFactory:
    """Pollers of this process. `identity` is a name that no other poller has; no source can be in `refused`."""

    def __init__(
        self,
        client: KubeClient,
        invoker: FunctionInvoker,
        sender: RecordSender,
        metrics: PollerMetrics,
        *,
        identity: str,
        processes: ReadingProcesses,
        refused: Sequence[IPvAnyNetwork] = (),
    ) -> None:
        self._client = client
        self._invoker = invoker
        self._sender = sender
        self._metrics = metrics
        self._identity = identity
        self._processes = processes
        self._ledger = ShareLedger()
        self._sent = ShareLedger(SENT_BYTES)
        self._room = BatchRoom()
        self._refused = refused
        self._session = AioSession()

    @asynccontextmanager
    async def open(
        self, view: MappingView, report: MappingReport, timeout_s: Callable[[], int]
    ) -> AsyncIterator[Poller]:
        """The poller of a mapping. Raises `SourceUnreachable` or `CredentialsMissing`."""
        room = self._room.of(view, self._metrics)
        work = MappingWork(view, self._invoker, report, self._metrics, timeout_s, room)
        if view.mq is not None:
            async with self._mq_queue(view, view.mq) as broker_queue:
                yield MqPoller(work, broker_queue, self._sent)
            return
        if view.kafka is not None:
            async with self._kafka(work, view.kafka) as poller:
                yield poller
            return
        place = await self._place(view)
        match view.source.format:
            case SourceFormat.KINESIS:
                role = f"arn:aws:iam::{work.view.account}:role/kubelambda"
                async with aws_service(self._session, "kinesis", place, self._refused, "Kinesis") as service:
                    yield self._stream(work, KinesisStream(service, view.source.arn, role))
            case SourceFormat.DYNAMODB:
                service_name = "DynamoDB Streams"
                async with aws_service(self._session, "dynamodbstreams", place, self._refused, service_name) as service:
                    yield self._stream(work, DynamoDbStream(service, view.source.arn))
            case _:
                async with sqs_queue(self._session, view.source.arn, place, self._refused) as queue:
                    yield SqsPoller(work, queue, self._ledger)

    def _stream(self, work: MappingWork, source: StreamSource) -> Poller:
        view = work.view
        delivery = StreamDelivery(view, work.invoker, self._sender, metrics=work.metrics, timeout_s=work.timeout_s)
        checkpoints = ShardCheckpoints(self._client, view.namespace, view.name, f"kubelambda-poller-{self._identity}")
        return StreamPoller(work, source, delivery, checkpoints)

    @asynccontextmanager
    async def _mq_queue(self, view: MappingView, place: MqPlace) -> AsyncIterator[MqQueue]:
        """Clients of brokers are imported when the first of them is made: most pollers have none."""
        login = await read_login(self._client, view.namespace, place)
        if place.engine is BrokerEngine.RABBITMQ:
            from kubelambda.pollers.sources.rabbitmq import rabbit_queue  # noqa: PLC0415

            async with rabbit_queue(view.source.arn, place, login, self._refused) as rabbit:
                yield rabbit
        else:
            from kubelambda.pollers.sources.activemq import active_queue  # noqa: PLC0415

            async with active_queue(view.source.arn, place, login, self._refused) as active:
                yield active

    @asynccontextmanager
    async def _kafka(self, work: MappingWork, named: KafkaPlace) -> AsyncIterator[Poller]:
        """Kafka's client is imported when the first poller needs it: most processes have none."""
        from kubelambda.pollers.kafka_poller import KafkaPoller  # noqa: PLC0415
        from kubelambda.pollers.sources.kafka import kafka_topic  # noqa: PLC0415

        view = work.view
        place = await self._brokers(view, named) if named.arn else named
        login = await self._login(view, place)
        async with (
            self._decoder(view, place.schemas) as decoder,
            self._tokens(view, place.tokens) as tokens,
            kafka_topic(
                place, login, self._refused, tokens=tokens, hold_s=lambda: work.timeout_s() + _HOLD_MARGIN_S
            ) as topic,
        ):
            yield KafkaPoller(work, topic, self._sender, decoder=decoder)

    @asynccontextmanager
    async def _decoder(self, view: MappingView, place: SchemaPlace | None) -> AsyncIterator[RecordDecoder | None]:
        if place is None:
            yield None
            return
        async with schema_registry(place, await self._login(view, place), self._refused) as registry:
            yield RecordDecoder(
                registry, place, self._processes, namespace=view.namespace, filtered=bool(view.patterns)
            )

    @asynccontextmanager
    async def _tokens(self, view: MappingView, place: TokenPlace | None) -> AsyncIterator["AccessTokens | None"]:
        if place is None:
            yield None
            return
        from kubelambda.pollers.sources.access_tokens import access_tokens, read_token_client  # noqa: PLC0415

        client = await read_token_client(self._client, view.namespace, place.secret)
        async with access_tokens(client, place, self._refused) as tokens:
            yield tokens

    async def _login(self, view: MappingView, place: KafkaPlace | SchemaPlace) -> TlsLogin:
        return await read_tls_login(
            self._client,
            view.namespace,
            login_secret=place.login_secret,
            certificate_secret=place.certificate_secret,
            authority_secret=place.authority_secret,
        )

    async def _brokers(self, view: MappingView, named: KafkaPlace) -> KafkaPlace:
        """Where the brokers of a cluster with an ARN are, which its service says."""
        place = await self._place(view)
        async with aws_service(self._session, "kafka", place, self._refused, "Kafka") as service:
            answer = await service.call("get_bootstrap_brokers", ClusterArn=named.arn)
        found = named.among(answer)
        if found is None:
            there = ", ".join(sorted(name for name, value in answer.items() if name.startswith("Bootstrap") and value))
            raise SourceUnreachable(
                f"the cluster has no brokers for who we are by sourceAccessConfigurations, only {there or 'none'}"
            )
        return found

    async def _place(self, view: MappingView) -> ServicePlace:
        """Where the source is. Never with credentials of our own: those are not the mapping's."""
        keys = await read_credentials(
            self._client, view.namespace, view.credentials_secret, "connection.credentialsSecret"
        )
        return ServicePlace(view.source.arn.split(":")[3], view.endpoint_url, keys)
