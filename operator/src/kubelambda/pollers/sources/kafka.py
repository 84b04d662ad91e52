"""A topic of Kafka, read as a member of a consumer group (§7.5)."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import IllegalStateError
from pydantic import IPvAnyNetwork

from kubelambda.core.mapping.kafka_failure import KafkaMessage
from kubelambda.core.mapping.kafka_place import KafkaPlace
from kubelambda.core.mapping.stream_rules import StartingPosition
from kubelambda.pollers.sources.access_tokens import AccessTokens
from kubelambda.pollers.sources.kafka_connections import connect, guard
from kubelambda.pollers.sources.kafka_login import FAULTS, Options, connection_options, kafka_problem
from kubelambda.pollers.sources.source_unreachable import SourceUnreachable
from kubelambda.pollers.sources.tls_login import TlsLogin

_ANSWER_S = 30.0
_LOOK_ANSWER_S = 10.0
"""For an answer that only says how it stands: without it, the mapping says so."""
_SESSION_MS = 30_000
"""Without a word from us for so long, our partitions are another member's."""
_FOREVER_MS = 2**31 - 1
"""A batch may be tried for days: whether we live, our heartbeat says."""
_CLOSE_S = 10.0

log = logging.getLogger(__name__)


class PartitionsChanged(Protocol):
    """Who is told which partitions are ours."""

    async def lost(self) -> None:
        """All that were; returns once nothing of them is under way."""

    async def gained(self, partitions: Sequence[int]) -> None:
        """These are, none of the others."""


class ReadMessage(Protocol):
    """A record as the client hands it over."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class KafkaTopic:
    """One topic, as `kafka_topic` opens it. Every method raises `SourceUnreachable` unless it says otherwise."""

    def __init__(self, consumer: Any, place: KafkaPlace, options: Options) -> None:
        self.servers = place.servers
        self._consumer = consumer
        self._topic = place.topic
        self._options = options
        self._producer: Any = None

    def subscribe(self, who: PartitionsChanged) -> None:
        """Joins the group. `who` is told which partitions are ours, and when they are not any more."""
        self._consumer.subscribe([self._topic], listener=_Listener(who))

    async def positions(self, partitions: Sequence[int], start: StartingPosition) -> dict[int, int]:
        """The next offset of each partition: the group's, or where it is to begin; reading goes on from there."""
        named = [TopicPartition(self._topic, each) for each in partitions]
        committed = await self._asked(asyncio.gather(*(self._consumer.committed(each) for each in named)))
        known = {each.partition: at for each, at in zip(named, committed, strict=True) if at is not None}
        fresh = [each for each in named if each.partition not in known]
        if not fresh:
            return known
        begins = await self._begins(fresh, start)
        for each in fresh:
            self._consumer.seek(each, begins[each.partition])
        return known | begins

    async def _begins(self, partitions: Sequence[TopicPartition], start: StartingPosition) -> dict[int, int]:
        if start.at is None:
            found = await self._asked(self._consumer.beginning_offsets(partitions))
            return {each.partition: offset for each, offset in found.items()}
        at = int(start.at.timestamp() * 1000)
        later = await self._asked(self._consumer.offsets_for_times(dict.fromkeys(partitions, at)))
        ends = await self._asked(self._consumer.end_offsets(partitions))
        return {each.partition: later[each].offset if later.get(each) else ends[each] for each in partitions}

    async def read(self, partition: int, count: int, seconds: float) -> Sequence[ReadMessage]:
        """The next records of a partition of ours, `count` at most; none after `seconds` without any."""
        place = TopicPartition(self._topic, partition)
        try:
            found = await self._consumer.getmany(place, timeout_ms=int(seconds * 1000), max_records=count)
        except IllegalStateError:  # it is not ours any more
            return ()
        except FAULTS as error:
            raise kafka_problem(error) from error
        records: Sequence[ReadMessage] = found.get(place, ())
        return records

    async def ends(self, partitions: Sequence[int]) -> dict[int, int]:
        """The offset that the next record of each partition will have."""
        named = [TopicPartition(self._topic, each) for each in partitions]
        found = await self._asked(self._consumer.end_offsets(named), _LOOK_ANSWER_S)
        return {each.partition: offset for each, offset in found.items()}

    async def commit(self, offsets: Mapping[int, int]) -> None:
        """Says where the group is. Waits for the cluster as long as it takes."""
        try:
            await self._consumer.commit({TopicPartition(self._topic, each): at for each, at in offsets.items()})
        except (IllegalStateError, *FAULTS) as error:
            raise kafka_problem(error) from error

    async def send(self, topic: str, messages: Sequence[KafkaMessage]) -> None:
        """Sends messages to a topic of the same cluster, all of them before it returns."""
        try:
            async with asyncio.timeout(_ANSWER_S):
                if self._producer is None:
                    producer = AIOKafkaProducer(bootstrap_servers=list(self.servers), acks="all", **self._options)
                    await producer.start()
                    self._producer = producer
                sent = [await self._producer.send(topic, each.value, key=each.key) for each in messages]
                await asyncio.gather(*sent)
        except FAULTS as error:
            raise kafka_problem(error) from error

    async def close(self) -> None:
        """Leaves the group. Never raises."""
        for client in (self._producer, self._consumer):
            if client is not None:
                with suppress(*FAULTS):
                    await asyncio.wait_for(client.stop(), _CLOSE_S)

    async def _asked(self, asking: Awaitable[Any], seconds: float = _ANSWER_S) -> Any:
        try:
            async with asyncio.timeout(seconds):
                return await asking
        except FAULTS as error:
            raise kafka_problem(error) from error


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # its package has no types
    def __init__(self, who: PartitionsChanged) -> None:
        self._who = who

    async def on_partitions_revoked(self, revoked: Any) -> None:
        if revoked:
            await self._who.lost()

    async def on_partitions_assigned(self, assigned: Any) -> None:
        await self._who.gained(sorted(each.partition for each in assigned))


