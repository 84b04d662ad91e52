"""Runs in a pod of the cluster: `chaos_producer.py SOURCE` puts each number that it reads into `numbers` there.

It answers each line: with the number once the source keeps it, or with why nobody knows whether it does. What connects
to a source is in the pod's image, so it is imported where it is needed.
"""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Any

USER = PASSWORD = "tests"
UNITS = ("a", "b")
"""Groups, partition keys and items: what keeps the order of its numbers."""
PATIENCE_S = 60
type Send = Callable[[int], Awaitable[object]]


async def to_kafka() -> Send:
    """By turns into two partitions. Its client finds a broker that comes back, and alone knows what is on its way."""
    from aiokafka import AIOKafkaProducer
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    login = {
        "bootstrap_servers": "kafka:9092",
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": USER,
        "sasl_plain_password": PASSWORD,
    }
    admin = AIOKafkaAdminClient(**login)
    await admin.start()
    await admin.create_topics([NewTopic("numbers", 2, 1)])
    await admin.close()
    producer = AIOKafkaProducer(acks="all", **login)
    await producer.start()

    def send(number: int) -> Awaitable[object]:
        return producer.send_and_wait("numbers", str(number).encode(), partition=number % 2)

    return send


async def to_rabbitmq() -> Send:
    """Into a queue that outlives the broker, each by a connection of its own; it is kept once it is confirmed."""
    import aiormq

    server = f"amqp://{USER}:{PASSWORD}@rabbitmq:5672/"
    async with await aiormq.connect(server) as connection:
        channel = await connection.channel()
        await channel.queue_declare("numbers", durable=True)

    async def send(number: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            async with await aiormq.connect(server) as connection:
                channel = await connection.channel(publisher_confirms=True)
                lasting = aiormq.spec.Basic.Properties(delivery_mode=2, content_type="application/json")
                await channel.basic_publish(str(number).encode(), routing_key="numbers", properties=lasting)

    return send


async def to_activemq() -> Send:
    """Into a queue by STOMP, each by a connection of its own; it is kept once its receipt has come."""

    async def send(number: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection("activemq", 61613)
            try:
                for frame in stomp_frames(number):
                    writer.write(frame)
                    said = (await reader.readuntil(b"\0")).strip()
                    if not said.startswith((b"CONNECTED", b"RECEIPT")):
                        raise ConnectionError(said.decode())
            finally:
                writer.close()

    return send


def stomp_frames(number: int) -> tuple[bytes, bytes]:
    """What logs in, and what sends."""
    connect = f"CONNECT\naccept-version:1.2\nhost:tests\nlogin:{USER}\npasscode:{PASSWORD}\n\n\0"
    send = f"SEND\ndestination:/queue/numbers\npersistent:true\nreceipt:{number}\n\n{number}\0"
    return connect.encode(), send.encode()


def service(name: str, url: str = "http://127.0.0.1:5000") -> Any:
    """A client of one of AWS's services: of this pod's, or of those at `url`."""
    from botocore.session import get_session

    return get_session().create_client(
        name,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=USER,
        aws_secret_access_key=PASSWORD,
    )


async def to_sqs() -> Send:
    """Into a standard queue."""
    queues = service("sqs", "http://elasticmq:9324")
    url = queues.create_queue(QueueName="numbers", Attributes={"VisibilityTimeout": "10"})["QueueUrl"]
    return lambda number: asyncio.to_thread(queues.send_message, QueueUrl=url, MessageBody=str(number))


async def to_fifo() -> Send:
    """Into a FIFO queue, by turns in two groups."""
    queues = service("sqs", "http://elasticmq-fifo:9324")
    attributes = {"VisibilityTimeout": "10", "FifoQueue": "true"}
    url = queues.create_queue(QueueName="numbers.fifo", Attributes=attributes)["QueueUrl"]

    def send(number: int) -> Awaitable[object]:
        message = {"MessageBody": str(number), "MessageGroupId": unit(number), "MessageDeduplicationId": str(number)}
        return asyncio.to_thread(queues.send_message, QueueUrl=url, **message)

    return send


async def to_kinesis() -> Send:
    """Into a stream, by turns with two keys."""
    streams = service("kinesis")

    def send(number: int) -> Awaitable[object]:
        record = {"Data": str(number).encode(), "PartitionKey": unit(number)}
        return asyncio.to_thread(streams.put_record, StreamName="numbers", **record)

    return send


async def to_dynamodb() -> Send:
    """Into two items of a table, by turns."""
    tables = service("dynamodb")

    def send(number: int) -> Awaitable[object]:
        item = {"id": {"S": unit(number)}, "n": {"N": str(number)}}
        return asyncio.to_thread(tables.put_item, TableName="numbers", Item=item)

    return send


def unit(number: int) -> str:
    """What keeps the order of a number."""
    return UNITS[number % len(UNITS)]


TO = {
    "sqs": to_sqs,
    "sqs fifo": to_fifo,
    "kinesis": to_kinesis,
    "dynamodb": to_dynamodb,
    "kafka": to_kafka,
    "rabbitmq": to_rabbitmq,
    "activemq": to_activemq,
}


async def main(source: str) -> None:
    """Reads numbers until there are no more."""
    logging.disable()  # that a broker is away is told number by number
    send = await TO[source]()
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        said = line.strip()
        try:
            await send(int(line))
        except Exception as error:  # noqa: BLE001 - whatever a client says, the next number may be taken
            said = f"not taken: {error!r}".replace("\n", " ")
        print(said, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
