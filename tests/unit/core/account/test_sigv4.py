"""Signatures of AWS's own signer are accepted, and of nobody else."""

import hashlib
import json
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kubelambda.core.account.caller_refused import CallerRefused
from kubelambda.core.account.sigv4 import SignedHead, check_scope, check_signature, signature_of

ROOT = Path(__file__).parent.parent.parent.parent.parent
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SIGNER = """
import json, sys
from urllib.parse import urlsplit
from botocore.auth import SigV4Auth, SigV4QueryAuth, S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

KINDS = {"header": SigV4Auth, "query": SigV4QueryAuth, "digest": S3SigV4Auth}
found = []
for case in json.load(sys.stdin):
    credentials = Credentials("AKIDEXAMPLE", case["secret"], case["token"])
    request = AWSRequest(case["method"], case["url"], data=case["body"].encode(), headers=case["headers"])
    request.context.update(case["context"])
    KINDS[case["kind"]](credentials, "lambda", "us-east-1").add_auth(request)
    prepared = request.prepare()
    parts = urlsplit(prepared.url)
    items = prepared.headers.items()
    headers = {name.lower(): value.decode() if isinstance(value, bytes) else value for name, value in items}
    target = parts.path + ("?" + parts.query if parts.query else "")
    found.append({"target": target, "headers": headers | {"host": parts.netloc}})
json.dump(found, sys.stdout)
"""
URL = "http://kubelambda.test:9000/2015-03-31/functions"
CASES: dict[str, dict[str, Any]] = {
    "get": {"method": "GET", "url": URL},
    "body": {
        "method": "POST",
        "url": URL,
        "body": '{"FunctionName": "f"}',
        "headers": {"Content-Type": "application/json"},
    },
    "invoke": {
        "method": "POST",
        "url": f"{URL}/f/invocations?Qualifier=live",
        "body": "{}",
        "headers": {"X-Amz-Invocation-Type": "Event", "X-Amz-Client-Context": "e30=", "User-Agent": "Boto3/1"},
    },
    "encoded path": {"method": "GET", "url": f"{URL}/arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Af"},
    "slashes and dots": {"method": "GET", "url": f"{URL}//a/./b/../f/"},
    "characters": {"method": "GET", "url": f"{URL}/caf%C3%A9%20x"},
    "query": {"method": "GET", "url": f"{URL}?MaxItems=50&Marker=a%2Bb%3D&FunctionVersion=ALL"},
    "query without values": {"method": "GET", "url": f"{URL}?b&a=&c=%20x&a=2"},
    "spaces": {"method": "GET", "url": URL, "headers": {"X-Amz-Client": "  a   b "}},
    "session": {"method": "GET", "url": URL, "token": "a/session+token=="},
    "date header": {"method": "GET", "url": URL, "headers": {"Date": "Thu, 01 Jan 2015 00:00:00 GMT"}},
    "digest": {"method": "PUT", "url": URL, "body": "x" * 1000, "kind": "digest"},
    "unsigned payload": {
        "method": "PUT",
        "url": URL.replace("http:", "https:"),
        "body": "not signed",
        "context": {"payload_signing_enabled": False},
    },
    "presigned": {"method": "GET", "url": f"{URL}/f?Qualifier=%24LATEST", "kind": "query"},
    "presigned invoke": {"method": "POST", "url": f"{URL}/f/invocations", "kind": "query"},
    "presigned session": {"method": "GET", "url": URL, "kind": "query", "token": "t/+="},
}


@pytest.fixture(scope="module")
def signed() -> dict[str, SignedHead]:
    """Requests that botocore signed just now."""
    given: dict[str, Any] = {
        "body": "",
        "headers": {},
        "token": None,
        "kind": "header",
        "secret": SECRET,
        "context": {},
    }
    cases = [given | case for case in CASES.values()]
    command = [str(ROOT / ".venv-e2e" / "bin" / "python"), "-c", SIGNER]
    finished = subprocess.run(command, input=json.dumps(cases), capture_output=True, text=True, check=True, timeout=60)
    return {
        name: SignedHead(
            case["method"].encode(),
            found["target"].encode(),
            {key.encode(): value.encode() for key, value in found["headers"].items()},
        )
        for name, case, found in zip(CASES, cases, json.loads(finished.stdout), strict=True)
    }


def digest(name: str) -> str:
    """Of the body of a case."""
    return hashlib.sha256(CASES[name].get("body", "").encode()).hexdigest()


