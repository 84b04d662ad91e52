"""Operations that this release does not have: durable executions, capacity providers and a few others."""

import json
from typing import Any, cast

import pytest

from kubelambda.awsapi import operations
from kubelambda.awsapi.account.caller_check import CallerCheck
from kubelambda.awsapi.api_settings import ApiSettings
from kubelambda.awsapi.application import ControlApi
from kubelambda.awsapi.call import Services
from kubelambda.awsapi.model.service_model import Operation, ServiceModel
from kubelambda.callers.audit_log import AuditLog
from kubelambda.frontend import front_door
from kubelambda.frontend.invoke import invoke_request

NOTHING = cast("Any", None)
BY_FRONTENDS = {"Invoke", "InvokeAsync", "InvokeWithResponseStream"}
LAMBDA = ServiceModel.load("lambda")
SCALING = ServiceModel.load("application-autoscaling")
NOT_SERVED = [
    *(each for each in LAMBDA.operations.values() if each.name not in operations.LAMBDA.keys() | BY_FRONTENDS),
    *(each for each in SCALING.operations.values() if each.name not in operations.SCALING),
]


def path_of(operation: Operation) -> str:
    """A path that asks for an operation, as SDKs encode what it is about."""
    segments = ["arn%3Aaws%3Alambda%2Fx" if each.startswith("{") else each for each in operation.segments]
    return "/" + "/".join(segments)


async def asked(operation: Operation) -> tuple[int, dict[str, str], Any]:
    """Status, headers and body of the answer of a control API that has nothing behind it."""
    services = Services(NOTHING, NOTHING, NOTHING, ApiSettings(), NOTHING, LAMBDA, NOTHING)
    audit = AuditLog(lambda _: None, lambda *_: None)
    application = ControlApi(services, cast("CallerCheck", None), audit).application()
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"x-amz-target", f"{SCALING.target_prefix}.{operation.name}".encode())]
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": operation.method,
        "scheme": "http",
        "root_path": "",
        "path": path_of(operation),
        "raw_path": path_of(operation).encode(),
        "query_string": b"&".join(f"{name}={value}".encode() for name, value in operation.query),
        "headers": headers if operation.name in SCALING.operations and operation.segments == ("",) else [],
    }
    await application(scope, receive, send)
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], found, json.loads(sent[1]["body"])


@pytest.mark.parametrize("operation", NOT_SERVED, ids=lambda operation: operation.name)
async def test_what_is_not_served_says_so_by_its_name(operation: Operation) -> None:
    """501 with a type and a text that SDKs show, whoever asks and whatever for; never a false success, never a 404."""
    status, headers, body = await asked(operation)
    assert (status, headers["x-amzn-errortype"]) == (501, "NotServedException")
    assert body["message"] == f"{operation.name} is not served by this release of kubelambda: nothing was done."


@pytest.mark.parametrize("model", [LAMBDA, SCALING], ids=["lambda", "application-autoscaling"])
def test_frontends_let_every_operation_through(model: ServiceModel) -> None:
    """Those that they do not serve themselves go to the control API, which knows them all."""
    for operation in model.operations.values():
        path = path_of(operation).encode()
        assert invoke_request.is_invoke(path) == (operation.name in BY_FRONTENDS), operation
        assert front_door._CONTROL_API.match(path), operation
