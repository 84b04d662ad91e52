"""Messages of an event stream, read back by another hand: boto3 itself reads them in the integration tests."""

import json

from tests import event_messages

from kubelambda.core.invoke import event_stream


def test_a_chunk_is_an_event_with_the_bytes_as_they_are() -> None:
    """Whatever they are."""
    for data in (b"", b"\0" * 9, bytes(range(256)) * 300):
        headers, payload = event_messages.split(event_stream.payload_chunk(data))[0]
        assert payload == data
        assert headers == {
            ":message-type": "event",
            ":event-type": "PayloadChunk",
            ":content-type": "application/octet-stream",
        }


def test_the_end_says_only_what_there_is_to_say() -> None:
    """No member is null: some clients take one for an error."""
    headers, payload = event_messages.split(event_stream.invoke_complete())[0]
    assert (headers[":event-type"], headers[":content-type"]) == ("InvokeComplete", "application/json")
    assert json.loads(payload) == {}
    complete = event_stream.invoke_complete("Unhandled", '{"errorType":"É"}', "TE9H")
    _, payload = event_messages.split(complete)[0]
    assert json.loads(payload) == {
        "ErrorCode": "Unhandled",
        "ErrorDetails": '{"errorType":"É"}',
        "LogResult": "TE9H",
    }
