"""Asynchronous invocation on the real cluster: accepted is durable, tried again, and destinations are told (§6)."""

import base64
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from installation.account import Account
from installation.held import HELD_S, HOLD, Held
from installation.kubectl import eventually

KEEPER = (
    HOLD
    + """
SEEN = []
def handler(event, context):
    if event and event.get("hold"):
        return hold(event["hold"])
    if event and event.get("ask"):
        return SEEN
    SEEN.append({"event": event, "id": context.aws_request_id})
    if event and event.get("fail"):
        raise RuntimeError("as asked")
    return {"kept": len(SEEN)}
"""
)
"""Keeps what it is given in one environment (reserved concurrency 1), and tells when asked."""


@pytest.fixture(scope="module")
def keeper(account: Account) -> str:
    """A function that remembers its events."""
    account.function("keeper", KEEPER, reservedConcurrentExecutions=1)
    return "keeper"


def send(account: Account, name: str, event: Any) -> Any:
    """Invokes as an event."""
    return account.client.invoke(FunctionName=account.arn(name), InvocationType="Event", Payload=json.dumps(event))


def seen(account: Account, name: str) -> list[Any]:
    """What the function was given. It has one environment, which may be busy with an event just now."""

    def asked() -> list[list[Any]]:
        try:
            return [account.invoke(name, {"ask": True})["Payload"]]
        except account.client.exceptions.TooManyRequestsException:
            return []

    (found,) = eventually(asked)
    assert isinstance(found, list), found
    return found


def test_an_event_is_accepted_at_once_and_run_with_its_request_id(account: Account, keeper: str) -> None:
    """202, no body, no version; the function sees the id that the caller got."""
    answer = send(account, keeper, {"number": 1})
    assert (answer["StatusCode"], answer["Payload"].read()) == (202, b"")
    assert "ExecutedVersion" not in answer
    request_id = answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"]
    found = eventually(lambda: [each for each in seen(account, keeper) if each["event"] == {"number": 1}])
    assert found == [{"event": {"number": 1}, "id": request_id}]
    assert account.client.invoke_async(FunctionName=account.arn(keeper), InvokeArgs=b'{"old": 1}')["Status"] == 202
    assert eventually(lambda: [each for each in seen(account, keeper) if each["event"] == {"old": 1}])


def test_what_is_no_event_is_refused(account: Account, keeper: str) -> None:
    """Before it is accepted: no JSON, too large, no such function."""
    client, name = account.client, account.arn(keeper)
    for payload, code in (
        (b"{", "InvalidRequestContentException"),
        (b'"' + b"x" * 1_048_577 + b'"', "RequestTooLargeException"),
    ):
        with pytest.raises(ClientError) as raised:
            client.invoke(FunctionName=name, InvocationType="Event", Payload=payload)
        assert code == raised.value.response["Error"]["Code"]
    with pytest.raises(ClientError) as raised:
        client.invoke(FunctionName=account.arn("nobody"), InvocationType="Event", Payload=b"{}")
    assert raised.value.response["Error"]["Code"] == "ResourceNotFoundException"


def test_a_destination_is_told_how_an_event_ended(account: Account, keeper: str) -> None:
    """Both ways, with Lambda's record; a failing event without retries is over at once."""
    config = {
        "maximumRetryAttempts": 0,
        "destinationConfig": {
            "onSuccess": {"destination": account.arn(keeper)},
            "onFailure": {"destination": account.arn(keeper)},
        },
    }
    code = "def handler(event, context):\n    return {'twice': event['number'] * 2}"
    account.function("doubler", code, eventInvokeConfig=config)
    good = send(account, "doubler", {"number": 21})["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"]
    bad = send(account, "doubler", {"no": "number"})["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"]

    def records() -> dict[str, Any]:
        found = [each["event"] for each in seen(account, keeper) if "requestContext" in (each["event"] or {})]
        return {record["requestContext"]["requestId"]: record for record in found}

    found = eventually(lambda: records() if {good, bad} <= records().keys() else {})
    assert found[good]["requestContext"]["condition"] == "Success"
    assert found[good]["responsePayload"] == {"twice": 42}
    assert found[bad]["requestContext"]["condition"] == "RetriesExhausted"
    assert found[bad]["requestContext"]["approximateInvokeCount"] == 1
    assert found[bad]["requestPayload"] == {"no": "number"}
    assert found[bad]["responsePayload"]["errorType"] == "KeyError"


def test_events_wait_for_a_function_that_is_throttled(account: Account) -> None:
    """Reserved concurrency of one, held by a slow call: events are late, none is lost, callers never see a 429."""
    account.function("narrow", KEEPER, timeout=HELD_S, reservedConcurrentExecutions=1)
    numbers = list(range(8))
    with Held(account, "slow") as held:
        held.invoke("narrow")
        eventually(lambda: held.inside() == 1)
        for number in numbers:
            assert send(account, "narrow", {"number": number})["StatusCode"] == 202
        assert not held.ended

    def all_there() -> bool:
        try:
            found = seen(account, "narrow")
        except (AssertionError, ClientError):
            return False
        return sorted(each["event"]["number"] for each in found) == numbers

    eventually(all_there, timeout=240, interval=1)


def test_the_log_tail_is_not_offered(account: Account, keeper: str) -> None:
    """LogType Tail is for synchronous invocations (§2.2)."""
    answer = account.client.invoke(
        FunctionName=account.arn(keeper), InvocationType="Event", LogType="Tail", Payload=b"{}"
    )
    assert "LogResult" not in answer
    assert base64.b64decode(answer.get("LogResult", "")) == b""
