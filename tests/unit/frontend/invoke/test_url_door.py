"""Which requests are for function URLs."""

import contextlib
from collections.abc import AsyncIterator

import pytest
from tests.unit.frontend.empty_caches import empty_caches, nothing, nowhere

from kubelambda.api.settings import Settings
from kubelambda.callers.audit_log import AuditLog, standard_output
from kubelambda.frontend.invoke.caller_gate import CallerGate
from kubelambda.frontend.invoke.request_accounts import RequestAccounts
from kubelambda.frontend.invoke.url_door import UrlDoor
from kubelambda.wire.connections import Connections
from kubelambda.wire.protocol import ServerProtocol
from kubelambda.wire.request import Request

END = b".lambda-url.us-east-1.lambda.internal"


@contextlib.asynccontextmanager
async def url_door() -> AsyncIterator[UrlDoor]:
    """The door of a frontend that knows nothing yet."""
    client, settings = nowhere(), Settings()
    caches = empty_caches(client)
    audit = AuditLog(standard_output, nothing)
    gate = CallerGate(client, caches, settings, audit, RequestAccounts(caches, settings)).of_urls
    yield UrlDoor(caches, settings, gate=gate, audit=audit, invoke=nothing, synced=lambda: True)
    await client.close()


@pytest.mark.parametrize(
    ("host", "found"),
    [
        (b"abc" + END, "abc"),
        (b"ABC" + END.upper() + b":8080", "abc"),
        (b"a" * 5000 + END, "a" * 5000),
        (b"abc.lambda.internal", None),
        (b"127.0.0.1:8080", None),
    ],
)
async def test_hosts_say_which_requests_are_for_urls(host: bytes, found: str | None) -> None:
    """In capitals too, and however long: the same again when the same host comes again."""
    connection = ServerProtocol(nothing, max_body=0, connections=Connections())
    request = Request(connection, b"GET", b"/", {b"host": host}, b"", 0)
    async with url_door() as door:
        assert [door.id_of(request) for _ in range(3)] == [found] * 3
