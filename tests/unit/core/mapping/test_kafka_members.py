"""What a mapping of Kafka says of its place, and the forms of records and failures (§7.5)."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from kubelambda.api.kinds.event_source_mapping import EventSourceMappingSpec
from kubelambda.core.mapping.batch_attempts import StreamBatch
from kubelambda.core.mapping.kafka_failure import FailedKafkaBatch, outgoing_kafka_record, topic_messages
from kubelambda.core.mapping.kafka_place import KafkaPlace, TokenPlace, kafka_place
from kubelambda.core.mapping.kafka_record import encoded_record, failed_offsets, kafka_envelope, kafka_record
from kubelambda.core.mapping.mapping_source import mapping_source
from kubelambda.core.mapping.partition_batch import EVENT_MAX_BYTES, PartitionBatch
from kubelambda.core.mapping.stream_failure import FailedBatch, LastInvocation
from kubelambda.core.mapping.stream_rules import GivenUp, StreamRecord, StreamRules

AT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
CLUSTER = "arn:aws:kafka:us-east-1:123456789012:cluster/orders/0a1b2c-3"
SPEC: dict[str, Any] = {"functionName": "hello", "topics": ["orders"], "startingPosition": "LATEST"}
SELF_MANAGED = {"selfManagedEventSource": {"endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a:9092"]}}}
SCRAM = {"type": "SASL_SCRAM_512_AUTH", "uri": "login"}
CERTIFICATE = {"type": "CLIENT_CERTIFICATE_TLS_AUTH", "uri": "certificate"}


def place(**spec: Any) -> KafkaPlace:
    """The place of a mapping."""
    found = kafka_place(EventSourceMappingSpec.model_validate({**SPEC, **spec}), "uuid")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("spec", "protocol"),
    [
        ({}, "PLAINTEXT"),
        ({"sourceAccessConfigurations": [SCRAM]}, "SASL_SSL"),
        ({"sourceAccessConfigurations": [SCRAM], "connection": {"tls": False}}, "SASL_PLAINTEXT"),
        ({"sourceAccessConfigurations": [CERTIFICATE]}, "SSL"),
        ({"connection": {"tls": True}}, "SSL"),
    ],
)
def test_connections_are_encrypted_once_something_says_who_we_are(spec: dict[str, Any], protocol: str) -> None:
    """As Lambda's are, unless the mapping says otherwise."""
    assert place(**SELF_MANAGED, **spec).security_protocol == protocol


def test_tokens_are_those_of_a_secret_for_what_is_named_beside_it() -> None:
    """A scope that looks like the name of a Secret is none; nothing is asked of a place without them."""
    access = [
        {"type": "OAUTHBEARER_AUTH", "uri": "arn:aws:secretsmanager:us-east-1:123456789012:secret:client-AbCdEf"},
        {"type": "OAUTHBEARER_SCOPE", "uri": "arn:aws:secretsmanager:us-east-1:123456789012:secret:scope-AbCdEf"},
        {"type": "OAUTHBEARER_IDENTITY_POOL", "uri": "pool-1"},
    ]
    found = place(**SELF_MANAGED, sourceAccessConfigurations=access)
    assert (found.mechanism, found.security_protocol, found.login_secret) == ("OAUTHBEARER", "SASL_SSL", None)
    assert found.tokens == TokenPlace("client", access[1]["uri"], None, (("identityPoolId", "pool-1"),))
    assert place(**SELF_MANAGED, sourceAccessConfigurations=[SCRAM]).tokens is None


def test_the_consumer_group_is_the_mappings_uuid_unless_it_has_one() -> None:
    """Of a cluster with an ARN and of one without."""
    assert place(**SELF_MANAGED).group == "uuid"
    assert place(**SELF_MANAGED, selfManagedKafkaEventSourceConfig={"consumerGroupId": "g"}).group == "g"
    assert place(eventSourceArn=CLUSTER, amazonManagedKafkaEventSourceConfig={"consumerGroupId": "h"}).group == "h"


@pytest.mark.parametrize(
    ("access", "servers", "protocol"),
    [
        ([], ("plain:1", "plain:2"), "PLAINTEXT"),
        ([SCRAM], ("scram:1",), "SASL_SSL"),
        ([CERTIFICATE], ("tls:1",), "SSL"),
    ],
)
def test_the_brokers_of_a_cluster_are_those_for_who_we_are(
    access: list[Any], servers: tuple[str, ...], protocol: str
) -> None:
    """As the cluster's service names them."""
    brokers = {
        "BootstrapBrokerString": "plain:1,plain:2",
        "BootstrapBrokerStringTls": "tls:1",
        "BootstrapBrokerStringSaslScram": "scram:1",
    }
    found = place(eventSourceArn=CLUSTER, sourceAccessConfigurations=access).among(brokers)
    assert found is not None
    assert (found.servers, found.security_protocol) == (servers, protocol)
    assert place(eventSourceArn=CLUSTER, sourceAccessConfigurations=access).among({}) is None


