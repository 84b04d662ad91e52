"""What is asked of S3, and what its refusals mean."""

from datetime import UTC, datetime

import pytest

from kubelambda.core.account.request_signing import ClientKey
from kubelambda.core.code.remote_source import FetchFailure, S3Source, decoded_source, encoded
from kubelambda.core.code.s3_request import S3Place, object_request, refusal

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KEY = ClientKey("AKIDEXAMPLE", "secret", "token")
SOURCE = S3Source("code", "a b/ü+&.zip", "v 1")


def body(code: str, message: str, more: str = "") -> str:
    """An error document."""
    return f'<?xml version="1.0"?>\n<Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>'


@pytest.mark.parametrize(
    ("bucket", "region", "endpoint", "address"),
    [
        ("code", "eu-west-1", None, "https://code.s3.eu-west-1.amazonaws.com/a%20b/%C3%BC%2B%26.zip"),
        ("code.of.us", "eu-west-1", None, "https://s3.eu-west-1.amazonaws.com/code.of.us/a%20b/%C3%BC%2B%26.zip"),
        ("Code", "eu-west-1", None, "https://s3.eu-west-1.amazonaws.com/Code/a%20b/%C3%BC%2B%26.zip"),
        ("code", "cn-north-1", None, "https://code.s3.cn-north-1.amazonaws.com.cn/a%20b/%C3%BC%2B%26.zip"),
        ("code", "eu-west-1", "http://minio:9000/", "http://minio:9000/code/a%20b/%C3%BC%2B%26.zip"),
    ],
)
def test_where_an_object_is(bucket: str, region: str, endpoint: str | None, address: str) -> None:
    """A host for each bucket that can have one, and paths everywhere else."""
    source = S3Source(bucket, SOURCE.key, SOURCE.version)
    found = object_request(source, S3Place(region, endpoint, KEY), NOW)
    assert found.url == f"{address}?versionId=v%201"
    assert found.headers["host"] == address.split("/")[2]


def test_the_rest_of_an_object_is_asked_of_the_same_object() -> None:
    """Both conditions are signed, as the token is."""
    found = object_request(SOURCE, S3Place("r", None, KEY), NOW, offset=9, etag='"tag"').headers
    assert (found["range"], found["if-match"]) == ("bytes=9-", '"tag"')
    names = "host;if-match;range;x-amz-content-sha256;x-amz-date;x-amz-security-token"
    assert f"SignedHeaders={names}," in found["authorization"]


@pytest.mark.parametrize(
    ("status", "document", "kind", "text"),
    [
        (
            404,
            body("NoSuchKey", "The specified key does not exist."),
            FetchFailure.MISSING,
            (
                "Error occurred while GetObject. S3 Error Code: NoSuchKey. "
                "S3 Error Message: The specified key does not exist."
            ),
        ),
        (
            404,
            body("NoSuchBucket", "The specified bucket does not exist"),
            FetchFailure.MISSING,
            (
                "Error occurred while GetObject. S3 Error Code: NoSuchBucket. "
                "S3 Error Message: The specified bucket does not exist"
            ),
        ),
        (403, body("AccessDenied", "Access Denied"), FetchFailure.DENIED, "S3 Error Code: AccessDenied."),
        (403, "", FetchFailure.DENIED, "S3 Error Code: AccessDenied. S3 Error Message: Access Denied"),
        (403, body("InvalidAccessKeyId", "none"), FetchFailure.REFUSED, "S3 Error Code: InvalidAccessKeyId."),
        (404, "<html>not S3 at all</html>", FetchFailure.MISSING, "S3 Error Code: NoSuchKey."),
        (
            301,
            body("PermanentRedirect", "elsewhere"),
            FetchFailure.REFUSED,
            (
                "Error occurred while GetObject. S3 Error Code: PermanentRedirect. S3 Error Message: "
                "The bucket is in this region: eu-west-1. Please use this region to retry the request"
            ),
        ),
        (
            400,
            body("AuthorizationHeaderMalformed", "wrong", "<Region>eu-west-1</Region>"),
            FetchFailure.REFUSED,
            "The bucket is in this region: eu-west-1.",
        ),
        (412, body("PreconditionFailed", "x"), FetchFailure.CHANGED, "was replaced while it was fetched"),
        (503, body("SlowDown", "Reduce"), FetchFailure.UNAVAILABLE, "S3 Error Code: SlowDown."),
        (500, "", FetchFailure.UNAVAILABLE, "the server gives no reason"),
        (418, body("A&amp;B", "x &lt; y"), FetchFailure.REFUSED, "S3 Error Code: A&B. S3 Error Message: x < y"),
    ],
)
def test_what_a_refusal_means(status: int, document: str, kind: FetchFailure, text: str) -> None:
    """Lambda's words, whatever the server says."""
    headers = {"x-amz-bucket-region": "eu-west-1"} if status == 301 else {}
    found = refusal(SOURCE, status, headers, document)
    assert found.kind is kind
    assert text in str(found)


@pytest.mark.parametrize("source", [SOURCE, S3Source("bucket", "key")])
def test_a_source_arrives_as_it_was_sent(source: S3Source) -> None:
    """Between whoever asks and the fetcher."""
    assert decoded_source(encoded(source)) == source


@pytest.mark.parametrize("given", [{}, {"s3": "bucket"}, {"s3": {"bucket": "b"}}, {"s3": {"bucket": 1, "key": "k"}}])
def test_what_is_no_source_is_refused(given: dict[str, object]) -> None:
    """And never half of it is used."""
    with pytest.raises(ValueError, match="a source needs"):
        decoded_source(given)
