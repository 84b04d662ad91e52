"""Which destinations name EventTargets, and what is said of those that are not there."""

from typing import Any

import pytest

from kubelambda.core.event.named_targets import TargetFacts, destinations_fact, named_targets

THERE, NOWHERE = TargetFacts("u", nameable=True), TargetFacts("u", nameable=False)


@pytest.mark.parametrize(
    ("config", "names"),
    [
        ({}, ()),
        ({"onFailure": {"destination": "sink"}}, ("sink",)),
        ({"onSuccess": {"destination": "sink"}, "onFailure": {"destination": "bin"}}, ("bin", "sink")),
        ({"onSuccess": {"destination": "sink"}, "onFailure": {"destination": "sink"}}, ("sink",)),
        ({"onFailure": {"destination": "arn:aws:sqs:us-east-1:123456789012:queue"}}, ()),
        ({"onFailure": {"destination": "arn:aws:s3:::bucket"}}, ()),
        ({"onFailure": {"destination": "kafka://failed"}}, ()),
    ],
)
def test_names_are_no_arns_and_no_topics(config: dict[str, Any], names: tuple[str, ...]) -> None:
    """Of asynchronous invocations, and of a mapping."""
    assert named_targets({"destinationConfig": config}) == names
    assert named_targets({"eventInvokeConfig": {"destinationConfig": config}}) == names
    assert named_targets({"deadLetterConfig": {"targetArn": "arn:aws:sqs:us-east-1:123456789012:queue"}}) == ()


def test_all_that_is_missing_is_named() -> None:
    """And what is no place of its own."""
    fact = destinations_fact({"bin": None, "queues": NOWHERE, "sink": THERE})
    text = "there is no EventTarget bin; EventTarget queues has no arn: it can only be where other ARNs are"
    assert fact == ("DestinationsReady", "False", "TargetNotFound", text)
    assert destinations_fact({"sink": THERE}) == ("DestinationsReady", "True", "TargetsFound", "sink")
    assert destinations_fact({}) is None
