"""Names of Lambda's members as fields of our kinds, and back."""

from kubelambda.awsapi.model.service_model import ServiceModel
from kubelambda.awsapi.model.spec_members import field_name, from_field, to_field

MODEL = ServiceModel.load("lambda")
REQUEST = {
    "EventSourceArn": "arn:aws:kafka:us-east-1:123456789012:cluster/c/1",
    "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:123456789012:failed"}},
    "FilterCriteria": {"Filters": [{"Pattern": '{"body": ["X"]}'}]},
    "SourceAccessConfigurations": [{"Type": "BASIC_AUTH", "URI": "secret"}],
    "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["kafka:9092"]}},
}


def test_only_the_first_letter_differs() -> None:
    """And an abbreviation is small as a whole."""
    assert [field_name(name) for name in ("BatchSize", "URI", "Topics")] == ["batchSize", "uri", "topics"]


def test_members_become_fields_and_keys_of_maps_stay() -> None:
    """KAFKA_BOOTSTRAP_SERVERS is the caller's word, not a member."""
    field = to_field(MODEL, "CreateEventSourceMappingRequest", REQUEST)
    assert field["selfManagedEventSource"] == {"endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["kafka:9092"]}}
    assert field["sourceAccessConfigurations"] == [{"type": "BASIC_AUTH", "uri": "secret"}]
    assert field["filterCriteria"] == {"filters": [{"pattern": '{"body": ["X"]}'}]}


def test_there_and_back_is_the_same() -> None:
    """What is not of the shape is left out on the way back: `connection` is no member of Lambda's."""
    field = to_field(MODEL, "CreateEventSourceMappingRequest", REQUEST) | {"connection": {}}
    assert from_field(MODEL, "CreateEventSourceMappingRequest", field) == REQUEST
