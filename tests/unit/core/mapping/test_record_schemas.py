"""How records say which schema they are of, and which schemas of Avro are read (§7.5.6)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelambda.api.kinds.event_source_mapping import EventSourceMappingSpec
from kubelambda.core.mapping.avro_schema import AvroTypes, UnservedSchema
from kubelambda.core.mapping.kafka_place import kafka_place
from kubelambda.core.mapping.schema_framing import Undecodable, framed, message_indexes
from kubelambda.core.mapping.schema_place import SchemaPlace


def test_a_record_begins_with_a_zero_and_the_number_of_its_schema() -> None:
    """Four bytes, the greatest first."""
    assert framed(b"\0\0\0\1\2rest") == (258, b"rest")
    for data in (b"", b"\0\0\0\1", b"\1\0\0\1\2rest", b'{"n": 1}'):
        with pytest.raises(Undecodable):
            framed(data)


@given(st.lists(st.integers(0, 2**30), max_size=6), st.binary(max_size=20))
def test_a_message_is_named_by_where_it_stands_in_its_file(indexes: list[int], rest: bytes) -> None:
    """Written as zigzag numbers, their count first; none stands for the first message."""

    def varint(number: int) -> bytes:
        found, number = bytearray(), number * 2
        while number >= 0x80:
            found.append(number & 0x7F | 0x80)
            number >>= 7
        return bytes([*found, number])

    data = b"".join(varint(each) for each in (len(indexes), *indexes)) + rest
    assert message_indexes(data) == (tuple(indexes) or (0,), rest)


@pytest.mark.parametrize("data", [b"", b"\x02", b"\x01", b"\xff\xff\xff\xff\xff\xff", b"\xc8\x01"])
def test_a_message_that_is_nowhere_is_said(data: bytes) -> None:
    """Cut off, less than none, a number without an end, or deeper than any file."""
    with pytest.raises(Undecodable):
        message_indexes(data)


def record(name: str, *types: Any) -> dict[str, Any]:
    """A record of fields of some types."""
    return {
        "type": "record",
        "name": name,
        "fields": [{"name": f"f{at}", "type": each} for at, each in enumerate(types)],
    }


EMPTY = {"type": "record", "name": "Empty", "fields": [{"name": "a", "type": "null"}]}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": "null"},
        {"type": "array", "items": EMPTY},
        {"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}},
        {
            "type": "record",
            "name": "a.R",
            "fields": [
                {"name": "e", "type": {**EMPTY, "name": "E"}},
                {"name": "all", "type": {"type": "array", "items": "E"}},
            ],
        },
        {"type": "map", "values": {"type": "array", "items": {"type": {"type": "null"}}}},
        {
            "type": "record",
            "name": "a.R",
            "fields": [
                {"name": "e", "type": {**EMPTY, "name": "E", "namespace": None}},
                {"name": "all", "type": {"type": "array", "items": ["null", "E"]}},
                {"name": "e", "type": {"type": "array", "items": "E"}},
            ],
        },
        {"type": "map", "values": record("R", *["null"] * 8)},
        {"type": "array", "items": record("R", *["null"] * 8, "boolean")},
        {"type": "array", "items": {"type": "fixed", "name": "F", "size": -1}},
        record("R", *["null"] * 8, ["null", "R"]),
        record("R", "R", "R"),
        record("R", "Nobody"),
        record("R", record("R")),
        {"type": "record", "name": "R", "namespace": 5, "fields": []},
        {"type": "record", "name": "R"},
        5,
        {"items": "int"},
    ],
)
def test_lists_of_nothing_and_what_is_no_schema_are_refused(schema: Any) -> None:
    """One record of few bytes could fill any memory."""
    with pytest.raises(UnservedSchema):
        AvroTypes().plain(schema)


def test_schemas_that_are_too_deep_are_refused() -> None:
    """Long before they reach the end of a stack."""
    schema: Any = "int"
    for _ in range(100):
        schema = {"type": "array", "items": schema}
    with pytest.raises(UnservedSchema, match="deeper"):
        AvroTypes().plain(schema)


def test_records_that_hold_themselves_out_again_and_again_are_refused() -> None:
    """Thirty of them, each of which has the next one twice, are a thousand million values of no byte."""
    schema = record("R30")
    for number in range(29, -1, -1):
        schema = record(f"R{number}", schema, f"R{number + 1}")
    with pytest.raises(UnservedSchema, match="no bytes"):
        AvroTypes().plain(schema)


def test_types_that_name_one_another_are_no_deeper_than_others() -> None:
    """In a union each stands beside the next, and within it all the same."""
    schema = [record("R0", "int"), *(record(f"R{number}", f"R{number - 1}") for number in range(1, 70))]
    AvroTypes().plain(schema[:60])
    with pytest.raises(UnservedSchema, match="deeper"):
        AvroTypes().plain(schema)


@pytest.mark.parametrize(
    "schema",
    [
        record("R", *(record(f"S{number}", *["int"] * 9) for number in range(50))),
        {"type": "array", "items": ["null", record("R", record("S", record("T", "boolean")))]},
        {"type": "map", "values": "null"},
        record("Node", {"type": "array", "items": "Node"}),
        record("R", *["null"] * 100),
    ],
)
def test_what_people_write_is_read(schema: Any) -> None:
    """Many fields, types within others, lists of what may be missing, trees."""
    assert AvroTypes().plain(schema) == schema


@pytest.mark.parametrize(
    ("items", "recursive"),
    [("R", True), (["null", "a.R"], True), ({"type": "map", "values": "string"}, False), ("long", False)],
)
def test_types_within_themselves_are_known(items: Any, recursive: bool) -> None:
    """By their short name or their full one; logical types are left out."""
    fields = [
        {"name": "all", "type": {"type": "array", "items": items}},
        {"name": "at", "type": {"type": "long", "logicalType": "date"}},
    ]
    types = AvroTypes()
    plain = types.plain({"type": "record", "name": "R", "namespace": "a", "fields": fields})
    assert types.recursive is recursive
    assert plain["fields"][1]["type"] == {"type": "long"}


def test_a_mapping_says_where_the_schemas_are() -> None:
    """Secrets by their names, or by the ARNs that the Lambda API's callers give."""
    arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:authority-AbCdEf"
    config = {
        "schemaRegistryURI": "https://schemas:8081/",
        "eventRecordFormat": "SOURCE",
        "schemaValidationConfigs": [{"attribute": "KEY"}],
        "accessConfigs": [{"type": "BASIC_AUTH", "uri": "login"}, {"type": "SERVER_ROOT_CA_CERTIFICATE", "uri": arn}],
    }
    spec = EventSourceMappingSpec.model_validate(
        {
            "functionName": "hello",
            "topics": ["orders"],
            "selfManagedEventSource": {"endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a:9092"]}},
            "selfManagedKafkaEventSourceConfig": {"schemaRegistryConfig": config},
        }
    )
    found = kafka_place(spec, "uuid")
    assert found is not None
    assert found.schemas == SchemaPlace(
        "https://schemas:8081", "SOURCE", key=True, value=False, login_secret="login", authority_secret="authority"
    )
