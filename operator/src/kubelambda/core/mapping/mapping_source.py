"""What the ARN of a mapping's source says: which kind of source it is, and what holds for that kind (§7.1)."""

import re
from dataclasses import dataclass
from typing import Final

from kubelambda.core.mapping.record_filter import SourceFormat

_PARTITION: Final = r"arn:[a-zA-Z0-9-]+"
_PLACE: Final = r"[a-z0-9-]+:[0-9]{12}"
_SOURCES: Final = (
    (SourceFormat.SQS, re.compile(rf"{_PARTITION}:sqs:{_PLACE}:(?P<name>.+)")),
    (SourceFormat.KINESIS, re.compile(rf"{_PARTITION}:kinesis:{_PLACE}:stream/(?P<name>.+)")),
    (SourceFormat.DYNAMODB, re.compile(rf"{_PARTITION}:dynamodb:{_PLACE}:(?P<name>table/.+/stream/.+)")),
)
STREAMS: Final = frozenset({SourceFormat.KINESIS, SourceFormat.DYNAMODB})


@dataclass(frozen=True, slots=True)
class MappingSource:
    """A source by its ARN."""

    format: SourceFormat
    arn: str
    name: str
    """What the service itself calls it."""

    @property
    def is_stream(self) -> bool:
        """Whether it is read in order, shard by shard."""
        return self.format in STREAMS

    @property
    def batch_size(self) -> int:
        """Records of one invocation, unless a mapping says otherwise."""
        return 100 if self.is_stream else 10

    @property
    def user_reason(self) -> str:
        """Lambda's word for a state that somebody asked for (§7.1.3)."""
        return "User action" if self.is_stream else "USER_INITIATED"

    def duplicate(self, function: str, uuid: str) -> str:
        """Lambda's words for a second mapping of one source and function (§7.1.5)."""
        advice = f"already exists. Please update or delete the existing mapping with UUID {uuid}"
        if self.is_stream:
            return f'The event source arn (" {self.arn} ") and function (" {function} ") provided mapping {advice}'
        return f'An event source mapping with SQS arn (" {self.arn} ") and function (" {function} ") {advice}'


def mapping_source(arn: str) -> MappingSource:
    """The source of an ARN. Raises `ValueError` for one that no release knows."""
    for source, pattern in _SOURCES:
        found = pattern.fullmatch(arn)
        if found is not None:
            return MappingSource(source, arn, found["name"])
    raise ValueError(f"Unrecognized event source: {arn}")
