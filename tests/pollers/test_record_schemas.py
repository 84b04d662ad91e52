"""Records that have schemas, written by Confluent's own serializers to a real broker (§7.5.6)."""

import asyncio
import base64
import io
import json
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Callable
from ipaddress import ip_network
from typing import Any

import fastavro
import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tests.pollers.conftest import Function, eventually
from tests.pollers.kafka_broker import KafkaBroker
from tests.pollers.schema_server import SchemaServer
from tests.pollers.topics import TopicOfTests

from kubelambda.api.reasons import Reason
from kubelambda.core.mapping.schema_place import SchemaPlace
from kubelambda.pollers.schemas.schema_registry import schema_registry
from kubelambda.pollers.sources.source_unreachable import SourceUnreachable
from kubelambda.pollers.sources.tls_login import TlsLogin

WAIT_S = 120.0
QUEUE = "arn:aws:sqs:us-east-1:123456789012:failed"
AVRO = {
    "type": "record",
    "name": "Order",
    "namespace": "shop",
    "fields": [
        {"name": "n", "type": "int"},
        {"name": "note", "type": ["null", "string"]},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "raw", "type": "bytes"},
    ],
}
JSON = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "Order",
    "type": "object",
    "properties": {"n": {"type": "integer"}, "note": {"type": ["string", "null"]}},
    "required": ["n"],
}


def order_message() -> Any:
    """The class of a message that is the second within the first of its file."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{uuid.uuid4().hex}.proto", package="shop", syntax="proto3")
    outer = file.message_type.add(name="Outer")
    outer.nested_type.add(name="Other")
    order = outer.nested_type.add(name="Order")
    for number, (name, kind) in enumerate((("n", "TYPE_INT32"), ("a_note", "TYPE_STRING")), start=1):
        order.field.add(name=name, number=number, type=kind, label="LABEL_OPTIONAL")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Outer.Order"))


@pytest.fixture
async def registry() -> AsyncIterator[SchemaServer]:
    """A registry."""
    found = SchemaServer()
    await found.start()
    yield found
    await found.close()


@pytest.fixture
async def topic(kafka_broker: KafkaBroker, function: Function) -> AsyncIterator[TopicOfTests]:
    """A topic of one partition."""
    found = TopicOfTests(kafka_broker, f"schemas-{uuid.uuid4().hex[:8]}", function)
    await kafka_broker.create_topic(found.name)
    yield found
    await found.close()


async def serialized(registry: SchemaServer, topic: str, kind: str, *numbers: int, key: bool = False) -> list[bytes]:
    """Orders, as Confluent's serializer writes them."""

    def writer(client: SchemaRegistryClient) -> tuple[Any, list[Any]]:
        match kind:
            case "AVRO":
                avro = [{"n": n, "note": f"no {n}", "at": 1_000 * n, "raw": b"\xff"} for n in numbers]
                return AvroSerializer(client, json.dumps(AVRO)), avro
            case "JSON":
                return JSONSerializer(json.dumps(JSON), client), [{"n": n, "note": f"no {n}"} for n in numbers]
        message = order_message()
        found = ProtobufSerializer(message, client, {"use.deprecated.format": False})
        return found, [message(n=n, a_note=f"no {n}") for n in numbers]

    def work() -> list[bytes]:
        with SchemaRegistryClient({"url": registry.url}) as client:
            write, values = writer(client)
            context = SerializationContext(topic, MessageField.KEY if key else MessageField.VALUE)
            return [write(each, context) for each in values]

    return await asyncio.to_thread(work)


async def put(topic: TopicOfTests, *records: bytes | None, key: bytes | None = None) -> None:
    """Writes records as they are."""
    producer = topic.broker.producer()
    await producer.start()
    for each in records:
        await producer.send_and_wait(topic.name, each, key=key)
    await producer.stop()


def config(registry: SchemaServer, record_format: str = "JSON", *attributes: str, **more: Any) -> dict[str, Any]:
    """Members of a mapping whose records have schemas."""
    validated = [{"attribute": each} for each in attributes or ("VALUE",)]
    found = {"schemaRegistryURI": registry.url, "eventRecordFormat": record_format, **more}
    return {
        "selfManagedKafkaEventSourceConfig": {"schemaRegistryConfig": {**found, "schemaValidationConfigs": validated}}
    }


