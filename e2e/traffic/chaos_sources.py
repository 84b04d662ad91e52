"""What a chaos run sends numbers to: events, and every kind of source of a mapping, each on a real server or moto's.

The servers themselves live on: what they keep in memory would go with them. That pollers outlast their deaths is tested
with brokers that keep what they have (`make pollers`).
"""

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from installation.account import Account, lambda_client
from installation.kubectl import kubectl
from installation.release import platform_image
from mapping.aws_services import aws, endpoint_url
from mapping.brokers import RabbitPages, broker, send_by_stomp, until_polled

FAULTS = (ClientError, BotoCoreError, OSError, AssertionError, ValueError)
"""What sending may raise: whether the number was taken is not known then."""
UNITS = ("a", "b")
_OF_ACCOUNT = "us-east-1:123456789012"
_LOGIN = [{"type": "BASIC_AUTH", "uri": "login"}]
_KAFKA_CLIENT = """
import asyncio, sys
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

LOGIN = dict(bootstrap_servers="kafka:9092", security_protocol="SASL_PLAINTEXT", sasl_mechanism="SCRAM-SHA-512",
             sasl_plain_username="tests", sasl_plain_password="tests")

async def main():
    admin = AIOKafkaAdminClient(**LOGIN)
    await admin.start()
    await admin.create_topics([NewTopic("numbers", 2, 1)])
    await admin.close()
    async with AIOKafkaProducer(acks="all", **LOGIN) as producer:
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            number = int(line)
            try:
                await producer.send_and_wait("numbers", str(number).encode(), partition=number % 2)
            except KafkaError as error:
                number = f"not taken: {error!r}"
            print(number, flush=True)

asyncio.run(main())
"""


@dataclass
class ChaosSource:
    """One source, and what was sent to it. `send` returns once its server has taken a number."""

    name: str
    send: Callable[[int], object]
    ordered: bool = False
    """Whether numbers of one unit must come in order."""
    promised: set[int] = field(default_factory=set)
    refused: int = 0


