"""The Telemetry API and the Logs API on loopback (§4.2.1): paths, statuses and error bodies."""

import json
from collections.abc import Collection

from kubelambda.agent.sandbox.extension_host import ExtensionHost
from kubelambda.core.telemetry.telemetry_subscription import SubscriptionRefused, TelemetryApi
from kubelambda.wire.server import Request

_JSON = b"Content-Type: application/json\r\n"
_OK = b'"OK"'
_APIS = {b"/2022-07-01/telemetry": TelemetryApi.TELEMETRY, b"/2020-08-15/logs": TelemetryApi.LOGS}


def api_at(path: bytes) -> TelemetryApi | None:
    """The API that a path belongs to."""
    return _APIS.get(path.rstrip(b"/"))


def subscribe(
    request: Request, api: TelemetryApi, host: ExtensionHost, identifier: str, reserved: Collection[int]
) -> None:
    """Answers a subscription. `reserved` are the agent's own ports. Raises `ExtensionRefused`."""
    try:
        host.subscribe(identifier, api, request.body, reserved)
    except SubscriptionRefused as error:
        body = {"errorMessage": str(error), "errorType": error.error_type}
        request.respond(error.status, json.dumps(body).encode(), _JSON)
    else:
        request.respond(200, _OK, _JSON)
