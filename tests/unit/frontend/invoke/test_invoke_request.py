"""What callers may send, and Lambda's exact refusals (§0.4, §2.1)."""

import base64
import json
from typing import Any

import pytest

from kubelambda.core.invoke.invoke_error import InvokeError
from kubelambda.frontend.invoke import invoke_request
from kubelambda.wire.server import Connection, Request

PATH = b"/2015-03-31/functions/hello/invocations"


def request(target: bytes = PATH, body: bytes = b"{}", size: int | None = None, **headers: bytes) -> Request:
    """A request as the parser gives it."""
    found = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    return Request(Connection(lambda _: None, max_body=1), b"POST", target, found, body, size or len(body))


def refusal(call: Any) -> InvokeError:
    """The error that a call raises."""
    with pytest.raises(InvokeError) as raised:
        call()
    return raised.value


def test_a_plain_call_is_understood() -> None:
    """Synchronous, unqualified."""
    call = invoke_request.parse_call(request())
    assert (call.reference.name, call.qualifier, call.dry_run) == ("hello", None, False)


def test_an_encoded_arn_and_a_qualifier_are_understood() -> None:
    """As botocore writes them."""
    arn = b"arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Ahello"
    call = invoke_request.parse_call(request(b"/2015-03-31/functions/" + arn + b"/invocations?Qualifier=%24LATEST"))
    assert (call.reference.account, call.qualifier) == ("123456789012", "$LATEST")


@pytest.mark.parametrize(
    ("found", "status", "kind", "text"),
    [
        (request(x_amz_invocation_type=b"Later"), 400, "ValidationException", "Value 'Later' at 'invocationType'"),
        (request(x_amz_log_type=b"All"), 400, "ValidationException", "satisfy enum value set: [None, Tail]"),
        (request(x_amz_invocation_type=b"Event"), 400, "InvalidParameterValueException", "not available"),
        (request(b"/2015-03-31/functions/a.b/invocations"), 400, "ValidationException", "'functionName'"),
        (
            request(b"/2015-03-31/functions/f:1/invocations?Qualifier=2"),
            400,
            "InvalidParameterValueException",
            "derived",
        ),
        (request(PATH + b"?Qualifier=a%20b"), 400, "ValidationException", "'qualifier'"),
        (request(b"/2015-03-31/functions"), 404, "UnknownOperationException", "no operation"),
        (request(x_amz_client_context=b"?"), 400, "InvalidRequestContentException", "Base64"),
        (request(x_amz_client_context=b"x" * 3584), 400, "InvalidParameterValueException", "3583"),
    ],
)
def test_wrong_parameters_are_refused_with_lambdas_error(found: Request, status: int, kind: str, text: str) -> None:
    """Status, type and text."""
    error = refusal(lambda: invoke_request.parse_call(found))
    assert (error.status, error.type) == (status, kind)
    assert text in error.message
    assert json.loads(error.body())["Type"] == "User"


def test_client_context_is_json_in_base64() -> None:
    """And passes when it is."""
    context = base64.b64encode(b'{"custom": {}}')
    assert invoke_request.parse_call(request(x_amz_client_context=context)).reference.name == "hello"


def test_an_event_is_json_within_the_limit() -> None:
    """An empty body is an empty event."""
    empty = request(body=b"")
    invoke_request.check_event(empty)
    assert empty.body == b"{}"
    error = refusal(lambda: invoke_request.check_event(request(body=b"{not json")))
    assert (error.status, error.type) == (400, "InvalidRequestContentException")
    assert error.message.startswith("Could not parse request body into json: Could not parse payload into json: ")
    error = refusal(lambda: invoke_request.check_event(request(body=b'"\xff"')))
    assert (error.status, error.type) == (400, "InvalidRequestContentException")
    error = refusal(lambda: invoke_request.check_event(request(size=6_291_457)))
    expected = "6291457 byte payload is too large for the RequestResponse invocation type (limit 6291456 bytes)"
    assert (error.status, error.message) == (413, expected)


@pytest.mark.parametrize(
    ("error", "member"),
    [
        (InvokeError(404, "ResourceNotFoundException", "x"), "Message"),
        (InvokeError(429, "TooManyRequestsException", "x", reason="R", retry_after=1), "message"),
        (InvokeError(500, "ServiceException", "x"), "Message"),
        (InvokeError(409, "ResourceConflictException", "x"), "message"),
    ],
)
def test_the_member_that_carries_the_text_is_lambdas(error: InvokeError, member: str) -> None:
    """Casing matters to clients (§0.2)."""
    assert json.loads(error.body())[member] == "x"
    assert b"x-amzn-ErrorType: " + error.type.encode() in error.headers()
