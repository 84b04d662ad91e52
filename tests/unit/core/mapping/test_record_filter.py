"""Which records pass, by source, and what a record in another format than the filter's means (§7.8.4, §7.8.5)."""

import base64
import json
from typing import Any

import pytest

from kubelambda.core.mapping.event_pattern import InvalidPattern
from kubelambda.core.mapping.record_filter import RecordFilter, SourceFormat


def encoded(value: Any) -> str:
    """Base64 of a text, or of something as JSON."""
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.b64encode(text.encode()).decode()


def passes(source: SourceFormat, pattern: Any, record: dict[str, Any]) -> bool:
    """Whether one filter lets a record pass."""
    return RecordFilter(source, [json.dumps(pattern)]).passes(record)


def test_no_filter_lets_everything_pass_and_one_of_several_is_enough() -> None:
    """Filters are alternatives."""
    record = {"body": '{"kind": "order"}'}
    assert RecordFilter(SourceFormat.SQS, []).passes(record)
    filters = ['{"body": {"kind": ["refund"]}}', '{"body": {"kind": ["order"]}}']
    assert RecordFilter(SourceFormat.SQS, filters).passes(record)
    assert not RecordFilter(SourceFormat.SQS, filters[:1]).passes(record)


@pytest.mark.parametrize(
    ("source", "record"),
    [
        (SourceFormat.SQS, {"body": '{"kind": "order"}'}),
        (SourceFormat.KINESIS, {"kinesis": {"data": encoded({"kind": "order"})}}),
        (SourceFormat.KAFKA, {"value": encoded({"kind": "order"}), "key": encoded("k")}),
        (SourceFormat.MQ, {"data": encoded({"kind": "order"})}),
        (SourceFormat.DYNAMODB, {"dynamodb": {"kind": "order"}}),
    ],
)
def test_the_data_of_each_source_is_found_under_its_key(source: SourceFormat, record: dict[str, Any]) -> None:
    """Decoded where the source encodes it."""
    key = {"sqs": "body", "kafka": "value", "dynamodb": "dynamodb"}.get(source, "data")
    assert passes(source, {key: {"kind": ["order"]}}, record)
    assert not passes(source, {key: {"kind": ["refund"]}}, record)


def test_plain_text_matches_plain_filters() -> None:
    """A body that is no JSON."""
    assert passes(SourceFormat.SQS, {"body": [{"prefix": "ERR"}]}, {"body": "ERR 17"})


@pytest.mark.parametrize(
    ("source", "pattern", "record", "expected"),
    [
        (SourceFormat.SQS, {"body": {"a": [1]}}, {"body": "plain"}, False),
        (SourceFormat.SQS, {"body": ["plain"]}, {"body": '{"a": 1}'}, False),
        (SourceFormat.SQS, {"body": {"a": [{"exists": False}]}}, {"body": "plain"}, False),
        (SourceFormat.KINESIS, {"data": {"a": [1]}}, {"kinesis": {"data": encoded("plain")}}, False),
        (SourceFormat.KAFKA, {"value": {"a": [1]}}, {"value": encoded("plain")}, True),
        (SourceFormat.KAFKA, {"value": {"a": [1]}, "topic": ["t"]}, {"value": encoded("plain"), "topic": "t"}, True),
        (SourceFormat.KAFKA, {"value": {"a": [1]}, "topic": ["t"]}, {"value": encoded("plain"), "topic": "u"}, False),
        (SourceFormat.MQ, {"data": {"a": [1]}}, {"data": encoded("plain")}, True),
    ],
)
def test_data_in_another_format_is_dropped_or_judged_by_metadata(
    source: SourceFormat, pattern: Any, record: dict[str, Any], expected: bool
) -> None:
    """SQS and Kinesis drop it, Kafka and MQ look at the rest."""
    assert passes(source, pattern, record) is expected


def test_metadata_can_be_filtered_beside_the_data() -> None:
    """DynamoDB's eventName, SQS's attributes."""
    record = {"eventName": "INSERT", "dynamodb": {"NewImage": {"state": {"S": "open"}}}}
    pattern = {"eventName": ["INSERT"], "dynamodb": {"NewImage": {"state": {"S": ["open"]}}}}
    assert passes(SourceFormat.DYNAMODB, pattern, record)
    assert not passes(SourceFormat.DYNAMODB, {"eventName": ["REMOVE"]}, record)


def test_too_many_or_too_long_filters_are_refused() -> None:
    """Ten, of 4096 characters (§7.1.10)."""
    with pytest.raises(InvalidPattern, match="more than 10"):
        RecordFilter(SourceFormat.SQS, ['{"body": ["x"]}'] * 11)
    with pytest.raises(InvalidPattern, match="longer than"):
        RecordFilter(SourceFormat.SQS, [json.dumps({"body": ["x" * 4096]})])
