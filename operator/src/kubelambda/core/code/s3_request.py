"""Asking S3, and what speaks its protocol, for an object: the signed request, and what refusals mean (Appendix A)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from html import unescape
from typing import Final
from urllib.parse import quote, urlsplit

from kubelambda.core.account.request_signing import ClientKey, Question, signed_headers
from kubelambda.core.code.remote_source import FetchFailed, FetchFailure, S3Source

_UNRESERVED: Final = "-_.~"
_HOST_LABEL = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
"""Buckets whose name can be a part of a host under one certificate."""
_ELEMENT: Final = "<{0}>(.*?)</{0}>"
_MISSING: Final = ("NoSuchKey", "NoSuchBucket", "NoSuchVersion")
_DENIED: Final = ("AccessDenied", "AllAccessDisabled", "AccountProblem", "InvalidObjectState")
_MESSAGES: Final = {
    301: ("PermanentRedirect", "The bucket is elsewhere."),
    307: ("TemporaryRedirect", "The bucket is elsewhere."),
    403: ("AccessDenied", "Access Denied"),
    404: ("NoSuchKey", "The specified key does not exist."),
}
"""Code and message of answers without a body that says so."""


@dataclass(frozen=True, slots=True)
class S3Place:
    """Where buckets are, and who we are there. Without an endpoint, AWS."""

    region: str
    endpoint_url: str | None
    key: ClientKey


@dataclass(frozen=True, slots=True)
class S3Request:
    """A GET of an object, as it is sent."""

    url: str
    headers: Mapping[str, str]


def object_request(source: S3Source, place: S3Place, now: datetime, *, offset: int = 0, etag: str = "") -> S3Request:
    """Asks for an object; from `offset` on, and only while it still is `etag`, where those are given."""
    scheme, host, path = _address(source, place)
    query = f"versionId={quote(source.version, safe=_UNRESERVED)}" if source.version else ""
    more = {"x-amz-content-sha256": sha256().hexdigest()}
    if etag:
        more |= {"if-match": etag}
    if offset:
        more |= {"range": f"bytes={offset}-"}
    headers = signed_headers(Question(host, path, query, place.region, "s3"), place.key, now, more)
    return S3Request(f"{scheme}://{host}{path}" + (f"?{query}" if query else ""), headers)


def _address(source: S3Source, place: S3Place) -> tuple[str, str, str]:
    """Scheme, host and path. Servers that are not AWS have no name for every bucket."""
    key = quote(source.key, safe="/" + _UNRESERVED)
    bucket = quote(source.bucket, safe=_UNRESERVED)
    if place.endpoint_url is not None:
        parts = urlsplit(place.endpoint_url)
        return parts.scheme, parts.netloc, f"{parts.path.rstrip('/')}/{bucket}/{key}"
    domain = "amazonaws.com.cn" if place.region.startswith("cn-") else "amazonaws.com"
    if _HOST_LABEL.fullmatch(source.bucket):
        return "https", f"{source.bucket}.s3.{place.region}.{domain}", f"/{key}"
    return "https", f"s3.{place.region}.{domain}", f"/{bucket}/{key}"


def refusal(source: S3Source, status: int, headers: Mapping[str, str], body: str) -> FetchFailed:
    """What an answer that is no object means, in the words in which Lambda tells of it."""
    code, message = _MESSAGES.get(status, (str(status), "the server gives no reason"))
    code, message = _element("Code", body) or code, _element("Message", body) or message
    if status >= 500 or code in ("SlowDown", "RequestTimeout", "InternalError"):
        return FetchFailed(FetchFailure.UNAVAILABLE, _told(code, message))
    if status == 412:
        return FetchFailed(FetchFailure.CHANGED, f"{source.name} was replaced while it was fetched")
    if code in _DENIED:
        text = (
            "Your access has been denied by S3, please make sure your request credentials have permission to GetObject "
            f"for {source.bucket}/{source.key}. S3 Error Code: {code}. S3 Error Message: {message}"
        )
        return FetchFailed(FetchFailure.DENIED, text)
    region = headers.get("x-amz-bucket-region") or _element("Region", body)
    if code in ("PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed") and region:
        text = f"The bucket is in this region: {region}. Please use this region to retry the request"
        return FetchFailed(FetchFailure.REFUSED, _told("PermanentRedirect", text))
    kind = FetchFailure.MISSING if code in _MISSING else FetchFailure.REFUSED
    return FetchFailed(kind, _told(code, message))


def _told(code: str, message: str) -> str:
    return f"Error occurred while GetObject. S3 Error Code: {code}. S3 Error Message: {message}"


def _element(name: str, body: str) -> str:
    """The text of the first element of that name: a document of somebody else is not worth a parser."""
    found = re.search(_ELEMENT.format(name), body, re.DOTALL)
    return unescape(found[1]).strip()[:512] if found else ""