def verify(head: SignedHead, body: str, secret: str = SECRET, *, later: float = 0.0, service: str = "lambda") -> None:
    """As our APIs do."""
    found = signature_of(head)
    assert found is not None
    check_scope(found, time.time() + later, region="us-east-1", service=service)
    check_signature(head, found, secret, body)


@pytest.mark.parametrize("name", CASES)
def test_what_botocore_signed_is_accepted(signed: dict[str, SignedHead], name: str) -> None:
    """In the header and in the query, with and without a session, a date, a digest of the body."""
    verify(signed[name], digest(name))
    found = signature_of(signed[name])
    assert found is not None
    assert found.access_key == "AKIDEXAMPLE"
    assert found.token == CASES[name].get("token")


@pytest.mark.parametrize("name", CASES)
def test_nothing_of_it_can_be_changed(signed: dict[str, SignedHead], name: str) -> None:
    """Another secret, path, query, method, body, header or service."""
    head = signed[name]
    more = b"&more=1" if b"?" in head.target else b"?more=1"
    others = [
        replace(head, target=head.target.replace(b"functions", b"functionz")),
        replace(head, target=head.target + more),
        replace(head, method=b"DELETE"),
        replace(head, headers={**head.headers, b"host": b"other"}),
    ]
    for other in others:
        with pytest.raises(CallerRefused, match="does not match"):
            verify(other, digest(name))
    with pytest.raises(CallerRefused, match="does not match"):
        verify(head, digest(name), "another secret")
    with pytest.raises(CallerRefused, match="scoped to correct service: 's3'"):
        verify(head, digest(name), service="s3")


@pytest.mark.parametrize("name", ["body", "invoke", "digest", "presigned invoke"])
def test_the_body_is_signed(signed: dict[str, SignedHead], name: str) -> None:
    """Another body is refused; that of a request that says UNSIGNED-PAYLOAD may be any."""
    with pytest.raises(CallerRefused, match="does not match"):
        verify(signed[name], "0" * 64)
    verify(signed["unsigned payload"], "0" * 64)


@pytest.mark.parametrize("name", ["get", "presigned"])
def test_the_port_of_the_protocol_may_be_written_or_not(name: str) -> None:
    """Signers leave it out, and some clients send it all the same."""
    case: dict[str, Any] = {"body": "", "headers": {}, "token": None, "kind": "header", "secret": SECRET, "context": {}}
    case |= CASES[name] | {"url": CASES[name]["url"].replace(":9000", ":80")}
    command = [str(ROOT / ".venv-e2e" / "bin" / "python"), "-c", SIGNER]
    finished = subprocess.run(command, input=json.dumps([case]), capture_output=True, text=True, check=True, timeout=60)
    (found,) = json.loads(finished.stdout)
    headers = {key.encode(): value.encode() for key, value in found["headers"].items()}
    for host in (b"kubelambda.test", b"kubelambda.test:80"):
        verify(SignedHead(b"GET", found["target"].encode(), headers | {b"host": host}), digest(name))
    with pytest.raises(CallerRefused, match="does not match"):
        verify(SignedHead(b"GET", found["target"].encode(), headers | {b"host": b"kubelambda.test:81"}), digest(name))


def test_a_payload_cannot_be_declared_unsigned_afterwards(signed: dict[str, SignedHead]) -> None:
    """Somebody on the way adds the header that says so: the signature was made without."""
    head = signed["body"]
    forged = replace(head, headers={**head.headers, b"x-amz-content-sha256": b"UNSIGNED-PAYLOAD"})
    with pytest.raises(CallerRefused, match="does not match"):
        verify(forged, "0" * 64)


def test_a_signature_has_its_time(signed: dict[str, SignedHead]) -> None:
    """Five minutes each way, in AWS's words; a presigned one as long as it says."""
    body = digest("get")
    verify(signed["get"], body, later=240)
    verify(signed["get"], body, later=-240)
    stamp = r"\d{8}T\d{6}Z"
    expired = rf"^Signature expired: {stamp} is now earlier than {stamp} \({stamp} - 5 min\.\)$"
    with pytest.raises(CallerRefused, match=expired):
        verify(signed["get"], body, later=360)
    early = rf"^Signature not yet current: {stamp} is still later than {stamp} \({stamp} \+ 5 min\.\)$"
    with pytest.raises(CallerRefused, match=early):
        verify(signed["get"], body, later=-360)
    verify(signed["presigned"], body, later=3000)
    with pytest.raises(CallerRefused, match="expired"):
        verify(signed["presigned"], body, later=3700)