async def comes_true(holds: Callable[[], bool]) -> None:
    """Returns once `holds`."""
    await eventually(holds, WAIT_S)


async def commits(topic: TopicOfTests, offset: int) -> None:
    """Returns once the group is at `offset`."""
    deadline = time.monotonic() + WAIT_S
    while (found := await topic.committed()) != offset:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.1)


def value_of(record: Any) -> bytes:
    """What a record has."""
    return base64.b64decode(record["value"])


SAID = {
    "AVRO": {"n": 2, "note": "no 2", "at": 2_000, "raw": "ÿ"},
    "JSON": {"n": 2, "note": "no 2"},
    "PROTOBUF": {"n": 2, "a_note": "no 2"},
}


@pytest.mark.parametrize("kind", ["AVRO", "JSON", "PROTOBUF"])
async def test_the_function_gets_json_and_filters_see_it(
    topic: TopicOfTests, registry: SchemaServer, kind: str
) -> None:
    """Whatever a record is written in; a record without a value needs no schema."""
    await put(topic, *await serialized(registry, topic.name, kind, 1, 2))
    pattern = json.dumps({"value": {"n": [{"numeric": [">", 1]}]}})
    topic.poll(**config(registry), filterCriteria={"filters": [{"pattern": pattern}]})
    await comes_true(lambda: len(topic.records) == 1)
    await commits(topic, 2)
    (record,) = topic.records
    assert json.loads(value_of(record)) == SAID[kind]
    assert record["valueSchemaMetadata"] == {"dataFormat": kind, "schemaId": "1"}
    assert "keySchemaMetadata" not in record


@pytest.mark.parametrize("kind", ["AVRO", "JSON", "PROTOBUF"])
async def test_the_function_gets_the_source_without_the_schemas_number(
    topic: TopicOfTests, registry: SchemaServer, kind: str
) -> None:
    """Filters see what it says all the same; keys may have schemas, too; a tombstone has none."""
    (key,) = await serialized(registry, topic.name, kind, 7, key=True)
    one, two = await serialized(registry, topic.name, kind, 1, 2)
    await put(topic, one, two, key=key)
    await put(topic, None, key=key)
    pattern = json.dumps({"key": {"n": [7]}, "value": {"n": [2]}})
    filters = [{"pattern": pattern}, {"pattern": '{"offset": [2]}'}]
    topic.poll(**config(registry, "SOURCE", "KEY", "VALUE"), filterCriteria={"filters": filters})
    await comes_true(lambda: len(topic.records) == 2)
    record, tombstone = topic.records
    assert value_of(record) == two[5:]
    assert base64.b64decode(record["key"]) == key[5:]
    assert record["keySchemaMetadata"]["dataFormat"] == kind
    assert tombstone["value"] is None
    assert "valueSchemaMetadata" not in tombstone
    if kind == "AVRO":
        read: Any = fastavro.schemaless_reader(io.BytesIO(value_of(record)), fastavro.parse_schema(AVRO), None)
        assert read["n"] == 2


async def test_what_is_not_of_its_schema_is_told_to_the_destination(
    topic: TopicOfTests, registry: SchemaServer
) -> None:
    """By why, in order; those around it arrive."""
    one, two = await serialized(registry, topic.name, "AVRO", 1, 2)
    unknown = b"\0" + (99).to_bytes(4, "big") + one[5:]
    await put(topic, one, b'{"n": 1}', one[:6], unknown, two)
    topic.poll(**config(registry), destinationConfig={"onFailure": {"destination": QUEUE}})
    await comes_true(lambda: len(topic.records) == 2)
    await commits(topic, 5)
    assert [json.loads(value_of(record))["n"] for record in topic.records] == [1, 2]
    told = [json.loads(record.body) for _, record in topic.destination.sent]
    offsets = [
        (body["requestContext"]["condition"], info["firstRecordOffset"], info["lastRecordOffset"])
        for body in told
        for info in body["KafkaBatchInfo"]["recordsInfo"].values()
    ]
    assert offsets == [("DESERIALIZATION_ERROR", "1", "2"), ("SCHEMA_NOT_FOUND", "3", "3")]
    assert all("responseContext" not in body for body in told)


