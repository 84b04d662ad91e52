"""Messages of `application/vnd.amazon.eventstream`: what InvokeWithResponseStream answers (§2.4.1). Pure."""

import json
import struct
from typing import Final
from zlib import crc32

CONTENT_TYPE: Final = b"application/vnd.amazon.eventstream"
_STRING: Final = 7
"""The type of a header's value."""


def _headers(event: bytes, content_type: bytes) -> bytes:
    """What stands before the payload of one kind of event."""
    found = b""
    for name, value in ((b":message-type", b"event"), (b":event-type", event), (b":content-type", content_type)):
        found += struct.pack("!B", len(name)) + name + struct.pack("!BH", _STRING, len(value)) + value
    return found


_PAYLOAD_CHUNK: Final = _headers(b"PayloadChunk", b"application/octet-stream")
_INVOKE_COMPLETE: Final = _headers(b"InvokeComplete", b"application/json")


def payload_chunk(data: bytes) -> bytes:
    """Some of what the function answers."""
    return _message(_PAYLOAD_CHUNK, data)


def invoke_complete(error_code: str | None = None, error_details: str | None = None, log: str | None = None) -> bytes:
    """The last message: how the invocation ended, and the base64 of the end of its log where that was asked for."""
    members = {"ErrorCode": error_code, "ErrorDetails": error_details, "LogResult": log}
    given = {name: value for name, value in members.items() if value is not None}
    return _message(_INVOKE_COMPLETE, json.dumps(given).encode())


def _message(headers: bytes, payload: bytes) -> bytes:
    """Lengths and their checksum, headers, payload, and the checksum of all of it."""
    lengths = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    begun = lengths + struct.pack("!I", crc32(lengths)) + headers
    return b"%b%b%b" % (begun, payload, struct.pack("!I", crc32(payload, crc32(begun))))
