"""The Lambda Extensions API on loopback (§4.1): paths, statuses and error bodies."""

import json
import uuid
from collections.abc import Collection

from kubelambda.agent.apis import telemetry_api
from kubelambda.agent.sandbox.extension_host import ExtensionHost
from kubelambda.agent.sandbox.sandbox import Sandbox
from kubelambda.core.extension.extension_roll import Extension
from kubelambda.core.extension.extension_state import ExtensionRefused, ExtensionStep
from kubelambda.wire.server import Request

_JSON = b"Content-Type: application/json\r\n"
_OK = b'{"status":"OK"}\n'
_PREFIX = b"/2020-01-01/extension/"
_NAME = b"lambda-extension-name"
_IDENTIFIER = b"lambda-extension-identifier"
_ERROR_TYPE = b"lambda-extension-function-error-type"
_FEATURES = b"lambda-extension-accept-feature"
_IDENTIFIER_LINE = b"Lambda-Extension-Identifier: %b\r\n"
_REPORTS = {
    b"init/error": (ExtensionStep.INIT_ERROR, "Extension.InitError"),
    b"exit/error": (ExtensionStep.EXIT_ERROR, "Extension.ExitError"),
}


class ExtensionsApi:
    """Serves the extensions of a function, and those that its runtime has inside."""

    def __init__(self, sandbox: Sandbox, reserved: Collection[int]) -> None:
        """`reserved` are the agent's own ports, to which no telemetry is sent."""
        self._sandbox = sandbox
        self._reserved = reserved

    def serve(self, request: Request, path: bytes) -> None:
        """Answers one request; `/event/next` is answered when there is an event."""
        try:
            self._route(request, path)
        except ExtensionRefused as error:
            _reply(request, 403, {"errorMessage": str(error), "errorType": error.error_type})

    def _route(self, request: Request, path: bytes) -> None:
        call, method = path.removeprefix(_PREFIX), request.method
        if call == b"event/next" and method == b"GET":
            self._host().next(_identifier(request), request)
        elif call == b"register" and method == b"POST":
            self._register(request)
        elif call in _REPORTS and method == b"POST":
            self._report(request, *_REPORTS[call])
        elif (api := telemetry_api.api_at(path)) is not None and method == b"PUT":
            identifier = _identifier(request)
            telemetry_api.subscribe(request, api, self._host(), identifier, self._reserved)
        else:
            message = f"no such call: {path.decode(errors='replace')}"
            _reply(request, 404, {"errorMessage": message, "errorType": "NotFound"})

    def _host(self) -> ExtensionHost:
        """Who looks after the caller. Raises `ExtensionRefused`, also when the caller ended before it was heard.

        A process that is killed in the middle of a call leaves it behind: it must not count as one of the next life.
        """
        if self._sandbox.extensions is None and not self._sandbox.runtime.running:
            raise ExtensionRefused("Extension.InvalidExtensionState", "No process of the function is running")
        return self._sandbox.hosting()

    def _register(self, request: Request) -> None:
        name = request.headers.get(_NAME, b"").decode(errors="replace")
        if not name:
            raise ExtensionRefused("Extension.InvalidExtensionName", "Empty extension name")
        found = self._host().register(name, _events(request))
        wanted = self._sandbox.wanted
        answer = {"functionName": wanted.name, "functionVersion": wanted.version, "handler": wanted.handler}
        features = request.headers.get(_FEATURES, b"").split(b",")
        if b"accountId" in [each.strip() for each in features]:
            answer["accountId"] = wanted.account_id
        _reply(request, 200, answer, _IDENTIFIER_LINE % found.identifier.encode())

    def _report(self, request: Request, step: ExtensionStep, error_type: str) -> None:
        identifier = _identifier(request)
        own_type = request.headers.get(_ERROR_TYPE, b"").decode(errors="replace")
        if not own_type:
            raise ExtensionRefused("Extension.MissingHeader", "Lambda-Extension-Function-Error-Type not found")
        host = self._host()
        found: Extension = host.reported(identifier, step, own_type)
        request.respond(202, _OK, _JSON)
        host.failed(error_type, f"extension {found.name}: {own_type}")


def _identifier(request: Request) -> str:
    given = request.headers.get(_IDENTIFIER, b"").decode(errors="replace")
    if not given:
        text = "Missing Lambda-Extension-Identifier header"
        raise ExtensionRefused("Extension.MissingExtensionIdentifier", text)
    try:
        return str(uuid.UUID(given))
    except ValueError as error:
        text = "Invalid Lambda-Extension-Identifier"
        raise ExtensionRefused("Extension.InvalidExtensionIdentifier", text) from error


def _events(request: Request) -> list[str]:
    """What a registration is for. Raises `ExtensionRefused`."""
    try:
        found = json.loads(request.body or b"{}")
        events = found.get("events") or []
        if found.get("configurationKeys"):
            raise ValueError("configurationKeys are deprecated; use environment variables instead")
        if not isinstance(events, list) or not all(isinstance(each, str) for each in events):
            raise ValueError("events is no list of strings")
    except (ValueError, AttributeError, RecursionError) as error:
        raise ExtensionRefused("InvalidRequestFormat", str(error)) from error
    return events


def _reply(request: Request, status: int, body: dict[str, str], headers: bytes = b"") -> None:
    request.respond(status, json.dumps(body).encode(), _JSON + headers)
