"""Retries and destinations of asynchronous invocations by the control API (§6.5)."""

import time
from urllib.parse import quote

from tests.integration.control_api.control_api import Api

DATE = "2019-09-25"
PATH = "/event-invoke-config"


def test_put_replaces_update_merges_delete_forgets(api: Api) -> None:
    """As recorded: empty destinations are shown, and LastModified is a number."""
    api.active("hello")
    api.active("other")
    destination = {"OnFailure": {"Destination": api.arn("other")}}
    put = api.function("PUT", "hello", PATH, {"MaximumRetryAttempts": 1, "DestinationConfig": destination}, date=DATE)
    assert put.status == 200
    assert abs(put.body.pop("LastModified") - time.time()) < 600
    assert put.body == {
        "FunctionArn": f"{api.arn('hello')}:$LATEST",
        "MaximumRetryAttempts": 1,
        "DestinationConfig": {"OnSuccess": {}, "OnFailure": {"Destination": api.arn("other")}},
    }
    updated = api.function("POST", "hello", PATH, {"MaximumEventAgeInSeconds": 60}, date=DATE)
    assert (updated.body["MaximumRetryAttempts"], updated.body["MaximumEventAgeInSeconds"]) == (1, 60)
    assert updated.body["DestinationConfig"]["OnFailure"] == {"Destination": api.arn("other")}
    replaced = api.function("PUT", "hello", PATH, {"MaximumRetryAttempts": 0}, date=DATE)
    assert replaced.body["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {}}
    found = api.function("GET", "hello", PATH, date=DATE)
    assert (found.status, found.body["MaximumRetryAttempts"]) == (200, 0)
    listed = api.function("GET", "hello", f"{PATH}/list", date=DATE).body["FunctionEventInvokeConfigs"]
    assert [each["FunctionArn"] for each in listed] == [f"{api.arn('hello')}:$LATEST"]
    assert api.function("DELETE", "hello", PATH, date=DATE).status == 204
    missing = api.function("GET", "hello", PATH, date=DATE)
    assert missing.text == f"The function {api.arn('hello')}:$LATEST doesn't have an EventInvokeConfig"
    assert api.function("DELETE", "hello", PATH, date=DATE).status == 404


def test_each_qualifier_has_its_own(api: Api) -> None:
    """A version's and an alias's are by themselves, and none inherits (§6.5)."""
    api.active("hello")
    api.function("POST", "hello", "/versions", {})
    api.function("POST", "hello", "/aliases", {"Name": "live", "FunctionVersion": "1"})
    for number, qualifier in enumerate(("$LATEST", "1", "live")):
        path = f"{PATH}?Qualifier={quote(qualifier)}"
        put = api.function("PUT", "hello", path, {"MaximumRetryAttempts": number}, date=DATE)
        assert (put.status, put.body["FunctionArn"]) == (200, f"{api.arn('hello')}:{qualifier}")
    found = api.function("GET", "hello:live", PATH, date=DATE).body
    assert (found["MaximumRetryAttempts"], found["FunctionArn"]) == (2, f"{api.arn('hello')}:live")
    listed = api.function("GET", "hello", f"{PATH}/list", date=DATE).body["FunctionEventInvokeConfigs"]
    assert [each["FunctionArn"].rpartition(":")[2] for each in listed] == ["$LATEST", "1", "live"]
    page = api.function("GET", "hello", f"{PATH}/list?MaxItems=2", date=DATE).body
    assert (len(page["FunctionEventInvokeConfigs"]), page["NextMarker"]) == (2, "2")
    assert api.function("DELETE", "hello", f"{PATH}?Qualifier=1", date=DATE).status == 204
    missing = api.function("GET", "hello", f"{PATH}?Qualifier=1", date=DATE)
    assert missing.text == f"The function {api.arn('hello')}:1 doesn't have an EventInvokeConfig"
    assert api.function("GET", "hello", f"{PATH}?Qualifier=live", date=DATE).status == 200


def test_destinations_that_are_none_are_refused(api: Api) -> None:
    """With Lambda's words (Appendix A), and nothing is changed."""
    api.active("hello")
    absent, role = api.arn("absent"), "arn:aws:iam:us-east-1:123456789012:function:hello"
    refusals = {
        absent: f"The destination ARN {absent} is invalid.",
        role: "The provided destination config DestinationConfig("
        f"onSuccess=OnSuccess(destination={role}), onFailure=null) is invalid.",
        api.arn("hello"): "You can't specify the function as a destination for itself.",
    }
    for arn, text in refusals.items():
        config = {"DestinationConfig": {"OnSuccess": {"Destination": arn}}}
        refused = api.function("PUT", "hello", PATH, config, date=DATE)
        assert (refused.status, refused.error, refused.text) == (400, "InvalidParameterValueException", text)
    assert api.function("GET", "hello", PATH, date=DATE).status == 404
    queue = {"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:123456789012:queue"}}
    assert api.function("PUT", "hello", PATH, {"DestinationConfig": queue}, date=DATE).status == 200
