"""A topic of Kafka invokes a function on the real cluster (§7.5): the example as it stands."""

import json
from pathlib import Path

from installation.account import Account
from installation.kubectl import eventually, kubectl
from installation.release import platform_image
from mapping.brokers import broker, until_polled

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "kafka.yaml"
ORDERS = 30
CLIENT = f"""
import asyncio, json, sys
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

LOGIN = dict(bootstrap_servers="kafka:9092", security_protocol="SASL_PLAINTEXT", sasl_mechanism="SCRAM-SHA-512",
             sasl_plain_username="tests", sasl_plain_password="tests")

async def write():
    admin = AIOKafkaAdminClient(**LOGIN)
    await admin.start()
    await admin.create_topics([NewTopic("orders", 2, 1), NewTopic("failed", 1, 1)])
    await admin.close()
    async with AIOKafkaProducer(**LOGIN) as producer:
        for number in range({ORDERS}):
            for kind in ("order", "other"):
                value = json.dumps({{"kind": kind, "number": number}}).encode()
                await producer.send_and_wait("orders", value, partition=0)
        await producer.send_and_wait("orders", b'{{"kind": "order", "number": -1}}', key=b"poison", partition=1)

async def read():
    async with AIOKafkaConsumer("failed", auto_offset_reset="earliest", **LOGIN) as consumer:
        message = await consumer.getone()
        print(json.dumps([message.key.decode(), json.loads(message.value)]))

asyncio.run({{"write": write, "read": read}}[sys.argv[1]]())
"""
"""What writes records, and reads those that were given up, within the cluster."""


def client(account: Account, what: str) -> str:
    """Runs the client in a pod, and returns what it prints."""
    name = f"client-{what}"
    container = {
        "name": name,
        "image": platform_image().replace("/platform:", "/pollers:"),
        "imagePullPolicy": "Never",
        "command": ["/usr/bin/python3", "-c", CLIENT, what],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "runAsUser": 993, "seccompProfile": {"type": "RuntimeDefault"}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "automountServiceAccountToken": False,
            "restartPolicy": "OnFailure",
            "securityContext": security,
            "containers": [container],
        },
    }
    kubectl("--namespace", account.namespace, "apply", "--filename", "-", stdin=json.dumps(pod))
    done = "--for=jsonpath={.status.phase}=Succeeded"
    kubectl("--namespace", account.namespace, "wait", done, f"pod/{name}", "--timeout=180s", timeout=210)
    return kubectl("--namespace", account.namespace, "logs", name)


def test_a_topic_of_kafka_invokes_a_function(account: Account) -> None:
    """`examples/kafka.yaml`: each order is seen, and one that always fails is found in the other topic."""
    with broker(account, "kafka", 9092, 9092):
        client(account, "write")
        text = EXAMPLE.read_text().replace("kafka.default.svc", f"kafka.{account.namespace}.svc")
        kubectl("--namespace", account.namespace, "apply", "--filename", "-", stdin=text)
        until_polled(account, "orders")
        key, told = json.loads(client(account, "read"))
        assert (key, told["requestContext"]["condition"]) == ("poison", "RetryAttemptsExhausted")
        assert told["requestContext"]["approximateInvokeCount"] == 3

        def printed() -> set[str]:
            selector = "kubelambda.dev/function=orders"
            lines = kubectl("--namespace", account.namespace, "logs", "--selector", selector, "--tail=-1").splitlines()
            return {line.rpartition(": ")[2] for line in lines if "orders-0" in line}

        eventually(lambda: printed() == {f"{number}}}" for number in range(ORDERS)})
        eventually(lambda: account.get("eventsourcemapping", "orders")["status"].get("lag") == 0)
