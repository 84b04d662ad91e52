"""What callers may send, and Lambda's exact refusals (§0.4, §2.1)."""

import base64
import json
import re
from typing import Any
from uuid import RFC_4122, UUID

import pytest

from kubelambda.core.invoke import lineage
from kubelambda.core.invoke.invoke_error import InvokeError
from kubelambda.frontend.invoke import invoke_request
from kubelambda.frontend.invoke.invoke_request import AnotherOperation
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


def test_the_old_asynchronous_operation_is_an_event() -> None:
    """InvokeAsync: whatever type the caller names beside it."""
    for ending in (b"", b"/"):
        target = b"/2014-11-13/functions/hello:live/invoke-async" + ending
        for kind in (b"RequestResponse", b"DryRun"):
            call = invoke_request.parse_call(request(target, x_amz_invocation_type=kind))
            assert (call.reference.name, call.qualifier) == ("hello", "live")
            assert (call.event, call.dry_run, call.streamed) == (True, False, False)


def test_a_stream_is_asked_for_by_its_path() -> None:
    """InvokeWithResponseStream is Invoke in everything else; an event has no answer that could be streamed."""
    streamed = b"/2021-11-15/functions/hello/response-streaming-invocations?Qualifier=live"
    call = invoke_request.parse_call(request(streamed))
    assert (call.reference.name, call.qualifier, call.streamed) == ("hello", "live", True)
    assert not invoke_request.parse_call(request()).streamed
    assert invoke_request.parse_call(request(streamed, x_amz_invocation_type=b"DryRun")).dry_run
    error = refusal(lambda: invoke_request.parse_call(request(streamed, x_amz_invocation_type=b"Event")))
    assert error.type == "ValidationException"
    assert error.message.endswith("satisfy enum value set: [RequestResponse, DryRun]")
    for is_streamed in (False, True):
        target = invoke_request.target_of("hello", streamed=is_streamed).encode()
        assert invoke_request.parse_call(request(target)).streamed is is_streamed


@pytest.mark.parametrize(
    ("found", "status", "kind", "text"),
    [
        (request(x_amz_invocation_type=b"Later"), 400, "ValidationException", "Value 'Later' at 'invocationType'"),
        (request(x_amz_log_type=b"All"), 400, "ValidationException", "satisfy enum value set: [None, Tail]"),
        (request(b"/2015-03-31/functions/a%20b/invocations"), 400, "ValidationException", "'functionName'"),
        (
            request(b"/2015-03-31/functions/f:1/invocations?Qualifier=2"),
            400,
            "InvalidParameterValueException",
            "derived",
        ),
        (request(PATH + b"?Qualifier=a%20b"), 400, "ValidationException", "'qualifier'"),
        (request(x_amz_client_context=b"?"), 400, "InvalidRequestContentException", "Base64"),
        (request(x_amz_client_context=b"NQ=="), 400, "InvalidRequestContentException", "JSON object"),
        (request(x_amz_client_context=b"x" * 3584), 400, "InvalidParameterValueException", "3583"),
        (request(x_amz_tenant_id=b"one"), 400, "InvalidParameterValueException", "TenantId is not served"),
        (request(x_amz_durable_execution_name=b"a"), 400, "InvalidParameterValueException", "DurableExecutionName"),
    ],
)
def test_wrong_parameters_are_refused_with_lambdas_error(found: Request, status: int, kind: str, text: str) -> None:
    """Status, type and text."""
    error = refusal(lambda: invoke_request.parse_call(found))
    assert (error.status, error.type) == (status, kind)
    assert text in error.message
    assert json.loads(error.body())["Type"] == "User"


@pytest.mark.parametrize(
    "found", [request(b"/2015-03-31/functions"), request(b"/2015-03-31/functions/f"), request(b"/")]
)
def test_what_is_not_invoke_is_somebody_elses(found: Request) -> None:
    """Other paths belong to the control API."""
    with pytest.raises(AnotherOperation):
        invoke_request.parse_call(found)


NAME_PATTERN = (
    r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?"
    r"([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?"
)
QUALIFIER_PATTERN = r"\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+"


