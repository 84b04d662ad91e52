"""What we sign is what we accept, and what AWS's own vector says."""

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
