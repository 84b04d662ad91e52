"""Versions, aliases and provisioned concurrency by the control API, with the real operator (§1.5, §5.4, §5.5)."""

import base64
import re
from typing import Any

from tests.integration.control_api.control_api import Answered, Api, zipped
from tests.integration.functions import eventually

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000")
PROVISIONED = "/provisioned-concurrency"
DATE = "2019-09-30"


def publish(api: Api, name: str, **members: Any) -> Answered:
    """PublishVersion."""
    return api.function("POST", name, "/versions", members)


def update(api: Api, name: str, text: str, **members: Any) -> Answered:
    """UpdateFunctionCode."""
    code = base64.b64encode(zipped(text)).decode()
    return api.function("PUT", name, "/code", {"ZipFile": code, **members})


def test_publishing_gives_numbers_and_the_same_one_when_nothing_changed(api: Api) -> None:
    """1, 1 again, and 2 after a change; the first stays what it was (§1.5.1)."""
    api.active("hello", code=zipped("x = 1"))
    first = publish(api, "hello", Description="the first")
    assert (first.status, first.body["Version"], first.body["Description"]) == (201, "1", "the first")
    assert first.body["FunctionArn"] == f"{api.arn('hello')}:1"
    again = publish(api, "hello")
    assert (again.status, again.body["Version"]) == (201, "1")
    assert update(api, "hello", "x = 2").status == 200
    latest = api.settled("hello")
    second = publish(api, "hello", CodeSha256=latest["CodeSha256"])
    assert (second.body["Version"], second.body["CodeSha256"]) == ("2", latest["CodeSha256"])
    kept = api.function("GET", "hello", "?Qualifier=1").body["Configuration"]
    assert (kept["CodeSha256"], kept["State"]) == (first.body["CodeSha256"], "Active")
    listed = api.function("GET", "hello", "/versions").body["Versions"]
    assert [each["Version"] for each in listed] == ["$LATEST", "1", "2"]
    assert listed[0]["FunctionArn"] == f"{api.arn('hello')}:$LATEST"
    every = api.call("GET", "/2015-03-31/functions?FunctionVersion=ALL").body["Functions"]
    assert [each["Version"] for each in every] == ["$LATEST", "1", "2"]


def test_create_and_update_can_publish(api: Api) -> None:
    """Publish answers with the version once it is there."""
    created = api.create("hello", zipped("x = 1"), Publish=True)
    assert (created.status, created.body["Version"]) == (201, "1")
    updated = update(api, "hello", "x = 2", Publish=True)
    assert (updated.status, updated.body["Version"]) == (200, "2")


def test_a_version_can_be_deleted_unless_an_alias_uses_it(api: Api) -> None:
    """409, then 204, then 404; its number is never used again (§1.5.3)."""
    api.create("hello", zipped("x = 1"), Publish=True)
    alias = {"Name": "live", "FunctionVersion": "1"}
    assert api.function("POST", "hello", "/aliases", alias).status == 201
    assert api.function("DELETE", "hello", "?Qualifier=1").status == 409
    assert api.function("DELETE", "hello", "/aliases/live").status == 204
    assert api.function("DELETE", "hello", "?Qualifier=1").status == 204
    missing = api.function("GET", "hello", "?Qualifier=1")
    assert (missing.status, missing.text) == (404, f"Function not found: {api.arn('hello')}:1")
    assert update(api, "hello", "x = 2", Publish=True).body["Version"] == "2"


