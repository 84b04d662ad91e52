"""Accepting events from frontends: 202 once an event is durable, and never before (§6.1)."""

import hmac
import logging
import time
from collections.abc import Callable

from kubelambda.core.environment import tokens
from kubelambda.core.event.delivery import accepted
from kubelambda.events.event_metrics import EventMetrics
from kubelambda.store.event.event_queue import EventQueue, InvokedFunction, QueuedEvent, QueueUnavailable
from kubelambda.wire.background_tasks import BackgroundTasks
from kubelambda.wire.request import Request

PATH = b"/events"
NAMESPACE = b"x-kubelambda-namespace"
FUNCTION = b"x-kubelambda-function"
QUALIFIER = b"x-kubelambda-qualifier"
ARN = b"x-kubelambda-arn"
REQUEST_ID = b"x-amzn-requestid"
_KEPT = (b"x-amzn-trace-id", ARN)

log = logging.getLogger(__name__)


class EventIntake:
    """`on_accepted` gets the number of every event that is kept, with what it is for."""

    def __init__(
        self, queue: EventQueue, key: bytes, on_accepted: Callable[[int, QueuedEvent], None], metrics: EventMetrics
    ) -> None:
        self._metrics = metrics
        self._queue = queue
        self._authorization = f"Bearer {tokens.caller_token(key, 'frontend')}".encode()
        self._on_accepted = on_accepted
        self._tasks = BackgroundTasks()
        self.draining = False

    def serve(self, request: Request) -> None:
        """Answers one request."""
        if request.target == b"/healthz":
            request.respond(200, b"ok")
        elif request.target == b"/readyz":
            request.respond(503 if self.draining else 200, b"draining" if self.draining else b"ok")
        elif request.method != b"POST" or request.target != PATH:
            request.respond(404)
        elif not hmac.compare_digest(request.headers.get(b"authorization", b""), self._authorization):
            request.respond(401)
        else:
            self._tasks.answer(request, self._accept(request))

    async def _accept(self, request: Request) -> None:
        headers = request.headers
        try:
            event = QueuedEvent(
                InvokedFunction(*(headers.get(name, b"").decode() for name in (NAMESPACE, FUNCTION, QUALIFIER))),
                headers[REQUEST_ID].decode(),
                request.body,
                accepted(time.time()),
                {name.decode(): headers[name].decode() for name in _KEPT if name in headers},
            )
        except (KeyError, UnicodeDecodeError):
            request.respond(400, b"an event comes with its function and its request id")
            return
        try:
            number = await self._queue.append(event)
        except QueueUnavailable as error:
            self._metrics.refused()
            log.warning("an event of %s/%s was not accepted: %s", event.target.namespace, event.target.function, error)
            request.respond(503, str(error).encode())
            return
        request.respond(202)
        self._on_accepted(number, event)
