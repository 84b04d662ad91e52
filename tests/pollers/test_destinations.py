"""Records arrive at destinations of every kind, on servers that speak the protocols (§6.6, §6.7)."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any, cast
from uuid import uuid4

import pytest
from aiobotocore.session import AioSession
from aiohttp import web
from tests.ports import free_port

from kubelambda.core.event.destination import OutgoingRecord
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.resources import EVENT_TARGETS, NAMESPACES, SECRETS, Resource
from kubelambda.outbound.record_sender import DestinationFailed, RecordSender

ACCOUNT = "arn:aws:%s:us-east-1:123456789012:"
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST"
AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
RECORD = OutgoingRecord('{"version":"1.0"}', "id-1", FUNCTION, "Failure", AT, object_key="key", trace="Root=1")


class StoredObjects:
    """What a namespace has, read as the API server would give it: what is read from it is tested elsewhere."""

    def __init__(self) -> None:
        self.targets: dict[str, Any] = {}
        self.secrets = {"aws": {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests"}, "sink": {"token": "t"}}
        self.annotations: dict[str, str] = {}

    async def list(self, resource: Resource, namespace: str) -> Object:
        """All targets."""
        assert (resource, namespace) == (EVENT_TARGETS, "shop")
        return {"items": [{"metadata": {"name": name}, "spec": spec} for name, spec in self.targets.items()]}

    async def find(self, resource: Resource, name: str, namespace: str) -> Object | None:
        """A Secret."""
        assert (resource, namespace) == (SECRETS, "shop")
        found = self.secrets.get(name)
        return None if found is None else {"data": {k: b64encode(v.encode()).decode() for k, v in found.items()}}

    async def get(self, resource: Resource, name: str) -> Object:
        """The namespace."""
        assert (resource, name) == (NAMESPACES, "shop")
        return {"metadata": {"annotations": self.annotations}}


@pytest.fixture
def stored(aws_url: str) -> StoredObjects:
    """A namespace whose services are all at the server of the tests."""
    found = StoredObjects()
    services = ["sqs", "sns", "events", "s3"]
    found.targets["aws"] = {"aws": {"services": services, "endpointUrl": aws_url, "credentialsSecret": {"name": "aws"}}}
    return found


@pytest.fixture
async def sender(stored: StoredObjects) -> AsyncIterator[RecordSender]:
    """Sends records of that namespace."""
    async with RecordSender(cast("KubeClient", stored), "us-east-1") as found:
        yield found


def client(service: str, url: str) -> Any:
    """A client of the server of the tests."""
    who = {"aws_access_key_id": "tests", "aws_secret_access_key": "tests", "region_name": "us-east-1"}
    return AioSession().create_client(service, endpoint_url=url, **who)


async def new_queue(sqs: Any) -> tuple[str, str]:
    """URL and ARN of a new queue."""
    name = f"q-{uuid4().hex[:8]}"
    return (await sqs.create_queue(QueueName=name))["QueueUrl"], (ACCOUNT % "sqs") + name


async def received(sqs: Any, url: str) -> Any:
    """The one message of a queue."""
    answer = await sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"])
    (message,) = answer["Messages"]
    return message


async def test_a_queue_gets_records_and_dead_letters(sender: RecordSender, aws_url: str) -> None:
    """The record as body, with the trace; the attributes of a dead letter."""
    async with client("sqs", aws_url) as sqs:
        url, arn = await new_queue(sqs)
        await sender.send("shop", arn, RECORD)
        message = await received(sqs, url)
        assert message["Body"] == RECORD.body
        assert message["Attributes"]["AWSTraceHeader"] == "Root=1"
        attributes = {"RequestID": ("String", "id-1"), "ErrorCode": ("Number", "200")}
        await sender.send("shop", arn, OutgoingRecord("{}", "id-1", FUNCTION, "Failure", AT, attributes))
        letter = (await received(sqs, url))["MessageAttributes"]
        assert letter["RequestID"] == {"StringValue": "id-1", "DataType": "String"}
        assert letter["ErrorCode"] == {"StringValue": "200", "DataType": "Number"}


async def test_topics_and_event_buses_pass_records_on(sender: RecordSender, aws_url: str) -> None:
    """Seen by a queue that subscribes to both."""
    async with client("sqs", aws_url) as sqs, client("sns", aws_url) as sns, client("events", aws_url) as events:
        url, queue = await new_queue(sqs)
        topic = (await sns.create_topic(Name=f"t-{uuid4().hex[:8]}"))["TopicArn"]
        await sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue, Attributes={"RawMessageDelivery": "true"})
        await sender.send("shop", topic, RECORD)
        assert (await received(sqs, url))["Body"] == RECORD.body
        await events.put_rule(Name="r", EventPattern=json.dumps({"source": ["lambda"]}))
        await events.put_targets(Rule="r", Targets=[{"Id": "q", "Arn": queue}])
        bus = (ACCOUNT % "events") + "event-bus/default"
        await sender.send("shop", bus, RECORD)
        event = json.loads((await received(sqs, url))["Body"])
        assert (event["source"], event["detail"]) == ("lambda", {"version": "1.0"})
        assert event["detail-type"] == "Lambda Function Invocation Result - Failure"
        assert event["resources"] == [bus, FUNCTION]


async def test_a_bucket_gets_an_object(sender: RecordSender, aws_url: str) -> None:
    """Addressed by its path: not every server has names for buckets."""
    async with client("s3", aws_url) as s3:
        await s3.create_bucket(Bucket="failures")
        await sender.send("shop", "arn:aws:s3:::failures", RECORD)
        found = await s3.get_object(Bucket="failures", Key="key")
        assert await found["Body"].read() == RECORD.body.encode()


async def test_a_target_of_that_very_arn_comes_first(sender: RecordSender, stored: StoredObjects, aws_url: str) -> None:
    """Before the one of the whole service; and it can be named itself."""
    async with client("sqs", aws_url) as sqs:
        url, arn = await new_queue(sqs)
        stored.targets["aws"]["aws"]["endpointUrl"] = "http://127.0.0.1:9"
        stored.targets["orders"] = {"aws": {"arn": arn, "endpointUrl": aws_url, "credentialsSecret": {"name": "aws"}}}
        for destination in (arn, "orders"):
            await sender.send("shop", destination, RECORD)
            assert (await received(sqs, url))["Body"] == RECORD.body


async def test_the_accounts_own_credentials_serve_where_a_target_names_none(
    sender: RecordSender, stored: StoredObjects, aws_url: str
) -> None:
    """Those of its functions; without any, nobody is asked for ours."""
    del stored.targets["aws"]["aws"]["credentialsSecret"]
    async with client("sqs", aws_url) as sqs:
        url, arn = await new_queue(sqs)
        with pytest.raises(DestinationFailed, match=r"credentials-secret names a Secret"):
            await sender.send("shop", arn, RECORD)
        stored.annotations["kubelambda.dev/credentials-secret"] = "aws"
        await sender.send("shop", arn, RECORD)
        assert (await received(sqs, url))["Body"] == RECORD.body


async def test_a_sink_takes_cloud_events(sender: RecordSender, stored: StoredObjects) -> None:
    """With its token; what it refuses is a failure."""
    got: list[tuple[web.Request, Any]] = []
    status = [200]

    async def sink(request: web.Request) -> web.Response:
        got.append((request, await request.json()))
        return web.Response(status=status[0])

    application = web.Application()
    application.router.add_post("/in", sink)
    runner, port = web.AppRunner(application), free_port()
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    url = f"http://127.0.0.1:{port}/in"
    stored.targets["billing"] = {"http": {"url": url, "bearerTokenSecret": {"name": "sink"}}}
    try:
        await sender.send("shop", "billing", RECORD)
        status[0] = 503
        with pytest.raises(DestinationFailed, match="answers 503"):
            await sender.send("shop", "billing", RECORD)
    finally:
        await runner.cleanup()
    request, event = got[0]
    assert request.content_type == "application/cloudevents+json"
    assert request.headers["Authorization"] == "Bearer t"
    assert (event["id"], event["data"]) == ("id-1", {"version": "1.0"})


@pytest.mark.parametrize(
    ("destination", "why"),
    [
        ((ACCOUNT % "sqs") + "never-made", "NonExistentQueue|QueueDoesNotExist"),
        ("nowhere", "there is no EventTarget nowhere"),
        ("aws", "EventTarget aws has no arn"),
        ("arn:aws:s3:::never-made", "NoSuchBucket"),
        (FUNCTION, "records are not sent to"),
        ("Not A Name", "records are not sent to"),
    ],
)
async def test_a_destination_that_takes_nothing_says_why(sender: RecordSender, destination: str, why: str) -> None:
    """In words for the log of whoever runs the queue."""
    with pytest.raises(DestinationFailed, match=why):
        await sender.send("shop", destination, RECORD)


async def test_nothing_is_sent_to_where_only_we_may_be(stored: StoredObjects, aws_url: str) -> None:
    """Queues and sinks alike: checked after names are resolved."""
    stored.targets["sink"] = {"http": {"url": aws_url.replace("127.0.0.1", "localhost")}}
    refused = [ip_network("127.0.0.0/8"), ip_network("::1/128")]
    async with RecordSender(cast("KubeClient", stored), "us-east-1", refused) as sender:
        for destination in ((ACCOUNT % "sqs") + "q", "sink"):
            with pytest.raises(DestinationFailed, match="does not answer"):
                await sender.send("shop", destination, RECORD)