def test_an_alias_from_create_to_delete(api: Api) -> None:
    """Made, read, moved with weights, listed, deleted (§1.5.2)."""
    api.create("hello", zipped("x = 1"), Publish=True)
    assert update(api, "hello", "x = 2", Publish=True).body["Version"] == "2"
    created = api.function("POST", "hello", "/aliases", {"Name": "Live_1", "FunctionVersion": "1", "Description": "d"})
    assert created.status == 201
    revision = created.body.pop("RevisionId")
    arn = f"{api.arn('hello')}:Live_1"
    assert created.body == {"AliasArn": arn, "Name": "Live_1", "FunctionVersion": "1", "Description": "d"}
    again = api.function("POST", "hello", "/aliases", {"Name": "Live_1", "FunctionVersion": "1"})
    assert (again.status, again.text) == (409, f"Alias already exists: {arn}")
    weights = {"AdditionalVersionWeights": {"1": 0.25}}
    change = {"FunctionVersion": "2", "RoutingConfig": weights, "RevisionId": revision}
    moved = api.function("PUT", "hello", "/aliases/Live_1", change)
    assert (moved.status, moved.body["FunctionVersion"], moved.body["RoutingConfig"]) == (200, "2", weights)
    stale = api.function("PUT", "hello", "/aliases/Live_1", {"Description": "x", "RevisionId": revision})
    assert (stale.status, stale.error) == (412, "PreconditionFailedException")
    wrong = {"RoutingConfig": {"AdditionalVersionWeights": {"2": 0.5}}}
    included = api.function("PUT", "hello", "/aliases/Live_1", wrong)
    text = "Invalid function version 2. Function version 2 is already included in routing configuration."
    assert (included.status, included.text) == (400, text)
    found = api.function("GET", "hello", "?Qualifier=Live_1").body["Configuration"]
    assert (found["Version"], found["FunctionArn"]) == ("2", arn)
    cleared = api.function("PUT", "hello", "/aliases/Live_1", {"RoutingConfig": {"AdditionalVersionWeights": {}}})
    assert "RoutingConfig" not in cleared.body
    listed = api.function("GET", "hello", "/aliases").body["Aliases"]
    assert [each["Name"] for each in listed] == ["Live_1"]
    assert api.function("GET", "hello", "/aliases?FunctionVersion=1").body["Aliases"] == []
    assert api.function("DELETE", "hello", "/aliases/Live_1").status == 204
    assert api.function("GET", "hello", "/aliases/Live_1").status == 404


async def test_provisioned_concurrency_of_an_alias(api: Api) -> None:
    """Asked for, in progress, listed, exclusive with its version, and taken back (§5.4, §5.5)."""
    api.create("hello", zipped("x = 1"), Publish=True)
    api.function("POST", "hello", "/aliases", {"Name": "live", "FunctionVersion": "1"})
    path = f"{PROVISIONED}?Qualifier=live"
    missing = api.function("GET", "hello", path, date=DATE)
    assert (missing.status, missing.error) == (404, "ProvisionedConcurrencyConfigNotFoundException")
    assert missing.text == "No Provisioned Concurrency Config found for this function"
    put = api.function("PUT", "hello", path, {"ProvisionedConcurrentExecutions": 2}, date=DATE)
    assert put.status == 202
    asked_for = put.body.pop("LastModified")
    assert TIME.fullmatch(asked_for)
    assert put.body == {
        "RequestedProvisionedConcurrentExecutions": 2,
        "AvailableProvisionedConcurrentExecutions": 0,
        "AllocatedProvisionedConcurrentExecutions": 0,
        "Status": "IN_PROGRESS",
    }
    listed = api.function("GET", "hello", f"{PROVISIONED}?List=ALL", date=DATE).body["ProvisionedConcurrencyConfigs"]
    assert [each["FunctionArn"] for each in listed] == [f"{api.arn('hello')}:live"]
    decided = await eventually(
        lambda: (api.function("GET", "hello", path, date=DATE).body["LastModified"]).removesuffix(asked_for)
    )
    assert TIME.fullmatch(decided), decided
    version = f"{PROVISIONED}?Qualifier=1"
    refused = api.function("PUT", "hello", version, {"ProvisionedConcurrentExecutions": 1}, date=DATE)
    assert (refused.status, refused.text) == (409, "Version is pointed by a Provisioned Concurrency alias")
    assert api.function("DELETE", "hello", path, date=DATE).status == 204
    assert api.function("GET", "hello", path, date=DATE).status == 404


def test_provisioned_concurrency_fits_into_the_reservation(api: Api) -> None:
    """Neither may it grow beyond that, nor that shrink below it (§5.3, §5.4)."""
    api.create("hello", zipped("x = 1"), Publish=True)
    reserve = "/concurrency"
    api.function("PUT", "hello", reserve, {"ReservedConcurrentExecutions": 3}, date="2017-10-31")
    path = f"{PROVISIONED}?Qualifier=1"
    refused = api.function("PUT", "hello", path, {"ProvisionedConcurrentExecutions": 4}, date=DATE)
    assert refused.status == 400
    assert refused.text.startswith(
        "Requested Provisioned Concurrency should not be greater than the reservedConcurrent"
    )
    assert api.function("PUT", "hello", path, {"ProvisionedConcurrentExecutions": 2}, date=DATE).status == 202
    refused = api.function("PUT", "hello", reserve, {"ReservedConcurrentExecutions": 1}, date="2017-10-31")
    text = " ReservedConcurrentExecutions  1 should not be lower than function's total provisioned concurrency [2]."
    assert (refused.status, refused.text) == (400, text)
