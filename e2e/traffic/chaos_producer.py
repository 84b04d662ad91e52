"""Runs in a pod beside the brokers: `chaos_producer.py BROKER` puts each number that it reads into `numbers` there.

It answers each line: with the number once the broker keeps it, or with why nobody knows whether it does. What connects
to a broker is in the pod's image, so it is imported where it is needed.
"""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable

USER = PASSWORD = "tests"
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


TO = {"kafka": to_kafka, "rabbitmq": to_rabbitmq, "activemq": to_activemq}


async def main(broker: str) -> None:
    """Reads numbers until there are no more."""
    logging.disable()  # that a broker is away is told number by number
    send = await TO[broker]()
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
