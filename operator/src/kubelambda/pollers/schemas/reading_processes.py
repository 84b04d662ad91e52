"""Has records read by their schemas in processes of their own, so that no schema keeps a poller busy.

A few processes serve all mappings. One namespace has at most one of them at a time, and whoever waits for one gets it
in the order of coming: a schema that takes all its time costs others a turn, never more. Without mappings that have
schemas there is no process.
"""

import asyncio
import logging
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from types import TracebackType
from typing import Final, Self
from weakref import WeakValueDictionary

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
from kubelambda.pollers.schemas.registered_schema import RegisteredSchema
from kubelambda.pollers.sources.source_unreachable import SourceUnreachable

_PROCESSES: Final = 4
_ANSWER_S: Final = 120.0
"""For an answer: who has the time of a processor that a record may take, but no processor, is a busy machine's."""
_ATTEMPTS: Final = 3
"""A process that has just ended by itself, or was ended by somebody, says nothing about the record."""
_OVERSPENT: Final = frozenset({signal.SIGPROF, signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS})
"""How a process ends that takes more time or memory than it may."""
_COMMAND: Final = (sys.executable, "-P", "-m", "kubelambda.pollers.schemas.record_reading")
_ENVIRONMENT: Final = ("PATH", "PYTHONPATH", "LANG", "VIRTUAL_ENV")
"""Variables that it gets of ours."""

log = logging.getLogger(__name__)


class ReadsTooLong(Undecodable):
    """Reading the record takes more than it may."""


class LargerAsJson(ValueError):
    """What the record says has more bytes as JSON than were wanted."""


class ReadingProcesses:
    """Those of this poller, until it is closed."""

    def __init__(self, most: int = _PROCESSES, bounds: ReadingBounds | None = None) -> None:
        self._bounds = bounds or ReadingBounds()
        self._free = asyncio.Semaphore(most)
        self._idle: list[Process] = []
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._idle:
            await _end(self._idle.pop())

    async def read(
        self, namespace: str, schema_id: int, schema: RegisteredSchema, data: bytes, *, said_max_bytes: int = 0
    ) -> bytes:
        """What `data` says as JSON, if it may have some bytes. `schema_id` is no other schema's in this process.

        Raises `Undecodable`, `UnservedSchema`, `LargerAsJson`, or `SourceUnreachable` when there is no way to know.
        """
        request = ReadingRequest(schema_id, data, said_max_bytes)
        turn = self._turns.setdefault(namespace, asyncio.Lock())
        async with turn, self._free:
            for _ in range(_ATTEMPTS):
                answer = await self._answer(request, schema)
                if answer is not None:
                    return _said(answer)
        raise SourceUnreachable("records cannot be read by their schemas: who reads them is ended again and again")

    async def _answer(self, request: ReadingRequest, schema: RegisteredSchema) -> ReadingAnswer | None:
        """None when the process ended, and nobody knows whether the record was why."""
        process = await self._process()
        answer = None
        try:
            async with asyncio.timeout(_ANSWER_S):
                answer = await _answered(process, request, schema)
        except TimeoutError as error:
            raise SourceUnreachable(f"records are not read by their schemas within {_ANSWER_S:.0f} s") from error
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            if -await process.wait() in _OVERSPENT:
                raise ReadsTooLong(f"reading it takes more than {self._bounds}") from error
            log.info("a process that reads records ended by itself: %s", process.returncode)
            return None
        finally:
            if answer is None or answer.last:
                await _end(process)
            else:
                self._idle.append(process)
        return answer

    async def _process(self) -> Process:
        while self._idle:
            process = self._idle.pop()
            if process.returncode is None:
                return process
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        command = (*_COMMAND, str(self._bounds.processor_s), str(self._bounds.memory_bytes))
        try:
            return await asyncio.create_subprocess_exec(
                *command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=environment
            )
        except OSError as error:
            raise SourceUnreachable(f"records cannot be read by their schemas: {error}") from error


async def _answered(process: Process, request: ReadingRequest, schema: RegisteredSchema) -> ReadingAnswer:
    """With the schema, when the process has it not."""
    answer = await _asked(process, request)
    if answer.reading is ReadingResult.SCHEMA_ASKED:
        answer = await _asked(process, msgspec.structs.replace(request, schema=schema))
    return answer


async def _asked(process: Process, request: ReadingRequest) -> ReadingAnswer:
    assert process.stdin is not None
    assert process.stdout is not None
    message = msgspec.msgpack.encode(request)
    process.stdin.write(len(message).to_bytes(LENGTH_BYTES, "big") + message)
    await process.stdin.drain()
    length = int.from_bytes(await process.stdout.readexactly(LENGTH_BYTES), "big")
    return msgspec.msgpack.decode(await process.stdout.readexactly(length), type=ReadingAnswer)


def _said(answer: ReadingAnswer) -> bytes:
    match answer.reading:
        case ReadingResult.UNSERVED:
            raise UnservedSchema(answer.why)
        case ReadingResult.UNDECODABLE:
            raise Undecodable(answer.why)
        case ReadingResult.TOO_LARGE:
            raise LargerAsJson("it is larger as JSON than was wanted")
    return answer.said


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()
