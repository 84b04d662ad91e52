"""Records of Kafka as the function is to get them, where a registry has their schemas (§7.5.6)."""

import asyncio
import base64
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from kubelambda.api import limits
from kubelambda.core.mapping.avro_schema import UnservedSchema
from kubelambda.core.mapping.schema_framing import Undecodable, framed
from kubelambda.core.mapping.schema_place import SchemaPlace
from kubelambda.core.mapping.stream_rules import GivenUp
from kubelambda.pollers.schemas.record_reader import RecordReader, record_reader
from kubelambda.pollers.schemas.registered_schema import RegisteredSchema, SchemaKind
from kubelambda.pollers.schemas.schema_registry import SchemaMissing, SchemaRegistry

_KEPT: Final = 500
"""Schemas that are kept, those that were used last: numbers of schemas never change their meaning."""
_KEPT_CHARS: Final = 8 << 20
"""Of those together; one alone may have more."""
_MISSING_PAUSES_S: Final = (0.5, 1.0)
"""A registry of several servers may know a schema a moment later than whoever writes the records."""


class RecordRefused(Exception):
    """No function gets the record; the message says why."""

    def __init__(self, condition: GivenUp, why: str) -> None:
        super().__init__(why)
        self.condition = condition


@dataclass(frozen=True, slots=True)
class DecodedRecord:
    """What is different about a record once its schemas are known."""

    members: dict[str, Any] = field(default_factory=dict)
    """Members of the record in the event."""
    known: dict[str, Any] = field(default_factory=dict)
    """What its key and its value say, for filters."""


class RecordDecoder:
    """Of one mapping, whose registry is at `place`."""

    def __init__(self, registry: SchemaRegistry, place: SchemaPlace) -> None:
        self._registry = registry
        self._place = place
        self._readers: OrderedDict[int, tuple[SchemaKind, RecordReader | UnservedSchema]] = OrderedDict()
        self._sizes: dict[int, int] = {}
        self._missing: OrderedDict[int, None] = OrderedDict()
        """Numbers that the registry did not know, those of last."""

    async def decode(self, key: bytes | None, value: bytes | None) -> DecodedRecord:
        """Raises `RecordRefused`, and `SourceUnreachable` when the registry cannot be asked."""
        found = DecodedRecord()
        for name, data, has_schema in (("key", key, self._place.key), ("value", value, self._place.value)):
            if has_schema and data is not None and len(data) <= limits.SYNC_REQUEST_MAX_BYTES:
                await self._read(name, data, found)
        return found

    async def _read(self, name: str, data: bytes, into: DecodedRecord) -> None:
        """A larger one than an event can hold is not read: it is given up for that."""
        try:
            number, rest = framed(data)
            kind, reader = await self._reader(number)
            if isinstance(reader, UnservedSchema):
                raise reader
            said = reader(rest)
        except SchemaMissing as error:
            raise RecordRefused(GivenUp.SCHEMA_NOT_FOUND, str(error)) from error
        except (Undecodable, UnservedSchema, RecursionError, OverflowError) as error:
            raise RecordRefused(GivenUp.DESERIALIZATION_ERROR, f"its {name}: {error}") from error
        delivered = rest
        if self._place.format == "JSON" and kind is not SchemaKind.JSON:
            if _larger(said, limits.SYNC_REQUEST_MAX_BYTES):  # names are in the schema: a byte may stand for megabytes
                why = f"its {name} is larger as JSON than an event can be"
                raise RecordRefused(GivenUp.MAXIMUM_PAYLOAD_SIZE_EXCEEDED, why)
            delivered = msgspec.json.encode(said)
        into.known[name] = said
        into.members[name] = base64.b64encode(delivered).decode()
        into.members[f"{name}SchemaMetadata"] = {"dataFormat": kind.value, "schemaId": str(number)}

    async def _reader(self, number: int) -> tuple[SchemaKind, RecordReader | UnservedSchema]:
        """How records of a schema are read; one that is missing is asked for again with the next record."""
        known = self._readers.get(number)
        if known is None:
            schema = await self._schema(number)
            reader: RecordReader | UnservedSchema
            try:
                reader = record_reader(schema)
            except UnservedSchema as error:
                reader = error
            known = self._readers[number] = (schema.kind, reader)
            self._sizes[number] = schema.size
            self._readers.move_to_end(number)
            self._forget()
        self._readers.move_to_end(number)
        return known

    async def _schema(self, number: int) -> RegisteredSchema:
        """Raises `SchemaMissing` where the registry says so again: the record is given up for it."""
        for pause in () if number in self._missing else _MISSING_PAUSES_S:
            with suppress(SchemaMissing):
                return await self._registry.schema(number)
            await asyncio.sleep(pause)
        try:
            return await self._registry.schema(number)
        except SchemaMissing:
            self._missing[number] = None
            if len(self._missing) > _KEPT:
                self._missing.popitem(last=False)
            raise

    def _forget(self) -> None:
        """The readers that were used longest ago, as long as there are too many; never the newest."""
        while len(self._readers) > 1 and (len(self._readers) > _KEPT or sum(self._sizes.values()) > _KEPT_CHARS):
            number, _ = self._readers.popitem(last=False)
            del self._sizes[number]


def _larger(value: Any, most: int) -> bool:
    """Whether a value has more than `most` bytes as JSON, by what they are at least."""
    found, waiting = 0, [value]
    while waiting and found <= most:
        each = waiting.pop()
        found += 2
        if isinstance(each, str):
            found += len(each)
        elif isinstance(each, list):
            waiting += each
        elif isinstance(each, dict):
            found += sum(len(name) + 4 for name in each)
            waiting += each.values()
    return found > most
