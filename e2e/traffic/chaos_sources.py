"""What a chaos run sends numbers to: events, and every kind of source of a mapping, each on a real server or moto's.

Brokers of Kafka and MQ and the server of the standard queue may be killed: they come back to what they had written.
That of the FIFO queue cannot be reached while what stands before it is away. moto, which has streams and tables, has
everything in its memory and so lives on.
"""

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from installation.account import Account, lambda_client
from installation.kubectl import kubectl
from installation.release import platform_image
from mapping.aws_services import CREDENTIALS, aws, endpoint_url
from mapping.brokers import start_broker, start_server, until_polled
from mapping.server_pod import add_door, server_manifests

FAULTS = (ClientError, BotoCoreError, OSError, AssertionError, ValueError)
"""What sending may raise: whether the number was taken is not known then."""
_OF_ACCOUNT = "us-east-1:123456789012"
_QUEUES = 9324
"""Port of every server of queues."""
_LOGIN = [{"type": "BASIC_AUTH", "uri": "login"}]
_SECRET = {"apiVersion": "v1", "kind": "Secret"}
_PRODUCER = (Path(__file__).parent / "chaos_producer.py").read_text()


@dataclass
class ChaosSource:
    """One source, and what was sent to it. `send` returns once its server has taken a number."""

    name: str
    send: Callable[[int], object]
    ordered: bool = False
    """Whether numbers of one unit must come in order."""
    broker: str = ""
    """The pod of its server, if all but the first process may be killed there."""
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
        return self._queue("sqs", server_manifests("elasticmq", {_QUEUES}, entrance=_QUEUES), "numbers")

    def _fifo(self) -> ChaosSource:
        """Its server lives on, and a door before it dies: ElasticMQ does not come back with the order of its groups."""
        behind = {"JAVA_TOOL_OPTIONS": f"-Drest-sqs.bind-port={_QUEUES + 1}"}
        server = server_manifests("elasticmq-fifo", {_QUEUES}, entrance=_QUEUES, environment=behind, image="elasticmq")
        add_door(server[0], _QUEUES, _QUEUES + 1)
        return self._queue("sqs fifo", server, "numbers.fifo", ordered=True)

    def _queue(self, name: str, server: list[dict[str, Any]], queue: str, *, ordered: bool = False) -> ChaosSource:
        """A queue at a server of its own."""
        self._account.apply({**_SECRET, "metadata": {"name": "aws"}, "stringData": CREDENTIALS})
        start_server(self._account, "elasticmq", server)
        send = self._from_producer(name)
        pod = server[0]["metadata"]["name"]
        connection = {
            "endpointUrl": f"http://{pod}.{self._account.namespace}.svc:{_QUEUES}",
            "credentialsSecret": {"name": "aws"},
        }
        arn = f"arn:aws:sqs:{_OF_ACCOUNT}:{queue}"
        self._map(name.replace(" ", "-"), eventSourceArn=arn, connection=connection)
        return ChaosSource(name, send, ordered=ordered, broker=pod)

    def _kinesis(self) -> ChaosSource:
        self._aws("kinesis").create_stream(StreamName="numbers", ShardCount=2)
        self._map_service("kinesis", f"kinesis:{_OF_ACCOUNT}:stream/numbers", startingPosition="TRIM_HORIZON")
        return ChaosSource("kinesis", self._to_service("kinesis"), ordered=True)

    def _dynamodb(self) -> ChaosSource:
        made = self._aws("dynamodb").create_table(
            TableName="numbers",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
        )
        arn = made["TableDescription"]["LatestStreamArn"]
        self._map_service("dynamodb", arn.removeprefix("arn:aws:"), startingPosition="TRIM_HORIZON")
        return ChaosSource("dynamodb", self._to_service("dynamodb"), ordered=True)

    def _to_service(self, name: str) -> Callable[[int], None]:
        """Sends from the services' own pod: a forwarded port answers some two thousand connections and no more."""
        return self._stack.enter_context(_producer(self._account, "aws", name))

    def _login(self) -> None:
        login = {"username": "tests", "password": "tests"}
        self._account.apply({**_SECRET, "metadata": {"name": "login"}, "stringData": login})

    def _broker(self, name: str, port: int) -> Callable[[int], None]:
        """A broker in a pod of its own; what sends to it."""
        self._login()
        start_broker(self._account, name, port, port)
        return self._from_producer(name)

    def _from_producer(self, name: str) -> Callable[[int], None]:
        """Sends to a source from a pod that has nothing else to do."""
        start_producer_pod(self._account)
        return self._stack.enter_context(_producer(self._account, "producer", name))

    def _kafka(self) -> ChaosSource:
        send = self._broker("kafka", 9092)
        servers = [f"kafka.{self._account.namespace}.svc:9092"]
        self._map(
            "kafka",
            selfManagedEventSource={"endpoints": {"KAFKA_BOOTSTRAP_SERVERS": servers}},
            topics=["numbers"],
            sourceAccessConfigurations=[{"type": "SASL_SCRAM_512_AUTH", "uri": "login"}],
            connection={"tls": False},
            startingPosition="TRIM_HORIZON",
        )
        return ChaosSource("kafka", send, ordered=True, broker="kafka")

    def _rabbitmq(self) -> ChaosSource:
        send = self._broker("rabbitmq", 5672)
        self._map(
            "rabbitmq",
            eventSourceArn=f"arn:aws:mq:{_OF_ACCOUNT}:broker:shop:b-1",
            connection={"endpointUrl": f"amqp://rabbitmq.{self._account.namespace}.svc:5672"},
            queues=["numbers"],
            sourceAccessConfigurations=[*_LOGIN, {"type": "VIRTUAL_HOST", "uri": "/"}],
        )
        return ChaosSource("rabbitmq", send, broker="rabbitmq")

    def _activemq(self) -> ChaosSource:
        send = self._broker("activemq", 61613)
        self._map(
            "activemq",
            eventSourceArn=f"arn:aws:mq:{_OF_ACCOUNT}:broker:shop:b-2",
            connection={"endpointUrl": f"stomp://activemq.{self._account.namespace}.svc:61613"},
            queues=["numbers"],
            sourceAccessConfigurations=_LOGIN,
        )
        return ChaosSource("activemq", send, broker="activemq")


NAMES = ("events", "sqs", "sqs fifo", "kinesis", "dynamodb", "kafka", "rabbitmq", "activemq")
"""Every source."""


def start_producer_pod(account: Account) -> None:
    """What can reach brokers and has clients of all of them, if it is not there yet."""
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
    kubectl("--namespace", account.namespace, "wait", "--for=condition=Ready", "pod/producer", "--timeout=110s")


@contextmanager
def _producer(account: Account, pod: str, name: str) -> Iterator[Callable[[int], None]]:
    """Writes numbers to a source from a pod of the cluster, one after the other."""
    command = ["kubectl", "--namespace", account.namespace, "exec", "--stdin", pod, "--"]
    command += ["/usr/bin/python3", "-c", _PRODUCER, name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        writes, reads, lock = process.stdin, process.stdout, threading.Lock()
        assert reads.readline().strip() == "ready", f"{name} cannot be written to"

        def send(number: int) -> None:
            with lock:
                writes.write(f"{number}\n")
                writes.flush()
                said = reads.readline().strip()
            assert said == str(number), f"{name} has not taken {number}: {said}"

        try:
            yield send
        finally:
            process.terminate()
            with suppress(BrokenPipeError):  # it may have ended by itself, with a number on its way
                writes.close()
