"""Resource policies by the control API: added, read, removed (§1.1, §1.3)."""

import json

from tests.integration.control_api.control_api import Api

SERVICE = {
    "StatementId": "bucket",
    "Action": "lambda:InvokeFunction",
    "Principal": "s3.amazonaws.com",
    "SourceArn": "arn:aws:s3:::photos",
    "SourceAccount": "123456789012",
}


def test_a_permission_is_a_statement_of_the_policy(api: Api) -> None:
    """Principal and conditions as IAM writes them."""
    api.active("hello")
    added = api.function("POST", "hello", "/policy", SERVICE)
    wanted = {
        "Sid": "bucket",
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": api.arn("hello"),
        "Condition": {
            "StringEquals": {"AWS:SourceAccount": "123456789012"},
            "ArnLike": {"AWS:SourceArn": "arn:aws:s3:::photos"},
        },
    }
    assert (added.status, json.loads(added.body["Statement"])) == (201, wanted)
    more = {"StatementId": "account", "Action": "lambda:InvokeFunction", "Principal": "210987654321"}
    assert api.function("POST", "hello", "/policy", more).status == 201
    policy = json.loads(api.function("GET", "hello", "/policy").body["Policy"])
    assert policy["Statement"][0] == wanted
    assert policy["Statement"][1]["Principal"] == {"AWS": "arn:aws:iam::210987654321:root"}


def test_a_statement_id_is_unique_and_removed_once(api: Api) -> None:
    """409 for the second, 404 for the second removal."""
    api.active("hello")
    assert api.function("POST", "hello", "/policy", SERVICE).status == 201
    again = api.function("POST", "hello", "/policy", SERVICE)
    assert (again.status, again.error) == (409, "ResourceConflictException")
    assert again.text.startswith("The statement id (bucket) provided already exists.")
    missing = api.function("DELETE", "hello", "/policy/other")
    assert missing.text == "Statement other is not found in resource policy."
    assert api.function("DELETE", "hello", "/policy/bucket").status == 204
    assert api.function("DELETE", "hello", "/policy/bucket").text == "No policy is associated with the given resource."


def test_the_revision_of_a_policy_is_its_own(api: Api) -> None:
    """412 names GetPolicy."""
    api.active("hello")
    api.function("POST", "hello", "/policy", SERVICE)
    revision = api.function("GET", "hello", "/policy").body["RevisionId"]
    other = SERVICE | {"StatementId": "other", "RevisionId": "stale"}
    refused = api.function("POST", "hello", "/policy", other)
    assert (refused.status, refused.error) == (412, "PreconditionFailedException")
    assert "Call the GetPolicy API" in refused.text
    assert api.function("POST", "hello", "/policy", other | {"RevisionId": revision}).status == 201


def test_a_policy_has_a_limit(api: Api) -> None:
    """Twenty kilobytes."""
    api.active("hello")
    large = SERVICE | {"SourceArn": "arn:aws:s3:::" + "x" * 1900}
    answers = [api.function("POST", "hello", "/policy", large | {"StatementId": f"s{number}"}) for number in range(11)]
    assert {each.status for each in answers[:9]} == {201}
    assert answers[-1].error == "PolicyLengthExceededException"
