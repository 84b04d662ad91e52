"""AWS Signature Version 4: whether a request was signed by who has a secret key (DESIGN §10). The time is passed in."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import parse_qsl, quote

ALGORITHM: Final = "AWS4-HMAC-SHA256"
UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"
SKEW: Final = timedelta(minutes=5)
"""How far the caller's clock may be from ours."""
PRESIGNED_MAX_S: Final = 604_800
_AUTHORIZATION = re.compile(
    rf"{ALGORITHM}\s+Credential=(?P<credential>[^,\s]+),\s*SignedHeaders=(?P<headers>[^,\s]+),\s*"
    r"Signature=(?P<signature>[0-9a-f]{64})"
)
_TIME = re.compile(r"\d{8}T\d{6}Z")
_SPACES = re.compile(r" +")


class SignatureRefused(Exception):
    """The request is not signed as it should be. `type` is AWS's name for it."""

    def __init__(self, error: str, text: str) -> None:
        super().__init__(text)
        self.type = error


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What is signed of a request. Path and query are as they were sent; names of headers are lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    payload_sha256: str
    """Hex digest of the body as it came."""


@dataclass(frozen=True, slots=True)
class RequestSignature:
    """A signature as a request brings it. `expires` in seconds, of presigned ones only."""

    access_key: str
    date: str
    region: str
    service: str
    time: datetime
    signed_headers: tuple[str, ...]
    signature: str
    token: str | None
    expires: int | None


def signature_of(request: SignedRequest) -> RequestSignature | None:
    """The signature that a request brings, in its header or its query; None when it brings none.

    Raises `SignatureRefused` for half of one.
    """
    query = dict(parse_qsl(request.query, keep_blank_values=True))
    if query.get("X-Amz-Algorithm") == ALGORITHM:
        return _presigned(query)
    given = request.headers.get("authorization", "")
    if not given.startswith(ALGORITHM):
        return None
    match = _AUTHORIZATION.fullmatch(given.strip())
    if match is None:
        raise _incomplete("Authorization header requires Credential, SignedHeaders and Signature")
    token = request.headers.get("x-amz-security-token")
    return _signature(
        match["credential"], match["headers"], match["signature"], request.headers.get("x-amz-date", ""), token
    )


def check(
    request: SignedRequest, signature: RequestSignature, secret: str, now: datetime, *, region: str, service: str
) -> None:
    """Returns when the signature is of `secret`, for us and for now. Raises `SignatureRefused`."""
    if (signature.region, signature.service) != (region, service):
        text = f"Credential should be scoped to a valid region and to service {service}: {region}"
        raise SignatureRefused("InvalidSignatureException", text)
    _check_time(signature, now)
    if not {"host"} <= set(signature.signed_headers):
        raise SignatureRefused("InvalidSignatureException", "'Host' must be a 'SignedHeader' in the AWS Authorization.")
    declared = request.headers.get("x-amz-content-sha256")
    payload = UNSIGNED_PAYLOAD if signature.expires is not None else declared or request.payload_sha256
    if payload not in (UNSIGNED_PAYLOAD, request.payload_sha256):
        raise _mismatch()
    wanted = _sign(request, signature, secret, payload)
    alternative = _sign(request, signature, secret, request.payload_sha256)  # of presigned ones, some sign the body
    if not hmac.compare_digest(wanted, signature.signature) and not hmac.compare_digest(
        alternative, signature.signature
    ):
        raise _mismatch()


def _presigned(query: Mapping[str, str]) -> RequestSignature:
    expires = query.get("X-Amz-Expires", "")
    if not expires.isdecimal() or not 0 < int(expires) <= PRESIGNED_MAX_S:
        raise _incomplete("X-Amz-Expires must be a number of seconds up to a week")
    return _signature(
        query.get("X-Amz-Credential", ""),
        query.get("X-Amz-SignedHeaders", ""),
        query.get("X-Amz-Signature", ""),
        query.get("X-Amz-Date", ""),
        query.get("X-Amz-Security-Token"),
        expires=int(expires),
    )


def _signature(
    credential: str, headers: str, signature: str, time: str, token: str | None, *, expires: int | None = None
) -> RequestSignature:
    parts = credential.rsplit("/", 4)
    if len(parts) != 5 or parts[4] != "aws4_request" or not parts[0]:
        raise _incomplete(f"Credential must have the form key/date/region/service/aws4_request: {credential}")
    if not _TIME.fullmatch(time) or not time.startswith(parts[1]):
        raise _incomplete("X-Amz-Date must be there, and of the day that Credential names")
    when = datetime.strptime(time, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    names = tuple(headers.lower().split(";"))
    return RequestSignature(parts[0], parts[1], parts[2], parts[3], when, names, signature, token, expires)


def _check_time(signature: RequestSignature, now: datetime) -> None:
    if signature.time > now + SKEW:
        raise SignatureRefused(
            "InvalidSignatureException", f"Signature not yet current: {signature.time:%Y%m%dT%H%M%SZ}"
        )
    lasts = timedelta(seconds=signature.expires) if signature.expires is not None else SKEW
    if signature.time + lasts < now:
        raise SignatureRefused("InvalidSignatureException", f"Signature expired: {signature.time:%Y%m%dT%H%M%SZ}")


def _sign(request: SignedRequest, signature: RequestSignature, secret: str, payload: str) -> str:
    lines = [f"{name}:{_SPACES.sub(' ', request.headers.get(name, '').strip())}" for name in signature.signed_headers]
    canonical = "\n".join(
        [
            request.method,
            quote(request.path or "/", safe="/~"),
            _canonical_query(request.query),
            *lines,
            "",
            ";".join(signature.signed_headers),
            payload,
        ]
    )
    scope = f"{signature.date}/{signature.region}/{signature.service}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"{ALGORITHM}\n{signature.time:%Y%m%dT%H%M%SZ}\n{scope}\n{digest}"
    key = f"AWS4{secret}".encode()
    for part in (signature.date, signature.region, signature.service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _canonical_query(query: str) -> str:
    pairs = [pair.partition("=")[::2] for pair in query.split("&") if pair and not pair.startswith("X-Amz-Signature=")]
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _incomplete(text: str) -> SignatureRefused:
    return SignatureRefused("IncompleteSignatureException", text)


def _mismatch() -> SignatureRefused:
    return SignatureRefused(
        "InvalidSignatureException",
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access "
        "Key and signing method. Consult the service documentation for details.",
    )
