"""The hand of whoever runs the installation on the queue: look at events, try them now, or throw them away.

Served to the pod itself alone: who may forward a port to the pod may use it (`kubelambda events`).
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kubelambda.core.event.delivery import seconds_until
from kubelambda.core.event.event_schedule import ScheduledFunction
from kubelambda.events.dead_letters import DeadLetters
from kubelambda.events.event_worker import EventWorker
from kubelambda.kube.errors import KubeError
from kubelambda.outbound.record_sender import DestinationFailed
from kubelambda.store.event.event_queue import EventQueue, QueuedEvent, QueueUnavailable
from kubelambda.wire.background_tasks import BackgroundTasks
from kubelambda.wire.request import Request

PATH = "/events"
_LIMIT_MAX = 1000
_CHUNK = 200

log = logging.getLogger(__name__)


class AdminError(Exception):
    """A call that asks for nothing that there is; the message is for whoever made it."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events a call speaks of: some numbers, or those of a function, or of a namespace."""

    namespace: str | None = None
    function: str | None = None
    numbers: tuple[int, ...] = ()

    @classmethod
    def of(cls, query: dict[str, list[str]]) -> "Selection":
        """Out of a query. Raises `AdminError`."""
        namespace, function = (query.get(name, [None])[0] for name in ("namespace", "function"))
        numbers = query.get("number", [])
        if not all(number.isdecimal() for number in numbers):
            raise AdminError("events are named by their numbers")
        if function is not None and namespace is None:
            raise AdminError("a function is named with its namespace")
        return cls(namespace, function, tuple(map(int, numbers)))

    def names(self, function: ScheduledFunction) -> bool:
        """Whether it speaks of a function's events."""
        return self.namespace in (None, function[0]) and self.function in (None, function[1])


class EventAdmin:
    """Answers what comes to the pod's own port."""

    def __init__(
        self, queue: EventQueue, worker: EventWorker, dead_letters: DeadLetters, leads: Callable[[], bool]
    ) -> None:
        self._leads = leads
        self._queue = queue
        self._worker = worker
        self._dead_letters = dead_letters
        self._tasks = BackgroundTasks()

    def serve(self, request: Request) -> None:
        """Answers one request."""
        if not self._leads():
            request.respond(409, json.dumps({"message": "another pod tries the events: ask that one"}).encode(), _JSON)
            return
        self._tasks.answer(request, self._answer(request))

    async def _answer(self, request: Request) -> None:
        url = urlsplit(request.target.decode(errors="replace"))
        query = parse_qs(url.query)
        try:
            answer = await self._do(f"{request.method.decode()} {url.path}", query)
        except AdminError as error:
            request.respond(400, json.dumps({"message": str(error)}).encode(), _JSON)
        except (QueueUnavailable, KubeError, DestinationFailed) as error:
            request.respond(503, json.dumps({"message": str(error)}).encode(), _JSON)
        else:
            request.respond(200, json.dumps(answer).encode(), _JSON)

    async def _do(self, what: str, query: dict[str, list[str]]) -> Any:
        chosen = Selection.of(query)
        match what:
            case "GET /events":
                limit = min(_LIMIT_MAX, _number(query, "limit", 100))
                return await self._list(chosen, _number(query, "after", 0), limit)
            case "GET /functions":
                return [[*name, count] for name, count in sorted(self._worker.waiting().items()) if chosen.names(name)]
            case "POST /redrive":
                return {"redriven": await self._worker.redrive(self._numbers(chosen))}
            case "POST /redrive-dead-letters":
                if chosen.namespace is None or chosen.function is None:
                    raise AdminError("say whose dead letters: namespace and function")
                qualifier = query.get("qualifier", [""])[0]
                limit = min(_LIMIT_MAX, _number(query, "limit", 100))
                found = await self._dead_letters.redrive(chosen.namespace, chosen.function, qualifier, limit)
                return {"redriven": found}
            case "DELETE /events":
                return {"purged": await self._purge(chosen)}
        raise AdminError(f"there is no {what}")

    async def _list(self, chosen: Selection, after: int, limit: int) -> Any:
        numbers = [number for number in self._numbers(chosen) if number > after][:limit]
        found = await self._queue.read(numbers) if numbers else {}
        whole = bool(chosen.numbers)
        return [_described(number, event, whole=whole) for number, event in sorted(found.items())]

    def _numbers(self, chosen: Selection) -> Sequence[int]:
        if chosen.numbers:
            return chosen.numbers
        return sorted(number for function, number in self._worker.numbers() if chosen.names(function))

    async def _purge(self, chosen: Selection) -> int:
        if not chosen.numbers and chosen.namespace is None:
            raise AdminError("say what to purge: a namespace, a function, or numbers")
        numbers = self._numbers(chosen)
        for some in _chunks(numbers):
            there = await self._queue.read(some)
            await asyncio.gather(*(self._queue.finish(number) for number in there))
            for number, event in there.items():
                log.warning("event %s (%d) of %s/%s is purged", event.request_id, number, *event.target[:2])
        return len(numbers)


_JSON = b"Content-Type: application/json\r\n"


def _chunks(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(numbers), _CHUNK):
        yield numbers[start : start + _CHUNK]


def _number(query: dict[str, list[str]], name: str, default: int) -> int:
    text = query.get(name, [str(default)])[0]
    if not text.isdecimal():
        raise AdminError(f"{name} is a number")
    return int(text)


def _described(number: int, event: QueuedEvent, *, whole: bool) -> dict[str, Any]:
    progress, now = event.progress, time.time()
    found: dict[str, Any] = {
        "number": number,
        "namespace": event.target.namespace,
        "function": event.target.function,
        "qualifier": event.target.qualifier or "$LATEST",
        "requestId": event.request_id,
        "ageSeconds": round(now - progress.accepted_at, 3),
        "dueInSeconds": round(max(0.0, seconds_until(progress.due_at, now)), 3),
        "invocations": progress.invocations,
        "functionErrors": progress.function_errors,
        "turnedDown": progress.turned_down,
        "bytes": len(event.payload),
    }
    if event.ending is not None:
        found["condition"] = event.ending.condition.value
        found["untold"] = [each.value for each in event.ending.untold]
        found["deliveryFailures"] = event.ending.failures
    if whole:
        found["headers"] = dict(event.headers)
        found["payload"] = event.payload.decode(errors="replace")
    return found
