"""A queue of SQS invokes a function on the real cluster (§7.3): what is done is deleted, and nothing else."""

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from installation.account import Account
from installation.kubectl import eventually, kubectl
from mapping.aws_services import TELLING, endpoint_url, sqs

RECORDER = (
    TELLING
    + """
def handler(event, context):
    tell(event)
    failures = []
    for record in event["Records"]:
        body, first = json.loads(record["body"]), record["attributes"]["ApproximateReceiveCount"] == "1"
        time.sleep(body.get("seconds", 0))
        if first and body.get("fails") == "whole":
            raise RuntimeError("as asked")
        if first and body.get("fails") == "alone":
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}
"""
)
"""Tells a queue what it is given; its records may ask it to fail the first time."""
VISIBILITY_S = 10
"""More than the batching window and the function's timeout: then a queue's own holds (§7.3.2)."""


@dataclass
class Queues:
    """Queues of one account, with a mapping each."""

    account: Account
    client: Any
    results: str

    def mapped(self, **spec: Any) -> tuple[str, str]:
        """URL of a new queue, and the name of the mapping from it to the recorder, once that is polled."""
        name = f"queue-{uuid.uuid4().hex[:6]}"
        url = self.client.create_queue(QueueName=name, Attributes={"VisibilityTimeout": str(VISIBILITY_S)})["QueueUrl"]
        wanted = {
            "functionName": "recorder",
            "eventSourceArn": f"arn:aws:sqs:us-east-1:123456789012:{name}",
            "connection": {"endpointUrl": endpoint_url(self.account), "credentialsSecret": {"name": "aws"}},
            **spec,
        }
        self.account.apply({"kind": "EventSourceMapping", "metadata": {"name": name}, "spec": wanted})
        eventually(lambda: self.condition(name, "Polling") == "True" and self.state(name) == "Enabled")
        return url, name

    def state(self, name: str) -> str:
        """State of a mapping: the operator has seen what pollers confirm."""
        return str(self.account.get("eventsourcemapping", name).get("status", {}).get("state", ""))

    def condition(self, name: str, kind: str) -> str:
        """Status of a condition of a mapping."""
        status = self.account.get("eventsourcemapping", name).get("status", {})
        return next((each["status"] for each in status.get("conditions", []) if each["type"] == kind), "")

    def send(self, url: str, *bodies: dict[str, Any]) -> list[str]:
        """Sends messages; their ids."""
        return [self.client.send_message(QueueUrl=url, MessageBody=json.dumps(each))["MessageId"] for each in bodies]

    def empty(self, url: str) -> bool:
        """Whether a queue has no message, received ones included."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.client.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return all(found[name] == "0" for name in names)

    def events(self) -> list[Any]:
        """Events that the function was given since the last call."""
        found = []
        while messages := self.client.receive_message(QueueUrl=self.results, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                found.append(json.loads(message["Body"]))
                self.client.delete_message(QueueUrl=self.results, ReceiptHandle=message["ReceiptHandle"])
        return found


@pytest.fixture(scope="module")
def queues(account: Account) -> Iterator[Queues]:
    """Queues, and the function that they lead to."""
    with sqs(account) as client:
        results = client.create_queue(QueueName="results")["QueueUrl"]
        variables = {"RESULTS": results, "ENDPOINT": endpoint_url(account)}
        account.function("recorder", RECORDER, environment={"variables": variables}, timeout=7)
        found = Queues(account, client, results)
        # An environment that starts may take longer than a message stays invisible.
        account.invoke("recorder", {"Records": []})
        eventually(found.events)
        yield found


@pytest.fixture(autouse=True)
def _polled_no_more(account: Account) -> Iterator[None]:
    """A queue that a test is done with is left alone: the polls of all of them would keep the server busy."""
    yield
    kubectl("--namespace", account.namespace, "delete", "eventsourcemappings", "--all", "--wait=false")


def collected(queues: Queues, url: str, messages: int = 1) -> list[Any]:
    """The events with so many messages or more, until the queue is empty, twice in a row.

    What is just received counts nowhere at times.
    """
    found: list[Any] = []
    looks: list[bool] = []

    def done() -> bool:
        looks.append(queues.empty(url))
        found.extend(queues.events())
        return len(looks) > 1 and all(looks[-2:]) and sum(len(event["Records"]) for event in found) >= messages

    eventually(done, interval=0.5)
    return found


def bodies(event: Any) -> list[Any]:
    """What an event's messages say."""
    return [json.loads(record["body"]) for record in event["Records"]]