@pytest.mark.parametrize(
    ("failures", "failed"),
    [
        ([], set()),
        ([{"itemIdentifier": {"partition": "orders-0", "offset": 2}}], {"2"}),
        ([{"itemIdentifier": {"partition": "orders-1", "offset": 2}}], {"1", "2"}),
        ([{"itemIdentifier": {"partition": "orders-0", "offset": 9}}], {"1", "2"}),
        ([{"itemIdentifier": {"partition": "orders-0", "offset": True}}], {"1", "2"}),
        ([{"itemIdentifier": "2"}], {"1", "2"}),
        ([{}], {"1", "2"}),
    ],
)
def test_failed_records_are_named_by_partition_and_offset(failures: list[Any], failed: set[str]) -> None:
    """What names none of the batch's fails it as a whole (§7.2.2)."""
    payload = json.dumps({"batchItemFailures": failures}).encode()
    assert failed_offsets(payload, "orders-0", ["1", "2"]) == failed


def record(offset: int, value: bytes | None = b"v", key: bytes | None = b"k") -> StreamRecord:
    """A record on its way."""
    made = kafka_record(
        "orders", 0, offset, timestamp_ms=1000, timestamp_type=1, key=key, value=value, headers=[("h", None)]
    )
    return StreamRecord(str(offset), "", AT, encoded_record(made))


def test_an_event_of_a_cluster_with_an_arn_names_it() -> None:
    """A tombstone has a value that is null, and a header without a value one too."""
    source = mapping_source(CLUSTER, ("orders",))
    envelope = kafka_envelope(source, ("b-1:9092", "b-2:9092"), "orders-0")
    event = json.loads(envelope.event([record(1), record(2, value=None, key=None)]))
    first, second = event.pop("records")["orders-0"]
    assert event == {
        "eventSource": "aws:kafka",
        "eventSourceArn": CLUSTER,
        "bootstrapServers": "b-1:9092,b-2:9092",
    }
    assert (first["timestampType"], first["headers"]) == ("LOG_APPEND_TIME", [{"h": None}])
    assert (second["value"], "key" in second) == (None, False)
    assert envelope.size + len(record(1).encoded) == len(envelope.event([record(1)]))


def test_a_batch_is_complete_by_count_bytes_and_time() -> None:
    """One record that no event can hold is a batch of its own, and is refused."""
    batch = PartitionBatch(StreamRules(size=3, window_s=5.0), 100)
    assert batch.due_s(0.0) is None
    large = StreamRecord("1", "", AT, b"x" * (EVENT_MAX_BYTES // 2))
    assert batch.add(large, 10.0)
    assert batch.due_s(12.0) == 3.0
    assert not batch.add(large, 12.0)
    assert (batch.full, batch.due_s(12.0), batch.refused, len(batch.records)) == (True, 0.0, None, 1)
    alone = PartitionBatch(StreamRules(size=3), 100)
    assert alone.add(StreamRecord("1", "", AT, b"x" * EVENT_MAX_BYTES), 0.0)
    assert alone.refused is GivenUp.MAXIMUM_PAYLOAD_SIZE_EXCEEDED


def failed_batch(condition: GivenUp) -> FailedKafkaBatch:
    """Two records that were given up."""
    source = mapping_source(CLUSTER, ("orders",))
    batch = StreamBatch((record(1), record(2)), retries=2, invoked=3)
    last = LastInvocation("request", "7", "Unhandled")
    failed = FailedBatch(source, "uuid", "arn:function", "orders-0", batch, condition, last)
    return FailedKafkaBatch(failed, ("b:1",), kafka_envelope(source, ("b:1",), "orders-0"))


def test_a_destination_is_told_where_the_records_are() -> None:
    """A bucket gets the event too, under a name by mapping and partition."""
    batch = failed_batch(GivenUp.RETRY_ATTEMPTS_EXHAUSTED)
    queue = outgoing_kafka_record(batch, "arn:aws:sqs:us-east-1:123456789012:q", AT)
    body = json.loads(queue.body)
    size = body["KafkaBatchInfo"].pop("payloadSize")
    assert body["requestContext"]["approximateInvokeCount"] == 3
    assert body["responseContext"] == {"statusCode": 200, "executedVersion": "7", "functionError": "Unhandled"}
    assert body["KafkaBatchInfo"] == {
        "batchSize": 2,
        "eventSourceArn": CLUSTER,
        "bootstrapServers": "b:1",
        "recordsInfo": {
            "orders-0": {
                "firstRecordOffset": "1",
                "lastRecordOffset": "2",
                "firstRecordTimestamp": "2026-01-02T03:04:05.678Z",
                "lastRecordTimestamp": "2026-01-02T03:04:05.678Z",
            }
        },
    }
    bucket = outgoing_kafka_record(batch, "arn:aws:s3:::failed", AT)
    assert bucket.object_key == "aws/lambda/uuid/orders-0/2026/01/02/2026-01-02T03.04.05-request"
    payload = json.loads(bucket.body)["payload"]
    assert len(json.dumps(payload, separators=(",", ":"))) == size


def test_a_topic_gets_a_message_for_each_record() -> None:
    """With the record's key; of one that was too large there is no answer of the function."""
    first, second = topic_messages(failed_batch(GivenUp.MAXIMUM_PAYLOAD_SIZE_EXCEEDED), AT)
    body = json.loads(second.value)
    assert (first.key, second.key) == (b"k", b"k")
    assert body["KafkaBatchInfo"]["recordInfo"] == {"offset": "2", "timestamp": "2026-01-02T03:04:05.678Z"}
    assert [each["offset"] for each in body["payload"]["records"]["orders-0"]] == [2]
    assert "responseContext" not in body