class ChaosSources:
    """Opens sources by name, with the mappings that lead from them to `teller`."""

    def __init__(self, account: Account, stack: ExitStack) -> None:
        self._account = account
        self._stack = stack
        self._clients: Any = None

    def open(self, name: str) -> ChaosSource:
        """One of `NAMES`."""
        return {
            "events": self._events,
            "sqs": self._sqs,
            "sqs fifo": self._fifo,
            "kinesis": self._kinesis,
            "dynamodb": self._dynamodb,
            "kafka": self._kafka,
            "rabbitmq": self._rabbitmq,
            "activemq": self._activemq,
        }[name]()

    def _aws(self, service: str) -> Any:
        if self._clients is None:
            self._clients = self._stack.enter_context(aws(self._account))
        return self._clients(service)

    def _map(self, name: str, **spec: Any) -> None:
        """A mapping, once its source is polled."""
        manifest = {"kind": "EventSourceMapping", "metadata": {"name": name}}
        self._account.apply({**manifest, "spec": {"functionName": "teller", "batchSize": 10, **spec}})
        until_polled(self._account, name)

    def _map_service(self, name: str, arn: str, **spec: Any) -> None:
        connection = {"endpointUrl": endpoint_url(self._account), "credentialsSecret": {"name": "aws"}}
        self._map(name, eventSourceArn=f"arn:aws:{arn}", connection=connection, **spec)

    def _events(self) -> ChaosSource:
        client, arn = lambda_client(), self._account.arn("teller")

        def send(number: int) -> None:
            client.invoke(FunctionName=arn, InvocationType="Event", Payload=json.dumps({"number": number}))

        return ChaosSource("events", send)

    def _sqs(self) -> ChaosSource:
        queues = self._aws("sqs")
        attributes = {"VisibilityTimeout": "10"}
        url = queues.create_queue(QueueName="numbers", Attributes=attributes)["QueueUrl"]
        self._map_service("sqs", f"sqs:{_OF_ACCOUNT}:numbers")
        return ChaosSource("sqs", lambda number: queues.send_message(QueueUrl=url, MessageBody=str(number)))

    def _fifo(self) -> ChaosSource:
        queues = self._aws("sqs")
        attributes = {"VisibilityTimeout": "10", "FifoQueue": "true"}
        url = queues.create_queue(QueueName="numbers.fifo", Attributes=attributes)["QueueUrl"]
        self._map_service("fifo", f"sqs:{_OF_ACCOUNT}:numbers.fifo")

        def send(number: int) -> None:
            group = UNITS[number % len(UNITS)]
            queues.send_message(
                QueueUrl=url, MessageBody=str(number), MessageGroupId=group, MessageDeduplicationId=str(number)
            )

        return ChaosSource("sqs fifo", send, ordered=True)

    def _kinesis(self) -> ChaosSource:
        streams = self._aws("kinesis")
        streams.create_stream(StreamName="numbers", ShardCount=2)
        self._map_service("kinesis", f"kinesis:{_OF_ACCOUNT}:stream/numbers", startingPosition="TRIM_HORIZON")

        def send(number: int) -> None:
            key = UNITS[number % len(UNITS)]
            streams.put_record(StreamName="numbers", Data=str(number).encode(), PartitionKey=key)

        return ChaosSource("kinesis", send, ordered=True)

    def _dynamodb(self) -> ChaosSource:
        tables = self._aws("dynamodb")
        made = tables.create_table(
            TableName="numbers",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
        )
        arn = made["TableDescription"]["LatestStreamArn"]
        self._map_service("dynamodb", arn.removeprefix("arn:aws:"), startingPosition="TRIM_HORIZON")

        def send(number: int) -> None:
            key = UNITS[number % len(UNITS)]
            tables.put_item(TableName="numbers", Item={"id": {"S": key}, "n": {"N": str(number)}})

        return ChaosSource("dynamodb", send, ordered=True)

    def _login(self) -> None:
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}}
        self._account.apply({**secret, "stringData": {"username": "tests", "password": "tests"}})

    def _kafka(self) -> ChaosSource:
        self._login()
        self._stack.enter_context(broker(self._account, "kafka", 9092, 9092))
        producer = self._stack.enter_context(_producer(self._account))
        servers = [f"kafka.{self._account.namespace}.svc:9092"]
        self._map(
            "kafka",
            selfManagedEventSource={"endpoints": {"KAFKA_BOOTSTRAP_SERVERS": servers}},
            topics=["numbers"],
            sourceAccessConfigurations=[{"type": "SASL_SCRAM_512_AUTH", "uri": "login"}],
            connection={"tls": False},
            startingPosition="TRIM_HORIZON",
        )
        return ChaosSource("kafka", producer, ordered=True)

    def _rabbitmq(self) -> ChaosSource:
        self._login()
        pages = RabbitPages(self._stack.enter_context(broker(self._account, "rabbitmq", 5672, 15672)))
        pages.make("numbers")
        self._map(
            "rabbitmq",
            eventSourceArn=f"arn:aws:mq:{_OF_ACCOUNT}:broker:shop:b-1",
            connection={"endpointUrl": f"amqp://rabbitmq.{self._account.namespace}.svc:5672"},
            queues=["numbers"],
            sourceAccessConfigurations=[*_LOGIN, {"type": "VIRTUAL_HOST", "uri": "/"}],
        )
        return ChaosSource("rabbitmq", lambda number: pages.send("numbers", str(number)))

    def _activemq(self) -> ChaosSource:
        self._login()
        address = self._stack.enter_context(broker(self._account, "activemq", 61613, 61613))
        self._map(
            "activemq",
            eventSourceArn=f"arn:aws:mq:{_OF_ACCOUNT}:broker:shop:b-2",
            connection={"endpointUrl": f"stomp://activemq.{self._account.namespace}.svc:61613"},
            queues=["numbers"],
            sourceAccessConfigurations=_LOGIN,
        )
        return ChaosSource("activemq", lambda number: send_by_stomp(address, "numbers", str(number)))


NAMES = ("events", "sqs", "sqs fifo", "kinesis", "dynamodb", "kafka", "rabbitmq", "activemq")
"""Every source."""


@contextmanager
def _producer(account: Account) -> Iterator[Callable[[int], None]]:
    """Writes numbers to a topic from within the cluster, one after the other."""
    container = {
        "name": "producer",
        "image": platform_image().replace("/platform:", "/pollers:"),
        "imagePullPolicy": "Never",
        "command": ["/usr/bin/sleep", "86400"],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    user = {"runAsNonRoot": True, "runAsUser": 993, "seccompProfile": {"type": "RuntimeDefault"}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "producer"},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container], "securityContext": user},
    }
    kubectl("--namespace", account.namespace, "apply", "--filename", "-", stdin=json.dumps(pod))
    kubectl("--namespace", account.namespace, "wait", "--for=condition=Ready", "pod/producer", "--timeout=90s")
    command = ["kubectl", "--namespace", account.namespace, "exec", "--stdin", "producer", "--"]
    command += ["/usr/bin/python3", "-c", _KAFKA_CLIENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        writes, reads, lock = process.stdin, process.stdout, threading.Lock()
        assert reads.readline().strip() == "ready", "the topic cannot be written to"

        def send(number: int) -> None:
            with lock:
                writes.write(f"{number}\n")
                writes.flush()
                said = reads.readline().strip()
            assert said == str(number), f"Kafka has not taken {number}: {said}"

        try:
            yield send
        finally:
            process.terminate()
            with suppress(BrokenPipeError):  # it may have ended by itself, with a number on its way
                writes.close()
