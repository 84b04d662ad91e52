"""The process that reads records by their schemas: `python -m kubelambda.pollers.schemas.record_reading SECONDS BYTES`.

Libraries that check what others wrote take as long as that wants, and hold the interpreter's lock while they do. Here
the kernel ends them: by a timer of the process's own time on a processor, which is fair on a busy machine, and by a
bound of its memory. Whoever asked sees how it ended.
"""

import os
import resource
import select
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from kubelambda.core.mapping.avro_schema import UnservedSchema
from kubelambda.core.mapping.schema_framing import Undecodable
from kubelambda.pollers.schemas.reading_request import (
    LENGTH_BYTES,
    ReadingAnswer,
    ReadingBounds,
    ReadingRequest,
    ReadingResult,
)
from kubelambda.pollers.schemas.recent_schemas import RecentSchemas
from kubelambda.pollers.schemas.record_reader import RecordReader, record_reader

_IDLE_S: Final = 60.0
_RESIDENT_MAX_BYTES: Final = 96 << 20
"""What a record leaves behind is at most this, or the process ends after it."""
_NICENESS: Final = 10
"""The pollers themselves go first."""


def main(bounds: ReadingBounds) -> None:
    """Answers until nobody asks any more, or has not for a while."""
    _keep_to(bounds)
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
    schemas, decoder = KeptSchemas(bounds), msgspec.msgpack.Decoder(ReadingRequest)
    while select.select([source], [], [], _IDLE_S)[0]:
        length = source.read(LENGTH_BYTES)
        if not length:
            return
        request = decoder.decode(source.read(int.from_bytes(length, "big")))
        signal.setitimer(signal.ITIMER_PROF, bounds.processor_s)
        answer = schemas.answer(request)
        signal.setitimer(signal.ITIMER_PROF, 0)
        if _resident_bytes() > _RESIDENT_MAX_BYTES:
            answer = msgspec.structs.replace(answer, last=True)
        _write(sink, msgspec.msgpack.encode(answer))
        if answer.last:
            return


class KeptSchemas:
    """How records of the schemas that were used last are read."""

    def __init__(self, bounds: ReadingBounds) -> None:
        self._bounds = bounds
        self._readers: RecentSchemas[RecordReader | UnservedSchema] = RecentSchemas()

    def answer(self, request: ReadingRequest) -> ReadingAnswer:
        """What comes of a record."""
        if request.schema is None and request.schema_id not in self._readers:
            return ReadingAnswer(ReadingResult.SCHEMA_ASKED)
        try:
            return _answer(self._reader(request)(request.data), request.said_max_bytes)
        except UnservedSchema as error:
            return ReadingAnswer(ReadingResult.UNSERVED, str(error))
        except MemoryError:
            return ReadingAnswer(ReadingResult.UNDECODABLE, f"reading it takes more than {self._bounds}", last=True)
        except (Undecodable, RecursionError, OverflowError) as error:
            return ReadingAnswer(ReadingResult.UNDECODABLE, str(error))
        except Exception as error:  # noqa: BLE001 - whatever a record says: another process would end of it, too
            return ReadingAnswer(ReadingResult.UNDECODABLE, f"it cannot be written as JSON: {type(error).__name__}")

    def _reader(self, request: ReadingRequest) -> RecordReader:
        reader = self._readers.get(request.schema_id)
        if request.schema is not None:
            try:
                reader = record_reader(request.schema)
            except UnservedSchema as error:
                reader = error
            self._readers.keep(request.schema_id, reader, request.schema.size)
        assert reader is not None, "who has no schema asks for it"
        if isinstance(reader, UnservedSchema):
            raise reader
        return reader


def _keep_to(bounds: ReadingBounds) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (bounds.memory_bytes, bounds.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's: whoever asks ends us
    os.nice(_NICENESS)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _answer(said: Any, most: int) -> ReadingAnswer:
    if not most:
        return ReadingAnswer(ReadingResult.READ)
    if _larger(said, most):  # names are in the schema: a byte may stand for megabytes
        return ReadingAnswer(ReadingResult.TOO_LARGE)
    encoded = msgspec.json.encode(said)
    if len(encoded) > most:  # numbers and what JSON escapes have more bytes than were counted
        return ReadingAnswer(ReadingResult.TOO_LARGE)
    return ReadingAnswer(ReadingResult.READ, said=encoded)


def _larger(value: Any, most: int) -> bool:
    """Whether a value has more than `most` bytes as JSON, by what they are at least."""
    found, waiting = 0, [value]
    while waiting and found <= most:
        each = waiting.pop()
        found += 2
        if isinstance(each, str):
            found += len(each)
        elif isinstance(each, list):
            waiting += each
        elif isinstance(each, dict):
            found += sum(len(name) + 4 for name in each)
            waiting += each.values()
    return found > most


def _write(sink: BinaryIO, message: bytes) -> None:
    sink.write(len(message).to_bytes(LENGTH_BYTES, "big") + message)
    sink.flush()


if __name__ == "__main__":
    try:
        main(ReadingBounds(float(sys.argv[1]), int(sys.argv[2])))
    except MemoryError:  # on the way in or out: whoever asked sees that it was the record
        os.abort()
