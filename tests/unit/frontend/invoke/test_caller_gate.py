"""What callers are told where their right to call cannot be looked at."""

import asyncio
from typing import Any, cast

import pytest
from tests.unit.frontend.empty_caches import empty_caches, nothing, nowhere

from kubelambda.api.settings import Settings
from kubelambda.callers.audit_log import AuditLog, standard_output
from kubelambda.callers.kubernetes_reviews import KubernetesReviews
from kubelambda.core.account.caller import AuthMode
from kubelambda.frontend.invoke import invoke_request
from kubelambda.frontend.invoke.caller_gate import CallerGate
from kubelambda.frontend.invoke.request_accounts import RequestAccounts
from kubelambda.frontend.invoke.url_gate import Proof, UrlCall
from kubelambda.wire.protocol import ServerProtocol
from kubelambda.wire.request import Request


class Told(ServerProtocol):
    """A connection whose caller is told something."""

    def __init__(self) -> None:
        super().__init__(nothing, max_body=0)
        self.status = asyncio.get_running_loop().create_future()

    def respond(self, request: Request, status: int, body: bytes = b"", headers: bytes = b"") -> None:
        """The whole answer."""
        self.status.set_result(status)


@pytest.mark.parametrize("where", ["token", "right", "url"])
async def test_a_fault_of_a_review_is_answered(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Whatever the API server says of a token or a right that nobody can read: its caller does not wait for ever."""

    async def create(_: KubernetesReviews, _resource: object, spec: dict[str, Any]) -> dict[str, Any]:
        if "token" in spec and where == "right":
            return {"authenticated": True, "user": {"username": "somebody"}}
        raise ValueError("that is no review")

    monkeypatch.setattr(KubernetesReviews, "_create", create)
    client, settings = nowhere(), Settings()
    caches = empty_caches(client)
    gate = CallerGate(client, caches, settings, AuditLog(standard_output, nothing), RequestAccounts(caches, settings))
    gate._mode = AuthMode.TOKEN
    told = Told()
    headers = {b"host": b"x", b"authorization": b"Bearer a.b.c"}
    request = Request(told, b"POST", b"/2015-03-31/functions/f/invocations", headers, b"", 0)
    async with asyncio.timeout(60):
        if where == "url":
            gate.of_urls.decide(Proof(token="a.b.c"), request, cast("UrlCall", None), nothing)
        else:
            check = gate(request, invoke_request.parse_call(request), "id", None)
            assert check is not None
            check(request, nothing)
        assert await told.status == 500
    await client.close()
