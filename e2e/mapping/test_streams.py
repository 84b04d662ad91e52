"""A stream of Kinesis invokes a function on the real cluster (§7.4). Its poller is killed in `traffic`."""

import json
from typing import Any

from installation.account import Account
from installation.kubectl import eventually
from mapping.aws_services import TELLING, aws, endpoint_url

RECORDER = (
    TELLING
    + """
import base64

def handler(event, context):
    tell([json.loads(base64.b64decode(record["kinesis"]["data"])) for record in event["Records"]])
"""
)


def test_a_stream_is_read_to_its_end(account: Account) -> None:
    """Every record is seen, and the mapping says how far it is done."""
    with aws(account) as client:
        queues, streams = client("sqs"), client("kinesis")
        results = queues.create_queue(QueueName="results")["QueueUrl"]
        streams.create_stream(StreamName="clicks", ShardCount=1)
        variables = {"RESULTS": results, "ENDPOINT": endpoint_url(account)}
        account.function("recorder", RECORDER, environment={"variables": variables})
        spec = {
            "functionName": "recorder",
            "eventSourceArn": "arn:aws:kinesis:us-east-1:123456789012:stream/clicks",
            "connection": {"endpointUrl": endpoint_url(account), "credentialsSecret": {"name": "aws"}},
            "startingPosition": "TRIM_HORIZON",
            "batchSize": 2,
        }
        for number in range(40):
            streams.put_record(StreamName="clicks", Data=json.dumps(number).encode(), PartitionKey="key")
        account.apply({"kind": "EventSourceMapping", "metadata": {"name": "clicks"}, "spec": spec})
        seen: list[int] = []

        def saw_the_last() -> bool:
            messages = queues.receive_message(QueueUrl=results, MaxNumberOfMessages=10).get("Messages", [])
            for message in messages:
                seen.extend(json.loads(message["Body"]))
                queues.delete_message(QueueUrl=results, ReceiptHandle=message["ReceiptHandle"])
            return 39 in seen

        eventually(saw_the_last)
        assert set(seen) == set(range(40))

        def positions() -> Any:
            lease = "kubelambda-mapping-" + account.get("eventsourcemapping", "clicks")["metadata"]["uid"]
            return json.loads(account.get("lease", lease)["metadata"]["annotations"]["kubelambda.dev/positions"])

        eventually(lambda: [sequence for sequence, _ in positions().values()] == ["40"])
        eventually(lambda: account.get("eventsourcemapping", "clicks")["status"]["lastProcessingResult"] == "OK")
