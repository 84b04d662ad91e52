"""Who calls the control API with a key that its watch may not have heard of."""

import asyncio
import base64
from datetime import UTC, datetime

import pytest
from tests.eventually import eventually
from tests.unit.frontend.empty_caches import nowhere

from kubelambda.awsapi.account.caller_check import CallerCheck, Credentials
from kubelambda.awsapi.account.directory import AccountDirectory
from kubelambda.awsapi.api_settings import ApiSettings
from kubelambda.core.account.access_key import SECRET_NAME
from kubelambda.core.account.caller_refused import CallerRefused
from kubelambda.core.account.request_signing import ClientKey, Question, signed_headers
from kubelambda.core.account.sigv4 import SignedHead
from kubelambda.core.invoke import waiting_room

PATH = "/2015-03-31/functions/"


def check(mode: str = "any", accounts: AccountDirectory | None = None) -> CallerCheck:
    """Of a control API that has heard of nothing."""
    client = nowhere()
    return CallerCheck(client, accounts or AccountDirectory(client), ApiSettings(auth_mode=mode, endpoint_domain="l"))


def signed() -> SignedHead:
    """A request of the new key's holder."""
    question = Question("api", PATH, "", "us-east-1", "lambda")
    found = signed_headers(question, ClientKey("AKIDNEW", "s"), datetime.now(UTC))
    return SignedHead(b"GET", PATH.encode(), {name.encode(): value.encode() for name, value in found.items()})


async def ask(checked: CallerCheck) -> Credentials:
    """What the request proves."""
    return await checked.credentials(signed(), "lambda")


async def test_a_key_that_was_made_a_moment_ago_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until its Secret is heard of."""
    monkeypatch.setattr(waiting_room, "WAIT_S", 60.0)
    checked = check()
    asked = asyncio.create_task(ask(checked))
    await eventually(lambda: len(checked.keys.news) == 1 or asked.done())
    assert not asked.done()
    data = {"AKIDNEW": base64.b64encode(b"s").decode()}
    checked.keys.secrets._observe({"metadata": {"name": SECRET_NAME, "namespace": "n"}, "data": data}, deleted=False)
    found = await asked
    assert found.claim is not None
    assert [key.namespace for key in found.claim.keys] == ["n"]


async def test_a_key_that_nobody_has_is_refused_after_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As AWS does it."""
    monkeypatch.setattr(waiting_room, "WAIT_S", 0.1)
    with pytest.raises(CallerRefused, match="security token included in the request is invalid"):
        await ask(check())


async def test_nobody_waits_where_no_proof_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients sign there with whatever they have."""
    monkeypatch.setattr(waiting_room, "WAIT_S", 60.0)
    async with asyncio.timeout(30):
        assert (await ask(check("none"))).refusal is not None


async def test_a_namespace_that_was_made_a_moment_ago_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it is heard of: it is the account of the call, by its host."""
    monkeypatch.setattr(waiting_room, "WAIT_S", 60.0)
    accounts = AccountDirectory(nowhere())
    asked = asyncio.create_task(check("none", accounts).account(Credentials(), "new.l:8080"))
    await eventually(lambda: len(accounts._news) == 1 or asked.done())
    assert not asked.done()
    for name in ("old", "new"):
        accounts.namespaces._observe({"metadata": {"name": name, "uid": f"uid-of-{name}"}}, deleted=False)
    found = await asked
    assert found is not None
    assert found.namespace == "new"


async def test_a_namespace_that_nobody_makes_is_waited_for_no_longer_than_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Then there is no account that the call could come from."""
    monkeypatch.setattr(waiting_room, "WAIT_S", 0.1)
    assert await check("none").account(Credentials(), "never.l") is None