def test_the_region_is_ours(signed: dict[str, SignedHead]) -> None:
    """Both what is wrong with a scope, as AWS lists it."""
    found = signature_of(signed["get"])
    assert found is not None
    text = (
        "Credential should be scoped to a valid region, not 'us-east-1'. Credential should be scoped to correct service"
    )
    with pytest.raises(CallerRefused, match=text) as raised:
        check_scope(found, time.time(), region="eu-west-1", service="s3")
    assert raised.value.type == "InvalidSignatureException"


def head_of(**headers: str) -> SignedHead:
    """A GET of the root."""
    return SignedHead(b"GET", b"/", {k.replace("_", "-").encode(): v.encode() for k, v in headers.items()})


SCOPE = "AKIDEXAMPLE/20150830/us-east-1/service/aws4_request"
EMPTY = hashlib.sha256(b"").hexdigest()
# AWS's test suite of Signature Version 4: target, further headers, which of them are signed, signature.
VECTORS: dict[str, tuple[str, dict[str, str], str, str]] = {
    "get-vanilla": (
        "/",
        {},
        "host;x-amz-date",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    "get-vanilla-query-order-key-case": (
        "/?Param2=value2&Param1=value1",
        {},
        "host;x-amz-date",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    "get-header-value-trim": (
        "/",
        {"my-header1": " value1", "my-header2": ' "a   b   c"'},
        "host;my-header1;my-header2;x-amz-date",
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    ),
}


@pytest.mark.parametrize("name", VECTORS)
def test_vectors_of_the_specification(name: str) -> None:
    """Some of AWS's own suite."""
    target, more, names, signature = VECTORS[name]
    headers = {
        "host": "example.amazonaws.com",
        "x-amz-date": "20150830T123600Z",
        "authorization": f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders={names}, Signature={signature}",
        **more,
    }
    head = SignedHead(b"GET", target.encode(), {k.encode(): v.encode() for k, v in headers.items()})
    found = signature_of(head)
    assert found is not None
    check_scope(found, 1440938160.0, region="us-east-1", service="service")
    check_signature(head, found, SECRET, EMPTY)


def test_the_parts_of_the_header_come_in_any_order() -> None:
    """With and without blanks between them."""
    parts = ["Signature=" + "0" * 64, f"Credential={SCOPE}", "SignedHeaders=host"]
    found = signature_of(head_of(authorization="AWS4-HMAC-SHA256 " + ",".join(parts), x_amz_date="20150830T123600Z"))
    assert found is not None
    assert found.access_key == "AKIDEXAMPLE"


INCOMPLETE = (
    "Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. "
    "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
)
PRESIGNED = f"/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-SignedHeaders=host&X-Amz-Signature=00&X-Amz-Credential={SCOPE}"


@pytest.mark.parametrize(
    ("authorization", "text"),
    [
        ("AWS4-HMAC-SHA256 Credential=a", INCOMPLETE),
        ("AWS4-HMAC-SHA256 nothing", "'nothing' not a valid key=value pair"),
        ("AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=" + "0" * 64, "'X-Amz-Date'"),
    ],
)
def test_half_a_signature_is_refused(authorization: str, text: str) -> None:
    """Parts that are missing, in AWS's words; what was given is not repeated."""
    with pytest.raises(CallerRefused, match=text) as raised:
        signature_of(head_of(authorization=authorization))
    assert raised.value.type == "IncompleteSignatureException"
    assert "0000" not in str(raised.value)


@pytest.mark.parametrize(
    "target",
    [
        "/?X-Amz-Algorithm=AWS4-HMAC-SHA256",
        PRESIGNED + "&X-Amz-Date=20150830T123600Z&X-Amz-Expires=604801",
        PRESIGNED + "&X-Amz-Date=20150830T123600Z&X-Amz-Expires=%C2%B2",
    ],
)
def test_half_a_presigned_address_is_refused(target: str) -> None:
    """Without its parts, for longer than a week, for a number that is none."""
    with pytest.raises(CallerRefused) as raised:
        signature_of(SignedHead(b"GET", target.encode(), {}))
    assert raised.value.type == "IncompleteSignatureException"


def test_a_date_that_no_calendar_has_is_refused() -> None:
    """The thirteenth month."""
    scope = SCOPE.replace("20150830", "20151301")
    given = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=" + "0" * 64
    found = signature_of(head_of(authorization=given, x_amz_date="20151301T000000Z"))
    assert found is not None
    with pytest.raises(CallerRefused, match="ISO-8601"):
        check_scope(found, 0.0, region="us-east-1", service="service")


def test_no_signature_is_none() -> None:
    """Neither in the header nor in the query."""
    assert signature_of(head_of(authorization="Bearer x")) is None
    assert signature_of(SignedHead(b"GET", b"/?X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256", {})) is None
