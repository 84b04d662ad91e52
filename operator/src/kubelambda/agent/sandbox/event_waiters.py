"""Extensions that wait for an event, and events whose extension had lost its connection."""

import json
import uuid

from kubelambda.wire.server import Request

type ExtensionEvent = dict[str, object]

_JSON = b"Content-Type: application/json\r\n"
_EVENT_ID = b"Lambda-Extension-Event-Identifier: %b\r\n"


class EventWaiters:
    """By identifier. What was sent into a connection that had ended waits until its extension asks once more."""

    def __init__(self) -> None:
        self._waiting: dict[str, Request] = {}
        self._missed: dict[str, ExtensionEvent] = {}

    def missed(self, identifier: str, request: Request) -> bool:
        """Answers with the event that the extension has missed; False when there is none."""
        event = self._missed.pop(identifier, None)
        if event is not None:
            _answer_with(event, request)
        return event is not None

    def asks_again(self, identifier: str) -> bool:
        """Whether it waited already, on a connection that has ended."""
        earlier = self._waiting.get(identifier)
        return earlier is not None and not earlier.alive

    def add(self, identifier: str, request: Request) -> None:
        """It waits."""
        self._waiting[identifier] = request

    def send(self, identifier: str, event: ExtensionEvent) -> None:
        """Sends an event, now or when it asks again."""
        request = self._waiting.pop(identifier, None)
        if request is not None and request.alive:
            _answer_with(event, request)
        else:
            self._missed[identifier] = event


def _answer_with(event: ExtensionEvent, request: Request) -> None:
    request.respond(200, json.dumps(event).encode(), _JSON + _EVENT_ID % str(uuid.uuid4()).encode())
