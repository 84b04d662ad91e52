"""Retries and destinations of asynchronous invocations by the control API (§6.5)."""

import time

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
        "MaximumEventAgeInSeconds": 21600,
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


def test_destinations_that_are_not_served_are_refused(api: Api) -> None:
    """With the words of the kind, and nothing is changed."""
    api.active("hello")
    destination = {"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:123456789012:queue"}}
    refused = api.function("PUT", "hello", PATH, {"DestinationConfig": destination}, date=DATE)
    assert (refused.status, refused.error) == (400, "InvalidParameterValueException")
    assert api.function("GET", "hello", PATH, date=DATE).status == 404
