"""Signatures of AWS's own signer are accepted, and of nobody else."""

import hashlib
import json
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kubelambda.core.account.sigv4 import SignatureRefused, SignedRequest, check, signature_of

ROOT = Path(__file__).parent.parent.parent.parent.parent
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SIGNER = """
import json, sys
from urllib.parse import urlsplit
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

found = []
for case in json.load(sys.stdin):
    credentials = Credentials("AKIDEXAMPLE", case["secret"], case["token"])
    request = AWSRequest(case["method"], case["url"], data=case["body"].encode(), headers=case["headers"])
    kind = SigV4QueryAuth if case["presigned"] else SigV4Auth
    kind(credentials, "lambda", "us-east-1").add_auth(request)
    prepared = request.prepare()
    parts = urlsplit(prepared.url)
    items = prepared.headers.items()
    headers = {name.lower(): value.decode() if isinstance(value, bytes) else value for name, value in items}
    found.append({"path": parts.path, "query": parts.query, "headers": headers | {"host": parts.netloc}})
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
    "encoded path": {"method": "GET", "url": f"{URL}/arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Af"},
    "query": {"method": "GET", "url": f"{URL}?MaxItems=50&Marker=a%2Bb%3D&FunctionVersion=ALL"},
    "spaces": {"method": "GET", "url": URL, "headers": {"X-Amz-Client": "  a   b "}},
    "session": {"method": "GET", "url": URL, "token": "a/session+token=="},
    "presigned": {"method": "GET", "url": f"{URL}/f?Qualifier=%24LATEST", "presigned": True},
    "presigned session": {"method": "GET", "url": URL, "presigned": True, "token": "t"},
}


@pytest.fixture(scope="module")
def signed() -> dict[str, SignedRequest]:
    """Requests that botocore signed just now."""
    given: dict[str, Any] = {"body": "", "headers": {}, "token": None, "presigned": False, "secret": SECRET}
    cases = [given | case for case in CASES.values()]
    command = [str(ROOT / ".venv-e2e" / "bin" / "python"), "-c", SIGNER]
    finished = subprocess.run(command, input=json.dumps(cases), capture_output=True, text=True, check=True, timeout=60)
    return {
        name: SignedRequest(
            case["method"],
            found["path"],
            found["query"],
            found["headers"],
            hashlib.sha256(case["body"].encode()).hexdigest(),
        )
        for name, case, found in zip(CASES, cases, json.loads(finished.stdout), strict=True)
    }


def verify(
    request: SignedRequest, secret: str = SECRET, *, later: timedelta = timedelta(0), service: str = "lambda"
) -> None:
    """As the control API will."""
    found = signature_of(request)
    assert found is not None
    check(request, found, secret, datetime.now(UTC) + later, region="us-east-1", service=service)


@pytest.mark.parametrize("name", CASES)
def test_what_botocore_signed_is_accepted(signed: dict[str, SignedRequest], name: str) -> None:
    """In the header and in the query, with and without a session."""
    verify(signed[name])
    found = signature_of(signed[name])
    assert found is not None
    assert found.access_key == "AKIDEXAMPLE"
    assert found.token == CASES[name].get("token")


@pytest.mark.parametrize("name", CASES)
def test_nothing_of_it_can_be_changed(signed: dict[str, SignedRequest], name: str) -> None:
    """Another secret, path, query, method, body, header or service."""
    request = signed[name]
    others = [
        replace(request, path=f"{request.path}x"),
        replace(request, query=f"{request.query}&more=1"),
        replace(request, method="DELETE"),
        replace(request, headers={**request.headers, "host": "other"}),
    ]
    if name == "body":
        others.append(replace(request, payload_sha256="0" * 64))
    for other in others:
        with pytest.raises(SignatureRefused, match="does not match"):
            verify(other)
    with pytest.raises(SignatureRefused, match="does not match"):
        verify(request, "another secret")
    with pytest.raises(SignatureRefused, match="scoped"):
        verify(request, service="s3")


def test_a_signature_has_its_time(signed: dict[str, SignedRequest]) -> None:
    """Five minutes each way; a presigned one as long as it says."""
    verify(signed["get"], later=timedelta(minutes=4))
    verify(signed["get"], later=timedelta(minutes=-4))
    with pytest.raises(SignatureRefused, match="expired"):
        verify(signed["get"], later=timedelta(minutes=6))
    with pytest.raises(SignatureRefused, match="not yet current"):
        verify(signed["get"], later=timedelta(minutes=-6))
    verify(signed["presigned"], later=timedelta(minutes=50))
    with pytest.raises(SignatureRefused, match="expired"):
        verify(signed["presigned"], later=timedelta(minutes=61))


def test_the_vector_of_the_specification() -> None:
    """`get-vanilla` of AWS's test suite."""
    scope = "AKIDEXAMPLE/20150830/us-east-1/service/aws4_request"
    signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    headers = {
        "host": "example.amazonaws.com",
        "x-amz-date": "20150830T123600Z",
        "authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature={signature}",
    }
    request = SignedRequest("GET", "/", "", headers, hashlib.sha256(b"").hexdigest())
    found = signature_of(request)
    assert found is not None
    now = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
    check(request, found, SECRET, now, region="us-east-1", service="service")


@pytest.mark.parametrize(
    "authorization",
    [
        "AWS4-HMAC-SHA256 Credential=a",
        "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=" + "0" * 64,
        "AWS4-HMAC-SHA256 Credential=a/20150830/r/s/aws4_request, SignedHeaders=host, Signature=" + "0" * 64,
    ],
)
def test_half_a_signature_is_refused(authorization: str) -> None:
    """Parts that are missing, a credential without its scope, no date."""
    with pytest.raises(SignatureRefused) as raised:
        signature_of(SignedRequest("GET", "/", "", {"authorization": authorization}, ""))
    assert raised.value.type == "IncompleteSignatureException"


def test_no_signature_is_none() -> None:
    """Neither in the header nor in the query."""
    assert signature_of(SignedRequest("GET", "/", "a=b", {"authorization": "Bearer x"}, "")) is None
