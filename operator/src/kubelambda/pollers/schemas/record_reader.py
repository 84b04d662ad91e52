"""Reads what records say by their schemas: Avro, JSON, protobuf (§7.5.6).

Whoever writes the records, or the schemas, is not trusted with our memory, our stack or our time: patterns of JSON
schemas are matched in linear time, nothing is fetched that a schema refers to; of Avro see `core/mapping/avro_schema`.
What a record says stands in no error: errors are logged.
"""

import base64
import io
import json
from collections.abc import Callable
from typing import Any

from kubelambda.core.mapping.avro_schema import AvroTypes, UnservedSchema
from kubelambda.core.mapping.schema_framing import Undecodable, message_indexes
from kubelambda.pollers.schemas.registered_schema import RegisteredSchema, SchemaKind

type RecordReader = Callable[[bytes], Any]
"""What a record says, as JSON can say it. Raises `Undecodable`, or `MemoryError`."""
_WELL_KNOWN = (
    "descriptor",
    "any",
    "source_context",
    "type",
    "api",
    "duration",
    "empty",
    "field_mask",
    "struct",
    "timestamp",
    "wrappers",
)
"""Files of protobuf that everybody has, each after those that it needs."""
_OWN_FILE = "default"
_NAME_MAX_CHARS = 256
"""Of what protobuf names: every message has copies of its own of its fields' names."""


def record_reader(schema: RegisteredSchema) -> RecordReader:
    """How records of a schema are read. Raises `UnservedSchema`. Its library is imported with the first of its kind."""
    make = {
        SchemaKind.AVRO: _avro_reader,
        SchemaKind.JSON: _json_reader,
        SchemaKind.PROTOBUF: _protobuf_reader,
    }[schema.kind]
    try:
        return make(schema)
    except (UnservedSchema, MemoryError):
        raise
    except Exception as error:  # libraries raise what they like of a schema that is none
        raise UnservedSchema(f"the schema cannot be read: {error}"[:500]) from error


def _avro_reader(schema: RegisteredSchema) -> RecordReader:
    import fastavro  # noqa: PLC0415
    from fastavro._read_py import schemaless_reader as deep_reader  # noqa: PLC0415

    types, named = AvroTypes(), dict[str, Any]()
    for each in schema.references:
        fastavro.parse_schema(types.plain(json.loads(each.text)), named_schemas=named)
    parsed = fastavro.parse_schema(types.plain(json.loads(schema.text)), named_schemas=named)
    # Python's own stack has a limit that it keeps; the other reader's is the process's.
    read = deep_reader if types.recursive else fastavro.schemaless_reader

    return _undecodable_else(lambda data: _as_json(read(io.BytesIO(data), parsed, None)))


def _undecodable_else(read: RecordReader) -> RecordReader:
    """What `read` says, or that a record is not of its schema, whatever its library raises."""

    def of(data: bytes) -> Any:
        try:
            return read(data)
        except (Undecodable, MemoryError):
            raise
        except Exception as error:
            raise Undecodable(f"it is not of its schema: {type(error).__name__}") from error

    return of


def _as_json(value: Any) -> Any:
    """Bytes as Avro's own JSON has them: a character for each."""
    if isinstance(value, bytes):
        return value.decode("iso-8859-1")
    if isinstance(value, list):  # in place: there may be millions
        for at, each in enumerate(value):
            value[at] = _as_json(each)
    elif isinstance(value, dict):
        for name, each in value.items():
            value[name] = _as_json(each)
    return value


def _json_reader(schema: RegisteredSchema) -> RecordReader:
    import jsonschema_rs  # noqa: PLC0415

    def refuse(uri: str) -> Any:
        raise UnservedSchema(f"it refers to {uri}, which is not registered as a reference of it")

    known = jsonschema_rs.Registry([(each.name, json.loads(each.text)) for each in schema.references], retriever=refuse)
    validator = jsonschema_rs.validator_for(
        json.loads(schema.text),
        registry=known,
        retriever=refuse,
        pattern_options=jsonschema_rs.RegexOptions(),
    )

    def of(data: bytes) -> Any:
        found = json.loads(data)
        if not validator.is_valid(found):  # what is wrong with it can be more than fits our memory
            raise Undecodable("it is not of its schema: ValidationError")
        return found

    return _undecodable_else(of)


def _protobuf_reader(schema: RegisteredSchema) -> RecordReader:
    from importlib import import_module  # noqa: PLC0415

    from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory  # noqa: PLC0415

    pool = descriptor_pool.DescriptorPool()
    for name in _WELL_KNOWN:
        pool.AddSerializedFile(import_module(f"google.protobuf.{name}_pb2").DESCRIPTOR.serialized_pb)
    for each in schema.references:
        if each.name.startswith("google/protobuf/"):
            continue
        pool.AddSerializedFile(_file(descriptor_pb2, each.text, each.name).SerializeToString())
    file = _file(descriptor_pb2, schema.text, _OWN_FILE)
    pool.AddSerializedFile(file.SerializeToString())
    messages: dict[tuple[int, ...], Any] = {}

    def message(indexes: tuple[int, ...]) -> Any:
        if indexes not in messages:
            within, name = file.message_type, file.package
            for index in indexes:
                if not 0 <= index < len(within):
                    raise Undecodable("its schema has no such message")
                name = f"{name}.{within[index].name}".lstrip(".")
                within = within[index].nested_type
            messages[indexes] = message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
        return messages[indexes]

    def of(data: bytes) -> Any:
        indexes, rest = message_indexes(data)
        said = message(indexes).FromString(rest)
        return json_format.MessageToDict(said, preserving_proto_field_name=True, descriptor_pool=pool)

    return _undecodable_else(of)


def _file(descriptors: Any, text: str, name: str) -> Any:
    found = descriptors.FileDescriptorProto.FromString(base64.b64decode(text))
    found.name = name
    _check_names(found)
    return found


def _check_names(file: Any) -> None:
    """Raises `UnservedSchema` for a name that a few records would fill our memory with."""
    waiting = [(file, "message_type")]
    while waiting:
        within, messages = waiting.pop()
        enums = [value for each in within.enum_type for value in each.value]
        fields = [*within.extension, *(within.field if messages == "nested_type" else ())]
        if any(len(each.name) > _NAME_MAX_CHARS for each in (*enums, *fields)):
            raise UnservedSchema(f"it has a name of more than {_NAME_MAX_CHARS} characters")
        waiting += [(each, "nested_type") for each in getattr(within, messages)]
