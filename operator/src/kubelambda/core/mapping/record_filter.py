"""Which records of a source pass the filters of a mapping; those in another format too (§7.8.4, §7.8.5)."""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from kubelambda.core.mapping.event_pattern import InvalidPattern, Test, compile_pattern

FILTERS_MAX: Final = 10
PATTERN_MAX_CHARS: Final = 4096


class SourceFormat(StrEnum):
    """What kind of record a source has."""

    SQS = "sqs"
    KINESIS = "kinesis"
    DYNAMODB = "dynamodb"
    KAFKA = "kafka"
    MQ = "mq"


_DATA_KEYS: Final[Mapping[SourceFormat, tuple[str, ...]]] = {
    SourceFormat.SQS: ("body",),
    SourceFormat.KINESIS: ("data",),
    SourceFormat.DYNAMODB: (),
    SourceFormat.KAFKA: ("key", "value"),
    SourceFormat.MQ: ("data",),
}
_DECODED: Final = frozenset({SourceFormat.KINESIS, SourceFormat.KAFKA, SourceFormat.MQ})
_METADATA_ON_MISMATCH: Final = frozenset({SourceFormat.KAFKA, SourceFormat.MQ})


class RecordFilter:
    """The filters of one mapping: a record passes when one of them matches, or when there is none."""

    def __init__(self, source: SourceFormat, patterns: Sequence[str]) -> None:
        """Raises `InvalidPattern`."""
        if len(patterns) > FILTERS_MAX:
            raise InvalidPattern("", f"there are more than {FILTERS_MAX} filters")
        self._source = source
        self._filters = [_Filter(source, pattern) for pattern in patterns]

    def passes(self, record: Mapping[str, Any], known: Mapping[str, Any] | None = None) -> bool:
        """Whether the function gets `record`, in the form in which its event would hold it.

        `known` is what some of its data says, by key, where a schema says how to read it.
        """
        if not self._filters:
            return True
        data = {**self._data(record), **(known or {})}
        return any(found.matches(record, data) for found in self._filters)

    def _data(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """The data of a record by key: JSON where it is some, else its text, else what it is."""
        source = record.get("kinesis") or {} if self._source is SourceFormat.KINESIS else record
        found = {}
        for key in _DATA_KEYS[self._source]:
            value = source.get(key)
            if self._source in _DECODED and isinstance(value, str):
                value = _decoded(value)
            found[key] = _parsed(value)
        return found


class _Filter:
    def __init__(self, source: SourceFormat, text: str) -> None:
        if len(text) > PATTERN_MAX_CHARS:
            raise InvalidPattern("", f"it is longer than {PATTERN_MAX_CHARS} characters")
        self._source = source
        self._whole = compile_pattern(text)
        pattern: dict[str, Any] = json.loads(text)
        keys = _DATA_KEYS[source]
        self._expects_object = {key: isinstance(pattern[key], dict) for key in keys if key in pattern}
        metadata = {key: value for key, value in pattern.items() if key not in keys}
        self._metadata: Test | None = compile_pattern(json.dumps(metadata)) if metadata else None

    def matches(self, record: Mapping[str, Any], data: Mapping[str, Any]) -> bool:
        for key, expects_object in self._expects_object.items():
            value = data.get(key)
            if value is not None and isinstance(value, dict | list) != expects_object:
                # Nothing can be said of data in another format than the filter's.
                if self._source not in _METADATA_ON_MISMATCH:
                    return False
                return self._metadata is None or self._metadata(dict(record))
        return self._whole({**record, **data})


def _decoded(text: str) -> Any:
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return text


def _parsed(value: Any) -> Any:
    """JSON objects and lists; any other text stays as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value
