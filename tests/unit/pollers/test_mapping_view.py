"""What a poller keeps of a mapping: a change of it begins the poller anew, and its own reports are none."""

from typing import Any

import pytest

from kubelambda.core.mapping.mq_place import BrokerEngine, MqPlace
from kubelambda.pollers.mapping_view import mapping_view, timeout_view, watched_mapping

CREATED = "2026-01-02T03:04:05Z"
ARN = "arn:aws:lambda:us-east-1:123456789012:function:hello:live"


def body(**changed: Any) -> dict[str, Any]:
    """A mapping as the operator has found it good; `changed` are members of its status."""
    return {
        "metadata": {
            "uid": "uid",
            "namespace": "shop",
            "name": "orders",
            "generation": 2,
            "creationTimestamp": CREATED,
        },
        "spec": {
            "functionName": "hello:live",
            "eventSourceArn": "arn:aws:sqs:us-east-1:123456789012:orders.fifo",
            "functionResponseTypes": ["ReportBatchItemFailures"],
            "connection": {"credentialsSecret": {"name": "aws"}},
        },
        "status": {"observedGeneration": 2, "state": "Enabled", "functionArn": ARN, **changed},
    }


def test_a_mapping_that_is_enabled_is_polled() -> None:
    """With Lambda's defaults where its spec has none."""
    view = mapping_view(body())
    assert view is not None
    assert view.enabled
    assert (view.function, view.function_arn, view.credentials_secret) == ("hello", ARN, "aws")
    assert (view.rules.size, view.rules.window_s, view.maximum_concurrency) == (10, 0, None)
    assert view.reports_failures
    assert view.fifo


def test_nothing_is_polled_by_a_status_of_yesterday() -> None:
    """The operator must have seen the spec as it is."""
    assert mapping_view(body(observedGeneration=1)) is None
    disabled = mapping_view(body(state="Disabled"))
    assert disabled is not None
    assert not disabled.enabled


@pytest.mark.parametrize(
    ("state", "polled"),
    [("Creating", True), ("Enabling", True), ("Updating", True), ("Disabling", False), ("Deleting", False)],
)
def test_the_state_on_the_way_says_what_is_wanted(state: str, *, polled: bool) -> None:
    """Pollers that waited for Enabled would wait for themselves; that it comes begins no poller anew."""
    view = mapping_view(body(state=state))
    assert view is not None
    assert view.enabled == polled
    if polled:
        assert view == mapping_view(body())


def test_what_pollers_said_is_watched_beside_it() -> None:
    """Words that were lost, or that another poller said later, are seen, and are no other mapping."""
    said = {"type": "Polling", "status": "False", "reason": "Paused", "observedGeneration": 1}
    silent, spoken = watched_mapping(body()), watched_mapping(body(conditions=[said]))
    assert silent is not None
    assert spoken is not None
    assert silent != spoken
    assert silent.view == spoken.view
    assert not silent.worked
    assert not spoken.worked
    worked = watched_mapping(body(conditions=[{**said, "reason": "SourceUnavailable"}]))
    assert worked is not None
    assert worked.worked
    assert watched_mapping(body(observedGeneration=1)) is None


def test_reports_of_pollers_are_no_change() -> None:
    """Or each would begin its poller anew."""
    assert mapping_view(body()) == mapping_view(body(lag=9, pollers=5, conditions=[]))


def test_how_long_a_function_may_take_is_what_is_deployed() -> None:
    """Its spec counts until something is."""
    assert timeout_view({"spec": {"timeout": 9}, "status": {"deployed": {"timeout": 7}}}) == 7
    assert timeout_view({"spec": {"timeout": 9}}) == 9
    assert timeout_view({"spec": {}}) == 3


def test_a_queue_of_a_broker_has_its_place() -> None:
    """With a window of half a second, and batches of a hundred, unless its spec says otherwise (§7.1)."""
    spec = {
        "functionName": "hello",
        "eventSourceArn": "arn:aws:mq:us-east-1:123456789012:broker:shop:b-1",
        "queues": ["orders"],
        "connection": {"endpointUrl": "amqp://rabbit"},
        "sourceAccessConfigurations": [
            {"type": "BASIC_AUTH", "uri": "login"},
            {"type": "VIRTUAL_HOST", "uri": "eu"},
        ],
    }
    view = mapping_view({**body(), "spec": spec})
    assert view is not None
    assert (view.rules.size, view.rules.window_s) == (100, 0.5)
    assert view.mq == MqPlace(BrokerEngine.RABBITMQ, "rabbit", 5672, False, "orders", "eu", "login")
    at_once = mapping_view({**body(), "spec": {**spec, "maximumBatchingWindowInSeconds": 0}})
    assert at_once is not None
    assert at_once.rules.window_s == 0
