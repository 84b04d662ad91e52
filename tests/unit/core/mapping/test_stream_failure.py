"""What destinations are told of a batch that was given up (§7.4.6)."""

import json
from datetime import UTC, datetime

from kubelambda.core.mapping.batch_attempts import StreamBatch
from kubelambda.core.mapping.mapping_source import mapping_source
from kubelambda.core.mapping.stream_failure import FailedBatch, LastInvocation, failure_record, outgoing_record
from kubelambda.core.mapping.stream_rules import GivenUp, StreamRecord

STREAM = "arn:aws:kinesis:us-east-1:123456789012:stream/orders"
TABLE = "arn:aws:dynamodb:us-east-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000"
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:hello"
AT = datetime(2019, 11, 14, 0, 38, 6, 21_000, UTC)


def failed(source: str, condition: GivenUp = GivenUp.RETRY_ATTEMPTS_EXHAUSTED) -> FailedBatch:
    """A batch of two records at its end."""
    records = tuple(StreamRecord(number, "k", AT, b'{"n":%s}' % number.encode()) for number in ("1", "2"))
    last = LastInvocation("request", "$LATEST", "Unhandled")
    batch = StreamBatch(records, retries=2, invoked=3)
    return FailedBatch(mapping_source(source), "uuid", FUNCTION, "shardId-1", batch, condition, last)


def test_the_record_of_a_stream_of_kinesis() -> None:
    """Member by member, in Lambda's order."""
    assert json.dumps(failure_record(failed(STREAM), AT)) == json.dumps(
        {
            "requestContext": {
                "requestId": "request",
                "functionArn": FUNCTION,
                "condition": "RetryAttemptsExhausted",
                "approximateInvokeCount": 3,
            },
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
            "version": "1.0",
            "timestamp": "2019-11-14T00:38:06.021Z",
            "KinesisBatchInfo": {
                "shardId": "shardId-1",
                "startSequenceNumber": "1",
                "endSequenceNumber": "2",
                "approximateArrivalOfFirstRecord": "2019-11-14T00:38:06.021Z",
                "approximateArrivalOfLastRecord": "2019-11-14T00:38:06.021Z",
                "batchSize": 2,
                "streamArn": STREAM,
            },
        }
    )


def test_records_that_became_too_old_have_no_answer() -> None:
    """And a table's batch has whole seconds under its own name."""
    record = failure_record(failed(TABLE, GivenUp.RECORD_AGE_EXCEEDED), AT)
    assert "responseContext" not in record
    assert record["DDBStreamBatchInfo"]["approximateArrivalOfFirstRecord"] == "2019-11-14T00:38:06Z"


def test_only_a_bucket_gets_the_records_themselves() -> None:
    """Under a name that tells mapping, shard and day."""
    sent = outgoing_record(failed(STREAM), "arn:aws:s3:::failed", AT)
    assert json.loads(sent.body)["payload"] == {"Records": [{"n": 1}, {"n": 2}]}
    assert sent.object_key == "aws/lambda/uuid/shardId-1/2019/11/14/2019-11-14T00.38.06-request"
    assert "payload" not in outgoing_record(failed(STREAM), "arn:aws:sns:us-east-1:123456789012:t", AT).body
