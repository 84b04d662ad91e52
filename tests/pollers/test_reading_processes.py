"""Records are read by their schemas in processes of their own, which no schema can keep for itself (§7.5.6)."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import fastavro
import pytest
from tests.pollers.conftest import eventually

from kubelambda.core.mapping.avro_schema import UnservedSchema
from kubelambda.core.mapping.schema_framing import Undecodable
from kubelambda.core.mapping.schema_place import SchemaPlace
from kubelambda.core.mapping.stream_rules import GivenUp
from kubelambda.pollers.record_decoder import RecordDecoder, RecordRefused
from kubelambda.pollers.schemas.reading_processes import LargerAsJson, ReadingProcesses, ReadsTooLong
from kubelambda.pollers.schemas.reading_request import ReadingBounds
from kubelambda.pollers.schemas.registered_schema import RegisteredSchema, SchemaKind
from kubelambda.pollers.schemas.schema_registry import SchemaMissing, SchemaRegistry

NUMBER = RegisteredSchema(SchemaKind.JSON, json.dumps({"type": "integer"}))
WAIT_S = 120.0


def doubling(levels: int = 60) -> RegisteredSchema:
    """A schema whose references double at each level: to check a number takes 2^levels steps."""
    within = {f"a{at}": {"allOf": [{"$ref": f"#/$defs/a{at + 1}"}] * 2} for at in range(levels)}
    schema = {"$ref": "#/$defs/a0", "$defs": {**within, f"a{levels}": {"type": "integer"}}}
    return RegisteredSchema(SchemaKind.JSON, json.dumps(schema))


@pytest.fixture
async def processes() -> AsyncIterator[ReadingProcesses]:
    """Two of them, with little time and memory."""
    async with ReadingProcesses(2, ReadingBounds(processor_s=1.5, memory_bytes=80 << 20)) as found:
        yield found


async def test_a_schema_that_takes_for_ever_costs_a_namespace_its_own_turn(processes: ReadingProcesses) -> None:
    """However many of its records wait: others are read meanwhile, and the poller is at work itself."""
    done = asyncio.Event()

    async def hostile() -> int:
        ended = 0
        while not done.is_set() or not ended:
            with pytest.raises(ReadsTooLong, match=r"more than 1\.5 s of a processor, or 80 MB"):
                await processes.read("hostile", 1, doubling(), b"1")
            ended += 1
        return ended

    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as group:
        tasks = [group.create_task(hostile()) for _ in range(2)]
        for _ in range(200):
            await processes.read("shop", 2, NUMBER, b"1")
            with pytest.raises(Undecodable, match="ValidationError"):
                await processes.read("shop", 2, NUMBER, b'"one"')
        done.set()
    assert all(task.result() for task in tasks)


async def test_a_record_that_takes_too_much_memory_ends_nothing_but_itself(processes: ReadingProcesses) -> None:
    """The bound is the process's, and the next record has one of its own."""
    many = b"[" + b"[],".join([b""] * 1_900_000) + b"[]]"
    with pytest.raises(Undecodable, match="80 MB"):
        await processes.read("shop", 1, RegisteredSchema(SchemaKind.JSON, "{}"), many)
    await processes.read("shop", 2, NUMBER, b"1")


async def test_a_process_that_somebody_ended_says_nothing_of_the_record(processes: ReadingProcesses) -> None:
    """Another one reads it, to which the schema is new; a schema that is none is said as before."""
    for _ in range(2):
        await processes.read("shop", 1, NUMBER, b"1")
        (process,) = processes._idle
        process.kill()
        await process.wait()
    none = RegisteredSchema(SchemaKind.JSON, '{"type": "nothing that is known"}')
    for _ in range(2):
        with pytest.raises(UnservedSchema, match="the schema cannot be read"):
            await processes.read("shop", 2, none, b"1")


async def test_nothing_runs_before_the_first_record_and_after_the_last(processes: ReadingProcesses) -> None:
    """A poller whose mappings have no schemas pays for none; one that is cancelled amid a record leaves no process."""
    assert not processes._idle
    await processes.read("shop", 1, NUMBER, b"1")
    (process,) = processes._idle
    reading = asyncio.create_task(processes.read("shop", 2, doubling(), b"1"))
    await eventually(lambda: not processes._idle, WAIT_S)
    reading.cancel()
    await process.wait()
    assert not processes._idle


