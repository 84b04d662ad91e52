"""The poller of a queue whose server is away in the middle of batches: nothing is lost, and groups keep their order."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.pollers.conftest import Source, eventually
from tests.pollers.door import Door
from tests.pollers.elastic_mq import ElasticMq

from kubelambda.api.reasons import Reason
from kubelambda.core.mapping.sqs_batch import BatchRules

at_elasticmq = pytest.mark.parametrize("queues_url", ["elasticmq"], indirect=True)


@at_elasticmq
async def test_a_server_that_is_restarted_in_the_middle_of_a_batch_loses_nothing(
    source: Source, elastic_mq: ElasticMq
) -> None:
    """What is at the function is deleted by its receipt, or comes again; what waited is found by who begins anew."""
    source.function.pause.clear()
    source.poll(again=True, maximum_concurrency=2)
    await source.send("begun")
    await eventually(lambda: source.function.running == 1)
    await source.send("one", "two", DelaySeconds=2)
    elastic_mq.kill()
    try:
        await eventually(lambda: source.ended == 1)
    finally:
        await asyncio.to_thread(elastic_mq.start)
    source.function.pause.set()
    wanted = {"begun", "one", "two"}
    await eventually(lambda: {record["body"] for record in source.function.records} == wanted)
    await source.until_empty()
    assert {fault.reason for fault in source.faults} == {Reason.SOURCE_UNAVAILABLE}


@at_elasticmq
async def test_groups_keep_their_order_when_their_server_is_away_in_the_middle_of_batches(
    make_source: Callable[..., Any], elastic_mq: ElasticMq, tmp_path: Path
) -> None:
    """Twice, with batches at the function: once they fail, once they succeed while nothing can be deleted."""
    source: Source = await make_source(fifo=True)
    door = Door(tmp_path, elastic_mq.port)
    door.start()
    source.place = replace(source.place, endpoint_url=door.url)
    numbers = range(36)
    for number in numbers:
        await source.send(str(number), MessageGroupId=str(number % 3))

    async def away(*, failed: bool) -> None:
        await eventually(lambda: source.function.running >= 2)
        door.kill()
        source.function.answer = lambda _: (200, failed, None)
        source.function.pause.set()
        await eventually(lambda: source.function.running == 0)
        await eventually(lambda: source.ended == len(source.reports))
        source.function.pause.clear()
        await asyncio.to_thread(door.start)

    source.function.pause.clear()
    source.poll(again=True, rules=BatchRules(2, 0), maximum_concurrency=3)
    try:
        await away(failed=True)
        await away(failed=False)
        source.function.pause.set()
        await source.until_empty()
    finally:
        await source.close()  # while somebody answers: a poller asks for seconds before it takes its server for lost
        door.kill()
    came = list(dict.fromkeys(int(record["body"]) for record in source.function.records))
    assert sorted(came, key=lambda number: number % 3) == sorted(numbers, key=lambda number: number % 3)
    assert len(source.function.records) > len(came)