def test_everything_that_is_out_of_shape_is_listed_in_one_error() -> None:
    """The qualifier first, with the patterns as Lambda quotes them (§1.2.1a)."""
    target = b"/2015-03-31/functions/a%20b/invocations?Qualifier=c%20d"
    error = refusal(lambda: invoke_request.parse_call(request(target, x_amz_log_type=b"All")))
    assert (error.status, error.type) == (400, "ValidationException")
    assert error.message == (
        "3 validation errors detected: "
        "Value 'c d' at 'qualifier' failed to satisfy constraint: "
        f"Member must satisfy regular expression pattern: {QUALIFIER_PATTERN}; "
        "Value 'a b' at 'functionName' failed to satisfy constraint: "
        f"Member must satisfy regular expression pattern: {NAME_PATTERN}; "
        "Value 'All' at 'logType' failed to satisfy constraint: Member must satisfy enum value set: [None, Tail]"
    )


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (
            PATH + b"?Qualifier=" + b"q" * 129,
            "at 'qualifier' failed to satisfy constraint: Member must have length less",
        ),
        (
            b"/2015-03-31/functions/" + b"f" * 141 + b"/invocations",
            "at 'functionName' failed to satisfy constraint: Member must have length less than or equal to 140",
        ),
    ],
)
def test_what_is_too_long_is_refused(target: bytes, text: str) -> None:
    """Whatever its characters."""
    error = refusal(lambda: invoke_request.parse_call(request(target)))
    assert error.type == "ValidationException"
    assert error.message.startswith("1 validation error detected: Value '")
    assert text in error.message


@pytest.mark.parametrize("qualifier", ["$latest", "$LATEST.PUBLISHED", "7", "live", "q" * 128])
def test_whatever_has_the_form_of_a_qualifier_is_looked_up(qualifier: str) -> None:
    """`$latest` is a qualifier that no function has."""
    call = invoke_request.parse_call(request(PATH + b"?Qualifier=" + qualifier.replace("$", "%24").encode()))
    assert call.qualifier == qualifier


@pytest.mark.parametrize("context", [b'{"custom": {}}', b'{\n  "custom": {\n    "name": "J\xc3\xbcrgen"\n  }\n}\n'])
def test_client_context_is_json_in_base64(context: bytes) -> None:
    """And passes when it is, over several lines and beyond ASCII too."""
    found = request(x_amz_client_context=base64.b64encode(context))
    assert invoke_request.parse_call(found).reference.name == "hello"


@pytest.mark.parametrize("context", [b"", b"[NaN]", b'"\xff"', "{}".encode("utf-16"), b"[" * 2_000])
def test_client_context_that_is_no_json_is_refused(context: bytes) -> None:
    """Before any runtime has to make sense of it."""
    error = refusal(lambda: invoke_request.parse_call(request(x_amz_client_context=base64.b64encode(context))))
    assert (error.status, error.type) == (400, "InvalidRequestContentException")


def test_a_request_has_a_whole_trace_header() -> None:
    """Made where the caller sent none, and left alone where it is whole."""
    first, second = request(), request()
    for found in (first, second):
        invoke_request.complete_trace(found)
    made = first.headers[b"x-amzn-trace-id"]
    assert re.fullmatch(rb"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0", made)
    assert second.headers[b"x-amzn-trace-id"] != made
    again = request(x_amzn_trace_id=made)
    invoke_request.complete_trace(again)
    assert again.headers[b"x-amzn-trace-id"] == made


def test_a_request_has_an_id_of_its_own() -> None:
    """A UUID of version 4, as Lambda's are."""
    found = [UUID(invoke_request.new_request_id(request(), trusted=True)) for _ in range(64)]
    assert {(each.version, each.variant) for each in found} == {(4, RFC_4122)}
    assert len(set(found)) == 64


def test_a_request_counts_in_its_chain_once() -> None:
    """However often it is passed on; a chain that came back too often ends, unless it may not."""
    arn = "arn:aws:lambda:us-east-1:123456789012:function:hello"
    found = request()
    for _ in range(2):
        invoke_request.advance_chain(found, arn, endless=False)
    chain = found.headers[b"x-amzn-trace-id"]
    assert chain == lineage.begun(arn)
    later = request(x_amzn_trace_id=b"Root=1-1-1;" + chain)
    invoke_request.advance_chain(later, arn, endless=False)
    assert later.headers[b"x-amzn-trace-id"] == b"Root=1-1-1;" + chain.replace(b":1", b":2")
    many = chain.replace(b":1", b":%d" % lineage.LIMIT)
    assert (
        refusal(lambda: invoke_request.advance_chain(request(x_amzn_trace_id=many), arn, endless=False)).status == 400
    )
    invoke_request.advance_chain(request(x_amzn_trace_id=many), arn, endless=True)


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
    for body in (b"[NaN]", b"[" * 200_000 + b"]" * 200_000):
        error = refusal(lambda: invoke_request.check_event(request(body=body)))  # noqa: B023 - called at once
        assert (error.status, error.type) == (400, "InvalidRequestContentException")
    invoke_request.check_event(request(body=b"1" * 5_000))
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
