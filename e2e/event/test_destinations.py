"""Where the outcome of events goes on a real cluster: queues that an EventTarget leads to; loops that end (§6)."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from installation.account import Account
from installation.kubectl import eventually, kubectl
from mapping.aws_services import endpoint_url, sqs

FAILS = "def handler(event, context):\n    raise ValueError('as asked')"
NO_RETRY = {"maximumRetryAttempts": 0}


@pytest.fixture(scope="module")
def queues(account: Account) -> Iterator[Any]:
    """A client of queues that the namespace's EventTarget leads to."""
    with sqs(account) as client:
        target = {"services": ["sqs"], "endpointUrl": endpoint_url(account), "credentialsSecret": {"name": "aws"}}
        account.apply({"kind": "EventTarget", "metadata": {"name": "aws"}, "spec": {"aws": target}})
        yield client


def new_queue(client: Any, name: str) -> tuple[str, str]:
    """URL and ARN of a new queue."""
    return client.create_queue(QueueName=name)["QueueUrl"], f"arn:aws:sqs:us-east-1:123456789012:{name}"


def received(client: Any, url: str) -> Any:
    """The first message of a queue."""

    def asked() -> list[Any]:
        answer = client.receive_message(QueueUrl=url, MessageAttributeNames=["All"])
        return list(answer.get("Messages", []))

    return eventually(asked)[0]


def test_what_cannot_be_processed_is_in_both_queues(account: Account, queues: Any) -> None:
    """The record in one, the event itself with its attributes in the other; an alias has its own configuration."""
    dead_url, dead = new_queue(queues, "dead")
    failed_url, failed = new_queue(queues, "failed")
    account.function("fails", FAILS, eventInvokeConfig=NO_RETRY, deadLetterConfig={"targetArn": dead})
    alias = {
        "functionName": "fails",
        "name": "live",
        "functionVersion": "$LATEST",
        "eventInvokeConfig": {**NO_RETRY, "destinationConfig": {"onFailure": {"destination": failed}}},
    }
    account.apply({"kind": "Alias", "metadata": {"name": "fails-live"}, "spec": alias})
    arn = f"{account.arn('fails')}:live"

    def send() -> Any:
        try:
            answer = account.client.invoke(FunctionName=arn, InvocationType="Event", Payload=b'{"number": 1}')
        except account.client.exceptions.ResourceNotFoundException as error:  # not every frontend knows the alias yet
            raise AssertionError(str(error)) from error
        return answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"]

    request_id = eventually(send)
    letter = received(queues, dead_url)
    assert json.loads(letter["Body"]) == {"number": 1}
    attributes = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
    assert attributes == {"RequestID": request_id, "ErrorCode": "200", "ErrorMessage": "as asked"}
    record = json.loads(received(queues, failed_url)["Body"])
    assert record["requestContext"]["requestId"] == request_id
    assert record["requestContext"]["functionArn"] == arn
    assert record["responsePayload"]["errorType"] == "ValueError"


def test_an_event_is_not_lost_while_its_destination_is_not_there(account: Account, queues: Any) -> None:
    """The queue is made after the event has failed: the record comes then, and the function ran once."""
    arn = "arn:aws:sqs:us-east-1:123456789012:late"
    config = {**NO_RETRY, "destinationConfig": {"onFailure": {"destination": arn}}}
    account.function("late", FAILS, eventInvokeConfig=config)
    account.client.invoke(FunctionName=account.arn("late"), InvocationType="Event", Payload=b"{}")

    def ran() -> bool:
        pods = [pod["metadata"]["name"] for pod in account.environments("late")]
        return any("REPORT RequestId: " in kubectl("--namespace", account.namespace, "logs", pod) for pod in pods)

    eventually(ran)
    url, _ = new_queue(queues, "late")
    record = json.loads(received(queues, url)["Body"])
    assert record["requestContext"]["approximateInvokeCount"] == 1


def test_a_chain_that_keeps_coming_back_ends(account: Account, queues: Any) -> None:
    """A caller is told; an event goes to the dead-letter queue, and never runs (§6.8)."""
    dead_url, dead = new_queue(queues, "loops")
    account.function("loop", "def handler(event, context):\n    return event", deadLetterConfig={"targetArn": dead})
    mark = hashlib.sha256(account.arn("loop").encode()).hexdigest()[:8]
    trace = f"Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0;Lineage={mark}:16"

    def add_trace(request: Any, **_: Any) -> None:
        request.headers["X-Amzn-Trace-Id"] = trace

    client = account.client
    client.meta.events.register("before-send.lambda.Invoke", add_trace)
    try:
        with pytest.raises(client.exceptions.RecursiveInvocationException):
            client.invoke(FunctionName=account.arn("loop"), Payload=b"{}")
        client.invoke(FunctionName=account.arn("loop"), InvocationType="Event", Payload=b'{"number": 2}')
    finally:
        client.meta.events.unregister("before-send.lambda.Invoke", add_trace)
    letter = received(queues, dead_url)
    assert json.loads(letter["Body"]) == {"number": 2}
    assert letter["MessageAttributes"]["ErrorCode"]["StringValue"] == "400"