async def test_what_is_not_of_its_schema_is_dropped_without_a_destination(
    topic: TopicOfTests, registry: SchemaServer
) -> None:
    """And counted; one that no filter would let through, too."""
    (one,) = await serialized(registry, topic.name, "JSON", 1)
    wrong = one[:5] + b'{"n": "one"}'
    await put(topic, wrong, one)
    topic.poll(**config(registry))
    await commits(topic, 2)
    assert [json.loads(value_of(record))["n"] for record in topic.records] == [1]
    page = topic.metrics.page().decode()
    assert 'kubelambda_mapping_events_total{mapping="orders",namespace="shop",what="dropped"} 1.0' in page


async def test_a_hostile_schema_costs_other_mappings_nothing(
    topic: TopicOfTests, registry: SchemaServer, kafka_broker: KafkaBroker, function: Function
) -> None:
    """One whose references double at each level: its records are given up, and those of a healthy mapping arrive."""
    levels = {f"a{at}": {"allOf": [{"$ref": f"#/$defs/a{at + 1}"}] * 2} for at in range(60)}
    schema = {"$ref": "#/$defs/a0", "$defs": {**levels, "a60": {"type": "integer"}}}
    number = registry.add("hostile", {"schemaType": "JSON", "schema": json.dumps(schema)})
    hostile = TopicOfTests(kafka_broker, f"hostile-{uuid.uuid4().hex[:8]}", function)
    await kafka_broker.create_topic(hostile.name)
    await put(hostile, b"\0" + number.to_bytes(4, "big") + b"1")
    await put(topic, *[json.dumps({"n": n}).encode() for n in range(50)])
    try:
        hostile.poll(**config(registry), destinationConfig={"onFailure": {"destination": QUEUE}})
        await comes_true(lambda: bool(registry.asked))
        topic.poll()
        await comes_true(lambda: topic.numbers() == list(range(50)))
        await commits(hostile, 1)
        ((_, record),) = hostile.destination.sent
        assert json.loads(record.body)["requestContext"]["condition"] == "DESERIALIZATION_ERROR"
    finally:
        await hostile.close()


async def test_nothing_is_lost_while_the_registry_cannot_be_asked(topic: TopicOfTests, registry: SchemaServer) -> None:
    """The mapping says so, and its offset stays; a schema that is known is not asked for again."""
    one, two, three = await serialized(registry, topic.name, "AVRO", 1, 2, 3)
    await put(topic, one)
    registry.broken = True
    poller = topic.poll(**config(registry))
    with pytest.raises(SourceUnreachable, match="the schema registry cannot be asked: it answers 502") as raised:
        await asyncio.wait_for(poller.running, WAIT_S)
    assert raised.value.reason is Reason.SOURCE_UNAVAILABLE
    assert raised.value.result == "PROBLEM: Lambda failed to connect to the schema registry"
    assert topic.records == []
    registry.broken = False
    topic.poll(**config(registry))
    await comes_true(lambda: len(topic.records) == 1)
    registry.broken = True
    await put(topic, two, three)
    await commits(topic, 3)
    assert [json.loads(value_of(record))["n"] for record in topic.records] == [1, 2, 3]


async def test_the_registry_knows_who_asks(kafka_broker: KafkaBroker) -> None:
    """By user and password, over TLS with an authority of the mapping's own; and it may not be where nothing can be."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(kafka_broker.folder / "server.crt", kafka_broker.folder / "server.key")
    server = SchemaServer(("poller", "p:sswörd"))
    await server.start(context)
    server.add("orders-value", {"schema": json.dumps(AVRO)})
    place = SchemaPlace(server.url, "JSON", key=False, value=True)

    async def asked(login: TlsLogin, *refused: Any) -> Any:
        async with schema_registry(place, login, refused) as registry:
            return await registry.schema(1)

    known = TlsLogin("poller", "p:sswörd", authority=kafka_broker.authority)
    try:
        assert json.loads((await asked(known)).text)["name"] == "Order"
        wrong = TlsLogin("poller", "wrong", authority=kafka_broker.authority)
        for login, why in ((wrong, "does not take who we are"), (TlsLogin(), "certificate is not trusted")):
            with pytest.raises(SourceUnreachable, match=why) as raised:
                await asked(login)
            assert raised.value.reason is Reason.SOURCE_AUTHENTICATION_FAILED
        with pytest.raises(SourceUnreachable, match="nothing that is configured can be at"):
            await asked(known, ip_network("127.0.0.0/8"))
    finally:
        await server.close()
