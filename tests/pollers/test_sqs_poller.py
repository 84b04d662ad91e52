"""The poller of a queue against servers that speak SQS: what is done is deleted, and never before (§7.3).

There are two, moto and ElasticMQ: what a test sees at both is the protocol's, and no fault of a server.
"""

import asyncio
import json
import time
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest
from aiobotocore.session import AioSession
from tests.pollers.conftest import Answer, Source, eventually

from kubelambda.core.mapping.sqs_batch import BatchRules
from kubelambda.outbound.aws_client import ServicePlace
from kubelambda.outbound.service_credentials import ServiceCredentials
from kubelambda.pollers.sources.source_unreachable import SourceUnreachable
from kubelambda.pollers.sources.sqs import sqs_queue

at_both_servers = pytest.mark.parametrize("queues_url", ["moto", "elasticmq"], indirect=True)


def counts(source: Source) -> list[str]:
    """How often each record had been received when the function got it."""
    return [record["attributes"]["ApproximateReceiveCount"] for record in source.function.records]


@at_both_servers
async def test_a_message_is_deleted_after_the_answer_and_never_before(source: Source) -> None:
    """While the function is at it, the message is in the queue, and hidden."""
    source.function.pause.clear()
    source.poll()
    await source.send("hello")
    await eventually(lambda: source.function.running == 1)
    assert await source.left() == (0, 1)
    source.function.pause.set()
    await source.until_empty()
    assert [record["body"] for record in source.function.records] == ["hello"]


async def test_a_batch_that_failed_comes_back(source: Source) -> None:
    """By the queue, once its visibility is over."""
    answers: list[Answer] = [(200, True, {"errorType": "Oops"}), (200, False, None)]
    source.function.answer = lambda _: answers.pop(0)
    source.poll()
    await source.send("hello")
    await source.until_empty()
    await eventually(lambda: len(source.function.events) == 2)
    assert counts(source) == ["1", "2"]


async def test_a_throttled_batch_is_tried_again_by_the_poller(make_source: Callable[..., Any]) -> None:
    """As long as its messages are ours: they are received once."""
    source: Source = await make_source(VisibilityTimeout="90")
    answers: list[Answer] = [(429, False, {}), (503, False, {}), (200, False, None)]
    source.function.answer = lambda _: answers.pop(0)
    source.poll()
    await source.send("hello")
    await source.until_empty()
    assert counts(source) == ["1", "1", "1"]


@at_both_servers
async def test_only_named_records_come_back(source: Source) -> None:
    """With ReportBatchItemFailures."""

    def answer(event: Any) -> Answer:
        first = [each for each in event["Records"] if each["attributes"]["ApproximateReceiveCount"] == "1"]
        named = [{"itemIdentifier": each["messageId"]} for each in first if each["body"] == "bad"]
        return 200, False, {"batchItemFailures": named}

    source.function.answer = answer
    await source.send("good", "bad", "fine")
    source.poll(reports_failures=True)
    await source.until_empty()
    assert sorted(record["body"] for record in source.function.records) == ["bad", "bad", "fine", "good"]


@at_both_servers
async def test_what_no_filter_lets_through_is_deleted_unseen(source: Source) -> None:
    """Whatever else is in its receive."""
    await source.send(json.dumps({"kind": "order"}), json.dumps({"kind": "other"}), "no json")
    source.poll(patterns=('{"body": {"kind": ["order"]}}',))
    await source.until_empty()
    assert [json.loads(record["body"]) for record in source.function.records] == [{"kind": "order"}]


async def test_a_window_gathers_what_several_receives_bring(source: Source) -> None:
    """More than the ten messages that one receive may bring."""
    bodies = [str(number) for number in range(25)]
    await source.send(*bodies)
    source.poll(rules=BatchRules(25, 20), maximum_concurrency=2)
    await source.send(*[str(number) for number in range(25, 50)])
    await source.until_empty(60)
    # A standard queue may bring a message twice.
    assert {int(record["body"]) for record in source.function.records} == set(range(50))
    assert max(len(event["Records"]) for event in source.function.events) > 10


async def test_no_more_batches_run_at_once_than_the_mapping_allows(source: Source) -> None:
    """However much waits."""
    await source.send(*[str(number) for number in range(30)])
    source.function.pause.clear()
    source.poll(rules=BatchRules(1, 0), maximum_concurrency=2)
    await eventually(lambda: source.function.running == 2)
    source.function.pause.set()
    await source.until_empty()
    assert source.function.most == 2


