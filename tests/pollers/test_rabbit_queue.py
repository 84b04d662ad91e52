"""What the client of RabbitMQ does when a connection ends, and what is made of it."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from kubelambda.core.mapping.mq_batch import MqMessage
from kubelambda.core.mapping.mq_place import BrokerEngine, MqPlace
from kubelambda.pollers.sources.rabbitmq import RabbitQueue
from kubelambda.pollers.sources.source_unreachable import SourceUnreachable

PLACE = MqPlace(BrokerEngine.RABBITMQ, "rabbit", 5672, False, "orders")


def queue(call: Any) -> RabbitQueue:
    """A queue whose channel does `call` for everything."""
    channel: Any = SimpleNamespace(
        on_consumer_cancel_callbacks=set(),
        closing=asyncio.get_running_loop().create_future(),
        basic_ack=call,
        basic_nack=call,
        queue_declare=call,
    )
    return RabbitQueue(channel, "arn:aws:mq:us-east-1:123456789012:broker:shop:b-1", PLACE)


async def test_a_connection_that_ends_cancels_nobody() -> None:
    """Its client tells who waits for an answer so; a mapping's poller would end without a word."""

    async def ended(*_: Any, **__: Any) -> None:
        raise asyncio.CancelledError

    message = MqMessage({}, 0, 1)
    for work in (queue(ended).done([message]), queue(ended).refuse([message]), queue(ended).begin(1)):
        with pytest.raises(SourceUnreachable, match="the connection ended"):
            await work


async def test_whoever_is_cancelled_ends() -> None:
    """As asyncio has it."""

    async def never(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(queue(never).done([MqMessage({}, 0, 1)]))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
