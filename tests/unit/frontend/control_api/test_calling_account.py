"""Whose call of the control API a request is, before anything is proven."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.unit.frontend.empty_caches import empty_caches, nothing, nowhere

from kubelambda.api.settings import Settings
from kubelambda.callers.access_key_directory import AccessKeysView
from kubelambda.core.account.access_key import AccessKey
from kubelambda.frontend.account.forwarder import NAMESPACE
from kubelambda.frontend.control_api.calling_account import CallingAccounts
from kubelambda.frontend.invoke.request_accounts import RequestAccounts
from kubelambda.wire.request import Request
from kubelambda.wire.server import Connection

PATH = b"/2015-03-31/functions/"
SIGNED = (
    b"AWS4-HMAC-SHA256 Credential=%b/20260101/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature=" + b"0" * 64
)
QUERY = (
    b"?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDONE%2F20260101%2Fus-east-1%2Flambda%2Faws4_request"
    b"&X-Amz-Date=20260101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=" + b"0" * 64
)


def token(payload: Any) -> bytes:
    """A token as Kubernetes makes them, which nobody signed."""
    return b"Bearer e30." + base64.urlsafe_b64encode(json.dumps(payload).encode()).rstrip(b"=") + b".sig"


@pytest.fixture
async def calling() -> AsyncIterator[CallingAccounts]:
    """A frontend that knows AKIDONE of the accounts `team` and `zoo`."""
    client = nowhere()
    caches = empty_caches(client)
    for namespace in ("zoo", "team"):
        view = AccessKeysView({"AKIDONE": AccessKey("AKIDONE", "secret", namespace, "AKIDONE")}, {})
        caches.access_keys._changed((namespace, "keys"), None, view)
    yield CallingAccounts(caches.access_keys, RequestAccounts(caches, Settings(endpoint_domain="lambda.test")))
    await client.close()


@pytest.mark.parametrize(
    ("headers", "query", "namespace"),
    [
        ({}, b"", "default"),
        ({b"host": b"shop.lambda.test:80"}, b"", "shop"),
        ({b"host": b"shop.lambda.test", NAMESPACE: b"mine"}, b"", "shop"),
        ({b"authorization": SIGNED % b"AKIDONE", b"x-amz-date": b"20260101T000000Z"}, b"", "team"),
        ({b"authorization": SIGNED % b"AKIDONE"}, b"", "default"),
        ({b"authorization": SIGNED % b"AKIDONE", b"date": b"Fri, 31 Dec 9999 23:59:59 -1400"}, b"", "default"),
        ({b"authorization": SIGNED % b"AKIDTWO", b"x-amz-date": b"20260101T000000Z"}, b"", "default"),
        ({}, QUERY, "team"),
        ({b"host": b"a.lambda.test", b"authorization": token({"sub": "system:serviceaccount:ci:bot"})}, b"", "ci"),
        ({b"host": b"a.lambda.test", b"authorization": token({"sub": "jane"})}, b"", "a"),
        ({b"authorization": token({"sub": 7})}, b"", "default"),
        ({b"authorization": token({"sub": "system:serviceaccount:\ud800:bot"})}, b"", "default"),
        ({b"authorization": token([])}, b"", "default"),
        ({b"authorization": b"Bearer opaque"}, b"", "default"),
        ({b"authorization": b"Bearer a.\xff.c"}, b"", "default"),
        ({b"authorization": b"Bearer a." + base64.b64encode(b"[" * 200_000) + b".c"}, b"", "default"),
    ],
)
async def test_the_claim_of_the_caller_says_it(
    calling: CallingAccounts, headers: dict[bytes, bytes], query: bytes, namespace: str
) -> None:
    """An access key that is known, a service account's token; else the host, and nothing that a caller may invent."""
    request = Request(Connection(nothing, max_body=1), b"GET", PATH + query, headers, b"", 0)
    assert calling.namespace(request) == namespace