def once(found: list[Any]) -> list[Any]:
    """What was found, each once: a standard queue may bring a message twice."""
    return [each for number, each in enumerate(found) if each not in found[:number]]


def test_a_message_invokes_the_function_and_is_gone(queues: Queues) -> None:
    """With Lambda's record, and a mapping that says it is in force."""
    url, name = queues.mapped()
    (message_id,) = queues.send(url, {"number": 1})
    events = collected(queues, url)  # more than one where the queue brings it twice, as a standard queue may
    assert {record["messageId"] for event in events for record in event["Records"]} == {message_id}
    (record,) = events[0]["Records"]
    assert record["eventSource"] == "aws:sqs"
    assert record["eventSourceARN"].endswith(f":{name}")
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    status = queues.account.get("eventsourcemapping", name)["status"]
    assert (status["state"], status["functionArn"]) == ("Enabled", queues.account.arn("recorder"))
    assert queues.condition(name, "Ready") == "True"


def test_a_batch_that_failed_comes_back_after_its_visibility(queues: Queues) -> None:
    """It is not tried again at once, and it is not lost."""
    url, _ = queues.mapped()
    started = time.monotonic()
    queues.send(url, {"number": 2, "fails": "whole"})
    found = collected(queues, url, messages=2)
    tries = [event["Records"][0]["attributes"]["ApproximateReceiveCount"] for event in found]
    assert once(tries)[:2] == ["1", "2"]
    assert time.monotonic() - started >= VISIBILITY_S - 1


def test_only_the_records_that_are_named_come_back(queues: Queues) -> None:
    """ReportBatchItemFailures: the others are deleted (§7.2.3)."""
    url, _ = queues.mapped(
        batchSize=10, maximumBatchingWindowInSeconds=2, functionResponseTypes=["ReportBatchItemFailures"]
    )
    queues.send(url, {"number": 3}, {"number": 4, "fails": "alone"}, {"number": 5})
    seen = [body["number"] for event in collected(queues, url, messages=4) for body in bodies(event)]
    assert sorted(seen) == [3, 4, 4, 5]


def test_what_no_filter_lets_through_is_deleted(queues: Queues) -> None:
    """And the function never sees it (§7.3.8)."""
    url, _ = queues.mapped(filterCriteria={"filters": [{"pattern": '{"body": {"kind": ["order"]}}'}]})
    queues.send(url, {"kind": "other"}, {"kind": "order"}, {"kind": "other"})
    assert once([bodies(event) for event in collected(queues, url)]) == [[{"kind": "order"}]]


def test_a_mapping_that_is_disabled_leaves_messages_where_they_are(queues: Queues) -> None:
    """And goes on with them when it is enabled again."""
    url, name = queues.mapped()
    scope = ("--namespace", queues.account.namespace)
    kubectl(*scope, "patch", "esm", name, "--type=merge", "--patch", '{"spec": {"enabled": false}}')
    eventually(lambda: queues.condition(name, "Polling") == "False")
    queues.send(url, {"number": 6})
    time.sleep(3)
    assert not queues.empty(url)
    kubectl(*scope, "patch", "esm", name, "--type=merge", "--patch", '{"spec": {"enabled": true}}')
    assert once([bodies(event) for event in collected(queues, url)]) == [[{"number": 6}]]