def avro_of(schema: Any, value: Any) -> bytes:
    """A record of Avro."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


async def test_names_that_fill_our_memory_are_not_written_out(processes: ReadingProcesses) -> None:
    """A record of a few bytes, whose field has a name of a megabyte."""
    field = {"name": "n" * 1_000_000, "type": "boolean"}
    schema = {"type": "array", "items": {"type": "record", "name": "R", "fields": [field]}}
    decoder = decoder_of(processes, {1: RegisteredSchema(SchemaKind.AVRO, json.dumps(schema))})
    with pytest.raises(RecordRefused) as raised:
        await decoder.decode(None, b"\0\0\0\0\1" + avro_of(schema, [{field["name"]: True}] * 50))
    assert raised.value.condition is GivenUp.MAXIMUM_PAYLOAD_SIZE_EXCEEDED
    found = await decoder.decode(None, b"\0\0\0\0\1" + avro_of(schema, [{field["name"]: True}]))
    assert found.known["value"] == [{field["name"]: True}]


async def test_what_json_escapes_counts_as_it_is_written(processes: ReadingProcesses) -> None:
    """A character of a string may have six bytes as JSON: the poller gets no more of them than it wanted."""
    schema = RegisteredSchema(SchemaKind.AVRO, '"string"')
    data = avro_of("string", "\0" * 500_000)
    with pytest.raises(LargerAsJson):
        await processes.read("shop", 1, schema, data, said_max_bytes=2_999_999)
    assert len(await processes.read("shop", 1, schema, data, said_max_bytes=3_000_002)) == 3_000_002


async def test_a_record_that_ends_its_process_on_its_way_out_is_given_up(processes: ReadingProcesses) -> None:
    """There is room to read it, and none to say so: another process would end as that one did, for ever."""
    schema = RegisteredSchema(SchemaKind.AVRO, '"string"')
    for size in (3_000_000, 3_500_000):
        with pytest.raises(Undecodable, match="80 MB"):
            await processes.read("shop", 1, schema, avro_of("string", "\0" * size), said_max_bytes=32 << 20)


async def test_names_that_no_json_can_have_are_given_up(processes: ReadingProcesses) -> None:
    """Half a character stands in the schema: the partition goes on behind the record."""
    schema = {"type": "record", "name": "R", "fields": [{"name": "\ud800", "type": "boolean"}]}
    decoder = decoder_of(processes, {1: RegisteredSchema(SchemaKind.AVRO, json.dumps(schema))})
    with pytest.raises(RecordRefused, match="UnicodeEncodeError") as raised:
        await decoder.decode(None, b"\0\0\0\0\1\1")
    assert raised.value.condition is GivenUp.DESERIALIZATION_ERROR


async def test_large_schemas_are_kept_only_while_there_is_room(processes: ReadingProcesses) -> None:
    """Those that were used last: whoever writes schemas has no part of our memory to fill."""
    large = json.dumps({"description": "d" * 3_000_000})
    asked: list[int] = []
    decoder = decoder_of(processes, {number: RegisteredSchema(SchemaKind.JSON, large) for number in range(1, 5)}, asked)
    for number in (1, 2, 1, 3, 1, 4):
        await decoder.decode(None, b"\0\0\0\0" + bytes([number]) + b"{}")
    assert asked == [1, 2, 3, 4]
    await decoder.decode(None, b"\0\0\0\0\2{}")
    assert asked == [1, 2, 3, 4, 2]


async def test_a_schema_that_comes_a_moment_later_is_waited_for(processes: ReadingProcesses) -> None:
    """The server that is asked may be behind the one that the writer told; what is missing for good is asked once."""
    schemas: dict[int, RegisteredSchema] = {}
    asked: list[int] = []
    decoder = decoder_of(processes, schemas, asked)
    decoding = asyncio.create_task(decoder.decode(None, b"\0\0\0\0\1{}"))
    async with asyncio.timeout(60):
        await asyncio.sleep(0)
        assert asked == [1]
        schemas[1] = RegisteredSchema(SchemaKind.JSON, "{}")
        assert (await decoding).known == {"value": {}}
        for _ in range(2):
            with pytest.raises(RecordRefused) as raised:
                await decoder.decode(None, b"\0\0\0\0\2{}")
            assert raised.value.condition is GivenUp.SCHEMA_NOT_FOUND
    assert asked == [1, 1, 2, 2, 2, 2]


def decoder_of(
    processes: ReadingProcesses, schemas: dict[int, RegisteredSchema], asked: list[int] | None = None
) -> RecordDecoder:
    """Of a mapping whose values have schemas; `asked` gets those that are asked for."""

    class Registry(SchemaRegistry):
        def __init__(self) -> None:
            pass

        async def schema(self, number: int) -> RegisteredSchema:
            if asked is not None:
                asked.append(number)
            if number not in schemas:
                raise SchemaMissing(f"{number}")
            return schemas[number]

    place = SchemaPlace("http://schemas", "JSON", key=False, value=True)
    return RecordDecoder(Registry(), place, processes, namespace="shop", filtered=True)
