"""Records by their schemas, and schemas that somebody wrote to do harm (§7.5.6)."""

import base64
import io
import json
import resource
import time
from typing import Any

import fastavro
import pytest
from google.protobuf import descriptor_pb2, timestamp_pb2
from tests.pollers.schema_server import SchemaServer

from kubelambda.core.mapping.avro_schema import UnservedSchema
from kubelambda.core.mapping.schema_framing import Undecodable
from kubelambda.pollers.schemas.record_reader import record_reader
from kubelambda.pollers.schemas.registered_schema import RegisteredSchema, SchemaKind, SchemaReference
from kubelambda.pollers.schemas.schema_registry import SchemaRegistry
from kubelambda.pollers.sources.source_unreachable import SourceUnreachable

TREE = {
    "type": "record",
    "name": "Tree",
    "fields": [{"name": "next", "type": ["null", "Tree"]}],
}


def avro(schema: Any, *references: tuple[str, Any]) -> Any:
    """How records of a schema of Avro are read."""
    named = tuple(SchemaReference(name, json.dumps(each)) for name, each in references)
    return record_reader(RegisteredSchema(SchemaKind.AVRO, json.dumps(schema), named))


def written(schema: Any, value: Any) -> bytes:
    """A record of Avro."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


def described(file: Any) -> str:
    """A file of protobuf, as a registry says it."""
    return base64.b64encode(file.SerializeToString()).decode()


@pytest.mark.parametrize(
    ("schema", "value", "said"),
    [
        ("string", "a", "a"),
        ({"type": "map", "values": "double"}, {"a": 1.5}, {"a": 1.5}),
        ({"type": "array", "items": ["null", "boolean"]}, [None, True], [None, True]),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, "B", "B"),
        ({"type": "fixed", "name": "F", "size": 2}, b"\x00\xff", "\x00ÿ"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, b"\x01", "\x01"),
    ],
)
def test_avro_is_said_as_json_says_it(schema: Any, value: Any, said: Any) -> None:
    """Without names of types in unions, and with logical types as what they are written as."""
    plain = {"type": "bytes"} if isinstance(schema, dict) and "logicalType" in schema else schema
    assert avro(schema)(written(plain, value)) == said


def test_avro_knows_the_types_that_a_schema_refers_to() -> None:
    """In the order in which the registry has them."""
    inner = {"type": "record", "name": "shop.Item", "fields": [{"name": "n", "type": "int"}]}
    outer = {
        "type": "record",
        "name": "shop.Order",
        "fields": [{"name": "items", "type": {"type": "array", "items": "Item"}}],
    }
    both: dict[str, Any] = {}
    fastavro.parse_schema(inner, named_schemas=both)
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(outer, named_schemas=both), {"items": [{"n": 3}]})
    assert avro(outer, ("shop.Item", inner))(out.getvalue()) == {"items": [{"n": 3}]}


def test_a_list_of_nothing_is_no_way_to_fill_our_memory() -> None:
    """Eleven bytes that say 2^60 items: the schema is refused before any record is read."""
    with pytest.raises(UnservedSchema, match="take no bytes"):
        avro({"type": "array", "items": "null"})


def test_a_record_that_nests_without_end_ends_nothing_but_itself() -> None:
    """The stack is the process's, and every mapping's."""
    read = avro(TREE)
    assert read(b"\x02\x02\x00") == {"next": {"next": {"next": None}}}
    with pytest.raises(Undecodable, match="RecursionError"):
        read(b"\x02" * 1_000_000 + b"\x00")


def test_a_json_schema_takes_linear_time_and_fetches_nothing() -> None:
    """Whatever its patterns are, and wherever its references lead."""
    schema = RegisteredSchema(SchemaKind.JSON, json.dumps({"pattern": "^(a+)+$"}))
    read, begun = record_reader(schema), time.process_time()
    with pytest.raises(Undecodable):
        read(json.dumps("a" * 5_000 + "b").encode())
    assert time.process_time() - begun < 5
    with pytest.raises(UnservedSchema):
        record_reader(RegisteredSchema(SchemaKind.JSON, json.dumps({"$ref": "http://127.0.0.1:1/x.json"})))
    with pytest.raises(Undecodable):
        record_reader(RegisteredSchema(SchemaKind.JSON, "{}"))(b"[" * 1_000_000)


def test_what_is_wrong_with_a_record_takes_no_memory() -> None:
    """Each of the ways in which it is not of its schema, which are 2^20, had its own list of faults."""
    deep = 20
    within = {
        f"a{at}": {"anyOf": [{"minItems": least, "items": {"$ref": f"#/$defs/a{at + 1}"}} for least in (0, 1)]}
        for at in range(deep)
    }
    schema = {"$ref": "#/$defs/a0", "$defs": {**within, f"a{deep}": {"type": "string"}}}
    read = record_reader(RegisteredSchema(SchemaKind.JSON, json.dumps(schema)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Undecodable, match="ValidationError"):
        read(b"[" * deep + b"1" + b"]" * deep)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


def test_a_json_schema_knows_those_that_it_refers_to() -> None:
    """By the names under which the registry has them."""
    reference = SchemaReference("item.json", json.dumps({"type": "integer"}))
    schema = RegisteredSchema(SchemaKind.JSON, json.dumps({"items": {"$ref": "item.json"}}), (reference,))
    read = record_reader(schema)
    assert read(b"[1, 2]") == [1, 2]
    with pytest.raises(Undecodable, match="ValidationError"):
        read(b'["secret"]')


def test_a_message_of_protobuf_knows_other_files_and_those_that_everybody_has() -> None:
    """Its fields have the names of the file, and numbers that are not there are none of its messages."""
    item = descriptor_pb2.FileDescriptorProto(name="any name", package="shop", syntax="proto3")
    item.message_type.add(name="Item").field.add(name="n_of", number=1, type="TYPE_INT64", label="LABEL_OPTIONAL")
    order = descriptor_pb2.FileDescriptorProto(package="shop", syntax="proto3")
    order.dependency.extend(["shop/item.proto", timestamp_pb2.DESCRIPTOR.name])
    fields = order.message_type.add(name="Order").field
    fields.add(name="item", number=1, type="TYPE_MESSAGE", type_name=".shop.Item", label="LABEL_OPTIONAL")
    fields.add(name="at", number=2, type="TYPE_MESSAGE", type_name=".google.protobuf.Timestamp", label="LABEL_OPTIONAL")
    read = record_reader(
        RegisteredSchema(SchemaKind.PROTOBUF, described(order), (SchemaReference("shop/item.proto", described(item)),))
    )
    assert read(b"\x00\x0a\x02\x08\x05\x12\x02\x08\x01") == {"item": {"n_of": "5"}, "at": "1970-01-01T00:00:01Z"}
    with pytest.raises(Undecodable, match="no such message"):
        read(b"\x02\x02")
    with pytest.raises(Undecodable, match="DecodeError"):
        read(b"\x00\xff")


@pytest.mark.parametrize("where", ["field", "nested field", "enum", "extension"])
def test_long_names_of_protobuf_are_refused(where: str) -> None:
    """Each message of a record would have a copy of them: two bytes would stand for as much as the schema has."""
    file = descriptor_pb2.FileDescriptorProto(package="shop", syntax="proto2")
    outer = file.message_type.add(name="Outer")
    name, kind = "n" * 300, {"type": "TYPE_INT64", "label": "LABEL_OPTIONAL"}
    match where:
        case "field":
            outer.field.add(name=name, number=1, **kind)
        case "nested field":
            outer.nested_type.add(name="Inner").field.add(name=name, number=1, **kind)
        case "enum":
            outer.nested_type.add(name="Inner").enum_type.add(name="E").value.add(name=name, number=0)
        case _:
            outer.extension_range.add(start=5, end=9)
            file.extension.add(name=name, number=5, extendee=".shop.Outer", **kind)
    with pytest.raises(UnservedSchema, match="more than 256"):
        record_reader(RegisteredSchema(SchemaKind.PROTOBUF, described(file)))


@pytest.mark.parametrize("kind", list(SchemaKind))
def test_a_schema_that_is_none_is_said(kind: SchemaKind) -> None:
    """Its records are then not of their schema."""
    with pytest.raises(UnservedSchema):
        record_reader(RegisteredSchema(kind, '{"type": "nothing that is known"}'))


async def test_references_are_followed_and_come_first() -> None:
    """Each once, whoever else refers to it."""
    server = SchemaServer()
    await server.start()
    server.add("a", {"schema": "A"})
    server.add("b", {"schema": "B", "references": [{"name": "a", "subject": "a", "version": 1}]})
    both = [{"name": name, "subject": name, "version": 1} for name in "ba"]
    number = server.add("c", {"schema": "C", "references": both})
    import aiohttp

    async with aiohttp.ClientSession() as session:
        found = await SchemaRegistry(session, server.url).schema(number)
    await server.close()
    assert (found.kind, found.text) == (SchemaKind.AVRO, "C")
    assert [each.name for each in found.references] == ["a", "b"]
    assert len(server.asked) == 3


@pytest.mark.parametrize("answer", [{}, {"schema": None}, {"message": "come back later"}])
async def test_an_answer_without_a_schema_is_no_reason_to_give_up_a_record(answer: dict[str, Any]) -> None:
    """Whoever stands before a registry answers for it now and then."""
    server = SchemaServer()
    await server.start()
    number = server.add("a", answer)
    import aiohttp

    async with aiohttp.ClientSession() as session:
        with pytest.raises(SourceUnreachable, match="something else than a schema"):
            await SchemaRegistry(session, server.url).schema(number)
    await server.close()
