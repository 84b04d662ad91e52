"""Hosts of function URLs (§2.5.1)."""

import re

import pytest

from kubelambda.core.invoke.url_address import UrlDomain, id_in_host, url_id

UID = "5ad3f9cb-7d4b-4e9d-a8b0-9b6d6a1f3f10"


def test_an_id_fits_into_a_host() -> None:
    """Small letters and digits, 32 of them; another object has another one."""
    assert re.fullmatch(r"[a-z0-9]{32}", url_id(UID))
    assert url_id(UID) == url_id(UID)
    assert url_id(UID) != url_id(UID.replace("5", "6"))


def test_an_address_is_as_lambda_writes_it() -> None:
    """With a slash at its end."""
    domain = UrlDomain("us-east-1", "lambda.internal", "https")
    assert domain.address(UID) == f"https://{url_id(UID)}.lambda-url.us-east-1.lambda.internal/"
    assert domain.suffix == ".lambda-url.us-east-1.lambda.internal"


@pytest.mark.parametrize(
    ("host", "found"),
    [
        (b"abc.lambda-url.us-east-1.lambda.internal", "abc"),
        (b"abc.lambda-url.us-east-1.lambda.internal:8080", "abc"),
        (b"ABC.Lambda-URL.us-east-1.LAMBDA.internal:80", "abc"),
        (b"abc.lambda-url.us-east-1.lambda.internal.example.com", None),
        (b"abc.lambda-url.eu-west-1.lambda.internal", None),
        (b"127.0.0.1:8080", None),
        (b"\xff\xfe", None),
        (b"", None),
    ],
)
def test_a_host_is_one_of_a_url_in_whatever_case(host: bytes, found: str | None) -> None:
    """Hosts have no case (RFC 9110 §4.2.3), and may come with a port."""
    assert id_in_host(host, UrlDomain("us-east-1", "lambda.internal").suffix) == found