@at_both_servers
async def test_a_group_keeps_its_order_when_a_message_fails(make_source: Callable[..., Any]) -> None:
    """Those behind it wait for it (§7.3.7)."""
    source: Source = await make_source(fifo=True)
    answers: list[Answer] = [(200, True, {})]
    source.function.answer = lambda _: answers.pop() if answers else (200, False, None)
    await source.send("1", "2", "3")
    source.poll(rules=BatchRules(1, 0))
    await source.until_empty()
    assert [record["body"] for record in source.function.records] == ["1", "1", "2", "3"]


@at_both_servers
async def test_a_message_that_fails_too_often_goes_to_the_queue_for_dead_letters(
    make_source: Callable[..., Any],
) -> None:
    """The server's doing: the poller neither deletes it nor brings it there, and the function sees it no more."""
    dead = await make_source()
    policy = json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": 1})
    source = await make_source(RedrivePolicy=policy, VisibilityTimeout="2")
    source.function.answer = lambda _: (200, True, {"errorType": "Oops"})
    source.poll()
    await source.send("poison")
    deadline = time.monotonic() + 60
    while await dead.left() != (1, 0) or await source.left() != (0, 0):
        assert time.monotonic() < deadline, (await dead.left(), await source.left())
        await asyncio.sleep(0.1)
    assert [record["body"] for record in source.function.records] == ["poison"]


@at_both_servers
async def test_a_poller_that_is_asked_to_end_finishes_what_it_has_begun(make_source: Callable[..., Any]) -> None:
    """The message is deleted, and nothing new is begun."""
    source: Source = await make_source(VisibilityTimeout="90")
    source.function.pause.clear()
    task = source.poll()
    await source.send("hello")
    await eventually(lambda: source.function.running == 1)
    source.stop()
    await asyncio.sleep(1.5)
    assert not task.done()
    source.function.pause.set()
    await task
    assert await source.left() == (0, 0)


async def test_a_queue_that_is_not_there_is_told_of_in_lambdas_words(source: Source) -> None:
    """The whole text."""
    await source.client.delete_queue(QueueUrl=source.url)
    with pytest.raises(SourceUnreachable) as raised:
        await source.poll()
    assert "SQS Error Code: AWS.SimpleQueueService.NonExistentQueue" in str(raised.value)
    assert "SQS Error Message: The specified queue does not exist." in str(raised.value)


async def test_no_source_is_in_a_refused_network(aws_url: str) -> None:
    """Whoever writes a mapping must not reach what only we can."""
    place = ServicePlace("us-east-1", aws_url, ServiceCredentials("tests", "tests"))
    arn = "arn:aws:sqs:us-east-1:123456789012:q"
    with pytest.raises(SourceUnreachable):
        async with sqs_queue(AioSession(), arn, place, [ip_network("127.0.0.0/8")]):
            pass


@at_both_servers
async def test_the_chain_that_led_to_a_message_goes_on_with_it(source: Source) -> None:
    """The message's trace header is the invocation's: a function that sends to its own queue is found out."""
    trace = {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793;Lineage=a87bd80c:3"}
    source.poll()
    await source.send("hello", MessageSystemAttributes={"AWSTraceHeader": trace})
    await source.until_empty()
    assert source.function.traces == [trace["StringValue"]]


async def test_an_alias_that_moves_takes_the_batches_that_come_after(source: Source) -> None:
    """The poller asks for the alias each time, and keeps no version of it: each batch has one, and none is lost."""
    alias = "arn:aws:lambda:us-east-1:123456789012:function:hello:live"
    version, by = "1", list[tuple[str, str]]()

    def answer(event: Any) -> Answer:
        by.extend((record["body"], version) for record in event["Records"])
        return 200, False, None

    source.function.answer = answer
    source.poll(function_arn=alias)
    await source.send(*[str(number) for number in range(15)])
    await eventually(lambda: len(by) >= 5)
    version, moved = "2", len(by)
    await source.send(*[str(number) for number in range(15, 30)])
    await source.until_empty()
    assert set(source.function.arns) == {alias}
    assert {int(body) for body, _ in by} == set(range(30))
    assert [each for _, each in by] == ["1"] * moved + ["2"] * (len(by) - moved)
