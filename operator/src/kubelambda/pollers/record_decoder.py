"""Records of Kafka as the function is to get them, where a registry has their schemas (§7.5.6)."""

import asyncio
import base64
import itertools
import json
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from kubelambda.api import limits
from kubelambda.core.mapping.avro_schema import UnservedSchema
from kubelambda.core.mapping.schema_framing import Undecodable, framed
from kubelambda.core.mapping.schema_place import SchemaPlace
from kubelambda.core.mapping.stream_rules import GivenUp
from kubelambda.pollers.schemas.reading_processes import LargerAsJson, ReadingProcesses
from kubelambda.pollers.schemas.recent_schemas import RecentSchemas
from kubelambda.pollers.schemas.registered_schema import RegisteredSchema, SchemaKind
from kubelambda.pollers.schemas.schema_registry import SchemaMissing, SchemaRegistry

_KEPT: Final = 500
"""Numbers that the registry did not know which are kept, those that were asked for last."""
_FILTERED_MAX_BYTES: Final = 32 << 20
"""Of what a record says as JSON that a filter is to see; the function may get it as it was written."""
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
    """What its key and its value say, when filters are to see it."""


_schema_ids = itertools.count(1)
"""Of the schemas of all registries: each has numbers of its own."""


class RecordDecoder:
    """Of one mapping of `namespace`, whose registry is at `place`. `filtered` says that filters see what records say.

    Records are read one after the other: of several mappings of a namespace each has its turn.
    """

    def __init__(
        self,
        registry: SchemaRegistry,
        place: SchemaPlace,
        processes: ReadingProcesses,
        *,
        namespace: str,
        filtered: bool,
    ) -> None:
        self._registry = registry
        self._place = place
        self._processes = processes
        self._namespace = namespace
        self._filtered = filtered
        self._turn = asyncio.Lock()
        self._schemas: RecentSchemas[tuple[int, RegisteredSchema]] = RecentSchemas()
        """By number, which never changes its meaning in a registry."""
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
            schema_id, schema = await self._known_schema(number)
            as_written = schema.kind is SchemaKind.JSON or self._place.format == "SOURCE"
            most = self._wanted_bytes(schema.kind, as_written=as_written)
            async with self._turn:
                said = await self._processes.read(self._namespace, schema_id, schema, rest, said_max_bytes=most)
            if self._filtered:
                into.known[name] = json.loads(rest if schema.kind is SchemaKind.JSON else said)
        except SchemaMissing as error:
            raise RecordRefused(GivenUp.SCHEMA_NOT_FOUND, str(error)) from error
        except LargerAsJson as error:
            why = f"its {name} is larger as JSON than an event can be"
            raise RecordRefused(GivenUp.MAXIMUM_PAYLOAD_SIZE_EXCEEDED, why) from error
        except (Undecodable, UnservedSchema, RecursionError, OverflowError) as error:
            raise RecordRefused(GivenUp.DESERIALIZATION_ERROR, f"its {name}: {error}") from error
        into.members[name] = base64.b64encode(rest if as_written else said).decode()
        into.members[f"{name}SchemaMetadata"] = {"dataFormat": schema.kind.value, "schemaId": str(number)}

    def _wanted_bytes(self, kind: SchemaKind, *, as_written: bool) -> int:
        """The most bytes of what a record says as JSON that somebody needs; 0: nobody does."""
        if kind is SchemaKind.JSON:
            return 0  # it says what it has
        if not as_written:
            return limits.SYNC_REQUEST_MAX_BYTES
        return _FILTERED_MAX_BYTES if self._filtered else 0

    async def _known_schema(self, number: int) -> tuple[int, RegisteredSchema]:
        """A schema, and its id among all; one that is missing is asked for again with the next record."""
        known = self._schemas.get(number)
        if known is None:
            known = next(_schema_ids), await self._schema(number)
            self._schemas.keep(number, known, known[1].size)
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
