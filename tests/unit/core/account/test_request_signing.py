"""What we sign is what we accept, and what AWS's own vector says."""

import hashlib
from datetime import UTC, datetime

from kubelambda.core.account.request_signing import ClientKey, Question, signed_headers

NOW = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
KEY = ClientKey("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")


def test_the_vanilla_vector_of_aws() -> None:
    """get-vanilla of the test suite that AWS publishes."""
    headers = signed_headers(Question("example.amazonaws.com", "/", "", "us-east-1", "service"), KEY, NOW)
    signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    assert headers["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders=host;x-amz-date, Signature={signature}"
    )


def test_a_session_token_is_signed() -> None:
    """Else anybody could put another one in its place."""
    key = ClientKey(KEY.id, KEY.secret, "token")
    headers = signed_headers(Question("example.amazonaws.com", "/", "", "us-east-1", "service"), key, NOW)
    assert headers["x-amz-security-token"] == "token"
    assert "SignedHeaders=host;x-amz-date;x-amz-security-token" in headers["authorization"]


def test_the_object_vector_of_s3() -> None:
    """GET Object of S3's documentation: a range, and the digest of the body that S3 wants to see signed."""
    key = ClientKey("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    question = Question("examplebucket.s3.amazonaws.com", "/test.txt", "", "us-east-1", "s3")
    more = {"x-amz-content-sha256": hashlib.sha256().hexdigest(), "range": "bytes=0-9"}
    headers = signed_headers(question, key, datetime(2013, 5, 24, tzinfo=UTC), more)
    signature = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    assert headers["authorization"].endswith(f"Signature={signature}")
