"""Messages of an event stream read back by another hand than ours: lengths and checksums must be right."""

import json
import struct
from typing import Any
from zlib import crc32


def split(data: bytes) -> list[tuple[dict[str, str], bytes]]:
    """Headers and payload of each message. A message that is not complete is left out."""
    found, start = [], 0
    while len(data) - start >= 12:
        total = struct.unpack_from("!I", data, start)[0]
        if start + total > len(data):
            break
        found.append(_message(data[start : start + total]))
        start += total
    return found


def events(data: bytes) -> list[tuple[str, Any]]:
    """Types of the events of a streamed invocation, with the bytes of a chunk and the members of the end."""
    return [
        (headers[":event-type"], payload if headers[":event-type"] == "PayloadChunk" else json.loads(payload))
        for headers, payload in split(data)
    ]


def _message(message: bytes) -> tuple[dict[str, str], bytes]:
    _, headers_length, prelude_crc = struct.unpack("!III", message[:12])
    assert prelude_crc == crc32(message[:8])
    assert struct.unpack("!I", message[-4:])[0] == crc32(message[:-4])
    raw, headers = message[12 : 12 + headers_length], {}
    while raw:
        name, raw = raw[1 : 1 + raw[0]].decode(), raw[1 + raw[0] :]
        kind, length = struct.unpack("!BH", raw[:3])
        assert kind == 7, "not a string"
        headers[name], raw = raw[3 : 3 + length].decode(), raw[3 + length :]
    return headers, message[12 + headers_length : -4]