@asynccontextmanager
async def kafka_topic(
    place: KafkaPlace,
    login: TlsLogin,
    refused: Sequence[IPvAnyNetwork] = (),
    *,
    tokens: AccessTokens | None = None,
    hold_s: Callable[[], float] = lambda: 60.0,
) -> AsyncIterator[KafkaTopic]:
    """The topic of a mapping. Raises `SourceUnreachable`.

    No broker can be in `refused`. `tokens` are those of a place that has them. `hold_s` says for how long a batch may
    be at the function: so long the group waits for us when partitions are to be another member's.
    """
    options = connection_options(place, login, tokens)
    if tokens is not None:
        await tokens.current()
    await _check(place.servers, options, refused)
    guard(refused)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=list(place.servers),
        client_id="kubelambda",
        group_id=place.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        session_timeout_ms=_SESSION_MS,
        rebalance_timeout_ms=int(hold_s() * 1000),
        max_poll_interval_ms=_FOREVER_MS,
        **options,
    )
    topic = KafkaTopic(consumer, place, options)
    try:
        try:
            async with asyncio.timeout(_ANSWER_S):
                await consumer.start()
                known = await consumer.topics()
        except FAULTS as error:
            raise kafka_problem(error) from error
        if place.topic not in known:
            why = f"there is no topic {place.topic}, or our user may not see it"
            raise SourceUnreachable(why, result=f"PROBLEM: Topic {place.topic} does not exist")
        yield topic
    finally:
        await topic.close()


async def _check(servers: Sequence[str], options: Options, refused: Sequence[IPvAnyNetwork]) -> None:
    """Whether one of the servers takes us: the client itself would only say that none does."""
    fault: BaseException = OSError("no server is named")
    for server in servers:
        host, _, port = server.rpartition(":")
        try:
            found = await connect(host, int(port), refused=refused, request_timeout_ms=10_000, **options)
        except FAULTS as error:
            fault = error
        else:
            found.close()
            return
    raise kafka_problem(fault) from fault
