"""Which requests are for function URLs."""

import contextlib
from collections.abc import AsyncIterator

import pytest

from kubelambda.api.settings import Settings
from kubelambda.callers.audit_log import AuditLog, standard_output
from kubelambda.frontend.cluster.caches import Caches
from kubelambda.frontend.invoke.caller_gate import CallerGate
from kubelambda.frontend.invoke.request_accounts import RequestAccounts
from kubelambda.frontend.invoke.url_door import UrlDoor
from kubelambda.kube.api_server import Server
from kubelambda.kube.kube_client import KubeClient
from kubelambda.wire.connections import Connections
from kubelambda.wire.protocol import ServerProtocol
from kubelambda.wire.request import Request

END = b".lambda-url.us-east-1.lambda.internal"


async def anonymous() -> dict[str, str]:
    """No credentials."""
    return {}


def nothing(*_: object) -> None:
    """Takes whatever it is told."""


@contextlib.asynccontextmanager
async def url_door() -> AsyncIterator[UrlDoor]:
    """The door of a frontend that knows nothing yet."""
    client, settings = KubeClient(Server("http://127.0.0.1:9", None, anonymous)), Settings()
    caches = Caches(
        client,
        system_namespace="system",
        service="frontend",
        control_api_service="control-api",
        on_function=nothing,
        on_pod=nothing,
        on_namespace=nothing,
        on_published=nothing,
        on_members=nothing,
        on_endpoints=nothing,
    )
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
