"""Asks a registry for schemas by their numbers, by Confluent's protocol (§7.5.6)."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import quote

import aiohttp
from pydantic import IPvAnyNetwork

from kubelambda.api.reasons import Reason
from kubelambda.core.mapping.avro_schema import UnservedSchema
from kubelambda.core.mapping.schema_place import SchemaPlace
from kubelambda.outbound.guarded_sockets import outside
from kubelambda.outbound.registry_session import UnreadableDocument, json_document, limited_body
from kubelambda.pollers.schemas.registered_schema import RegisteredSchema, SchemaKind, SchemaReference
from kubelambda.pollers.sources.asked_endpoint import asking
from kubelambda.pollers.sources.source_unreachable import SourceUnreachable
from kubelambda.pollers.sources.tls_login import TlsLogin

_TIMEOUT: Final = aiohttp.ClientTimeout(total=20, connect=10)
_REFERENCES_MAX: Final = 200
_DEPTH_MAX: Final = 20
_TEXT_MAX_CHARS: Final = 4 << 20
"""Of a schema with all that it refers to."""
_SCHEMA_S: Final = 20.0
"""For a schema with all that it refers to: whoever waits for it cannot give its partition away."""
_MISSING: Final = (40401, 40402, 40403)
"""The protocol's words for a subject, a version or a schema that is not there: any other 404 is of somebody else."""
_NOT_CONNECTED: Final = "PROBLEM: Lambda failed to connect to the schema registry"
_REFUSED: Final = "PROBLEM: The schema registry failed to authenticate Lambda"


class SchemaMissing(Exception):
    """The registry has no such schema."""


class SchemaRegistry:
    """A registry, as `schema_registry` opens it."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def schema(self, number: int) -> RegisteredSchema:
        """A schema with all that it refers to. Raises `SchemaMissing`, `UnservedSchema` or `SourceUnreachable`."""
        try:
            async with asyncio.timeout(_SCHEMA_S):
                return await self._schema(number)
        except TimeoutError as error:
            raise _unreachable(
                f"schema {number} and those that it refers to take more than {_SCHEMA_S:.0f} s"
            ) from error

    async def _schema(self, number: int) -> RegisteredSchema:
        path = f"/schemas/ids/{number}"
        found = await self._document(path)
        try:
            kind = SchemaKind(found.get("schemaType") or SchemaKind.AVRO)
        except ValueError as error:
            raise UnservedSchema(
                f"schema {number} is of a kind that is not served: {found['schemaType']}"[:500]
            ) from error
        if kind is SchemaKind.PROTOBUF:  # its text is for compilers: the registry has compiled it
            found = await self._document(path, kind)
        references: dict[str, SchemaReference] = {}
        await self._follow(found, kind, references, 0)
        try:
            for text in (found["schema"], *references, *(each.text for each in references.values())):
                text.encode()
        except UnicodeEncodeError as error:  # no process could be told of it
            raise UnservedSchema("it or what it refers to has half a character") from error
        return RegisteredSchema(kind, found["schema"], tuple(references.values()))

    async def _follow(
        self, document: Mapping[str, Any], kind: SchemaKind, into: dict[str, SchemaReference], depth: int
    ) -> None:
        """Reads what a schema refers to, what is needed first before what needs it."""
        references = document.get("references") or ()
        if not isinstance(references, list | tuple):
            raise UnservedSchema("it has references that are no list")
        for each in references:
            try:
                name, subject, version = str(each["name"]), quote(str(each["subject"]), safe=""), int(each["version"])
            except (KeyError, TypeError, ValueError) as error:
                raise UnservedSchema("it has a reference that names no schema") from error
            if name in into:
                continue
            if depth > _DEPTH_MAX or len(into) >= _REFERENCES_MAX:
                raise UnservedSchema("it refers to too many schemas")
            found = await self._document(f"/subjects/{subject}/versions/{version}", kind)
            await self._follow(found, kind, into, depth + 1)
            into[name] = SchemaReference(name, found["schema"])
            if sum(len(known.text) for known in into.values()) > _TEXT_MAX_CHARS:
                raise UnservedSchema(f"it and what it refers to have more than {_TEXT_MAX_CHARS} characters")

    async def _document(self, path: str, kind: SchemaKind | None = None) -> Mapping[str, Any]:
        query = {"format": "serialized"} if kind is SchemaKind.PROTOBUF else None
        with asking(certificate="the schema registry's certificate", refused=_REFUSED, unreachable=_unreachable):
            async with self._session.get(f"{self._url}{path}", params=query, allow_redirects=False) as answer:
                if answer.status in (401, 403):
                    why = f"the schema registry does not take who we are: it answers {answer.status}"
                    raise SourceUnreachable(why, reason=Reason.SOURCE_AUTHENTICATION_FAILED, result=_REFUSED)
                if answer.status not in (200, 404):
                    raise _unreachable(f"it answers {answer.status} for {path}")
                try:
                    found = json_document(await limited_body(answer))
                except UnreadableDocument as error:
                    raise _unreachable(str(error)) from error
        if answer.status == 200:
            if not isinstance(found.get("schema"), str):  # records must not be given up for it
                raise _unreachable(f"it answers with something else than a schema for {path}")
            return found
        if found.get("error_code") in _MISSING:
            raise SchemaMissing(f"the schema registry has no {path}")
        raise _unreachable(f"nothing is at {path}")


def _unreachable(why: str) -> SourceUnreachable:
    return SourceUnreachable(f"the schema registry cannot be asked: {why}", result=_NOT_CONNECTED)


@asynccontextmanager
async def schema_registry(
    place: SchemaPlace, login: TlsLogin, refused: Sequence[IPvAnyNetwork] = ()
) -> AsyncIterator[SchemaRegistry]:
    """The registry of a mapping, which is not in `refused`. Raises `SourceUnreachable`."""
    context: ssl.SSLContext | bool = True
    if place.url.startswith("https:"):
        context = login.context(place.certificate_secret or place.authority_secret)
    connector = aiohttp.TCPConnector(limit=8, ssl=context, socket_factory=outside(refused))
    headers = {}
    if login.username is not None:
        user = base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
        headers["Authorization"] = f"Basic {user}"
    async with aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT, headers=headers) as session:
        yield SchemaRegistry(session, place.url)
