"""AWS Signature Version 4: whether a request was signed by who has a secret key (DESIGN §10). The time is passed in.

Everything is bytes as they came: what is compared is what was sent. The refusals are AWS's, word by word.
"""

import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from kubelambda.core.account.caller_refused import CallerRefused

ALGORITHM: Final = b"AWS4-HMAC-SHA256"
UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"
SKEW_S: Final = 300
"""How far the caller's clock may be from ours."""
PRESIGNED_MAX_S: Final = 604_800
MARK: Final = b"X-Amz-Algorithm="
"""In the query of every presigned request."""
_TERMINATOR: Final = "aws4_request"
_TIME = re.compile(r"\d{8}T\d{6}Z")
_SPACES = re.compile(rb" +")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PARTS: Final = ("Credential", "Signature", "SignedHeaders")
_UNRESERVED: Final = "-_.~"
_REMEMBERED_MAX_BYTES: Final = 512


@dataclass(frozen=True, slots=True)
class SignedHead:
    """What is signed of a request beside its body. The target is as it was sent; names of headers are lower case."""

    method: bytes
    target: bytes
    headers: Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class RequestSignature:
    """A signature as a request brings it. `expires` in seconds, of presigned ones only."""

    access_key: str
    date: str
    region: str
    service: str
    time: str
    """As `20150830T123600Z`."""
    signed_headers: tuple[bytes, ...]
    signature: str
    token: str | None
    expires: int | None


def signature_of(head: SignedHead) -> RequestSignature | None:
    """The signature that a request brings, in its header or its query; None when it brings none.

    Raises `CallerRefused` for half of one.
    """
    query = head.target.partition(b"?")[2]
    if query.find(MARK) >= 0:
        found = dict(_pairs(query))
        if found.get("X-Amz-Algorithm") == ALGORITHM.decode():
            return _presigned(found)
    given = head.headers.get(b"authorization", b"").strip()
    if not given.startswith(ALGORITHM):
        return None
    time = _time_of(head.headers)
    parts = _parsed(given[len(ALGORITHM) :].decode("latin-1"))
    missing = [f"Authorization header requires '{name}' parameter." for name in _PARTS if not parts.get(name)]
    if time is None:
        missing.append("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    if missing or time is None:
        raise _incomplete(" ".join(missing))
    token = head.headers.get(b"x-amz-security-token")
    decoded = None if token is None else token.decode("latin-1")
    return _signature(parts["Credential"], parts["SignedHeaders"], parts["Signature"], time, decoded)


def check_scope(signature: RequestSignature, now: float, *, region: str, service: str) -> None:
    """Returns when the signature is meant for us, and for `now` (seconds since the epoch). Raises `CallerRefused`."""
    wrong = ""
    if signature.region != region:
        wrong += f"Credential should be scoped to a valid region, not '{signature.region}'. "
    if signature.service != service:
        wrong += f"Credential should be scoped to correct service: '{service}'. "
    if wrong:
        raise CallerRefused("InvalidSignatureException", wrong)
    if b"host" not in signature.signed_headers:
        raise CallerRefused("InvalidSignatureException", "'Host' must be a 'SignedHeader' in the AWS Authorization.")
    signed = _epoch(signature.time)
    minutes = SKEW_S // 60
    if signed > now + SKEW_S:
        text = f"{signature.time} is still later than {_stamp(now + SKEW_S)} ({_stamp(now)} + {minutes} min.)"
        raise CallerRefused("InvalidSignatureException", f"Signature not yet current: {text}")
    lasts = SKEW_S if signature.expires is None else signature.expires
    if signed + lasts < now:
        text = f"{signature.time} is now earlier than {_stamp(now - lasts)} ({_stamp(now)} - {lasts // 60} min.)"
        raise CallerRefused("InvalidSignatureException", f"Signature expired: {text}")


def declared_payload(head: SignedHead) -> str | None:
    """What the caller says that the body's digest is, or `UNSIGNED_PAYLOAD`; None when it says nothing."""
    declared = head.headers.get(b"x-amz-content-sha256")
    return None if declared is None else declared.decode("latin-1")


def check_signature(head: SignedHead, signature: RequestSignature, secret: str, payload_sha256: str) -> None:
    """Returns when the signature was made with `secret`. Raises `CallerRefused`.

    `payload_sha256` is the hex digest of the body as it came. Of presigned requests some sign it, and some do not.
    """
    declared = declared_payload(head) or (UNSIGNED_PAYLOAD if signature.expires is not None else payload_sha256)
    if declared not in (UNSIGNED_PAYLOAD, payload_sha256):
        raise _mismatch()
    payloads = (declared,) if signature.expires is None or declared == payload_sha256 else (declared, payload_sha256)
    if not any(_matches(each, signature, secret, payload) for each in _spellings(head) for payload in payloads):
        raise _mismatch()


def _matches(head: SignedHead, signature: RequestSignature, secret: str, payload: str) -> bool:
    return hmac.compare_digest(_sign(head, signature, secret, payload), signature.signature.encode("latin-1"))


def _spellings(head: SignedHead) -> Iterator[SignedHead]:
    """The head as it came, and with its host as signers write one that is sent with the port of its protocol."""
    yield head
    host = head.headers.get(b"host", b"")
    bare = host.removesuffix(b":80").removesuffix(b":443")
    if bare != host:
        yield replace(head, headers={**head.headers, b"host": bare})


def _time_of(headers: Mapping[bytes, bytes]) -> str | None:
    """When the request was signed: `X-Amz-Date`, else `Date` in any form that HTTP knows."""
    given = headers.get(b"x-amz-date")
    if given is not None:
        return given.decode("latin-1")
    date = headers.get(b"date")
    if date is None:
        return None
    text = date.decode("latin-1")
    if _TIME.fullmatch(text):
        return text
    try:
        return parsedate_to_datetime(text).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    except (ValueError, OverflowError):  # the latter where it is in no year that we know
        return None


def _parsed(given: str) -> dict[str, str]:
    """The parts of the header after its algorithm, in whatever order they come."""
    found = {}
    for part in given.split(","):
        name, equals, value = part.strip().partition("=")
        if not equals:
            raise _incomplete(f"'{name}' not a valid key=value pair (missing equal-sign) in Authorization header.")
        found[name] = value
    return found


def _presigned(query: Mapping[str, str]) -> RequestSignature:
    names = ("X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-Signature", "X-Amz-SignedHeaders")
    missing = [f"AWS query-string parameters must include '{name}'." for name in names if not query.get(name)]
    if missing:
        raise _incomplete(" ".join(missing))
    expires = query["X-Amz-Expires"]
    if not (expires.isascii() and expires.isdecimal()) or not 0 < int(expires[:7]) <= PRESIGNED_MAX_S:
        raise _incomplete("X-Amz-Expires must be a number of seconds up to a week")
    return _signature(
        query["X-Amz-Credential"],
        query["X-Amz-SignedHeaders"],
        query["X-Amz-Signature"],
        query["X-Amz-Date"],
        query.get("X-Amz-Security-Token"),
        expires=int(expires[:7]),
    )


def _signature(
    credential: str, headers: str, signature: str, time: str, token: str | None, *, expires: int | None = None
) -> RequestSignature:
    scoped = _known_scope if len(credential) + len(headers) <= _REMEMBERED_MAX_BYTES else _scope
    access_key, date, region, service, names = scoped(credential, headers)
    if not _TIME.fullmatch(time):
        raise _incomplete(
            f"Date must be in ISO-8601 'basic format'. Got '{time}'. See http://en.wikipedia.org/wiki/ISO_8601"
        )
    if time[:8] != date:
        text = f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{date}'"
        raise CallerRefused("InvalidSignatureException", f"{text} != '{time[:8]}', from '{time}'.")
    if not _DIGEST.fullmatch(signature):
        raise _mismatch()
    return RequestSignature(access_key, date, region, service, time, names, signature, token, expires)


def _scope(credential: str, headers: str) -> tuple[str, str, str, str, tuple[bytes, ...]]:
    """Access key, date, region, service, and the names of the signed headers."""
    parts = credential.rsplit("/", 4)
    if len(parts) != 5 or parts[4] != _TERMINATOR or not parts[0]:
        text = "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term"
        raise _incomplete(f"{text}, got '{credential}'")
    return parts[0], parts[1], parts[2], parts[3], tuple(headers.lower().encode("latin-1", "replace").split(b";"))


_known_scope = lru_cache(maxsize=4096)(_scope)
"""A caller's credentials and its signed headers are the same all day."""


@lru_cache(maxsize=1024)
def _epoch(time: str) -> float:
    """Seconds since the epoch. Raises `CallerRefused` for a date that no calendar has."""
    try:
        return datetime.strptime(time, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise _incomplete(f"Date must be in ISO-8601 'basic format'. Got '{time}'.") from error


def _stamp(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y%m%dT%H%M%SZ")


@lru_cache(maxsize=4096)
def _signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """The key of one day: what four digests cost is paid once."""
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, _TERMINATOR):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _sign(head: SignedHead, signature: RequestSignature, secret: str, payload: str) -> bytes:
    path, _, query = head.target.partition(b"?")
    known = _canonical_known_path if len(path) <= _REMEMBERED_MAX_BYTES else _canonical_path
    lines = [head.method, known(path)]
    lines.append(_canonical_query(query, presigned=signature.expires is not None) if query else b"")
    for name in signature.signed_headers:
        value = head.headers.get(name, b"").strip()
        lines.append(name + b":" + (_SPACES.sub(b" ", value) if value.find(b"  ") >= 0 else value))
    lines += [b"", b";".join(signature.signed_headers), payload.encode("latin-1", "replace")]
    digest = hashlib.sha256(b"\n".join(lines)).hexdigest()
    scope = f"{signature.date}/{signature.region}/{signature.service}/{_TERMINATOR}"
    text = f"AWS4-HMAC-SHA256\n{signature.time}\n{scope}\n{digest}"
    key = _signing_key(secret, signature.date, signature.region, signature.service)
    return hmac.digest(key, text.encode(), "sha256").hex().encode()


def _canonical_path(path: bytes) -> bytes:
    """Encoded once more than it was sent, without empty segments and dots."""
    kept: list[bytes] = []
    for segment in path.split(b"/"):
        if segment == b"..":
            del kept[-1:]
        elif segment not in (b"", b"."):
            kept.append(segment)
    end = b"/" if path.endswith(b"/") and kept else b""
    return quote(b"/" + b"/".join(kept) + end, safe="/~").encode()


_canonical_known_path = lru_cache(maxsize=4096)(_canonical_path)
"""Callers ask for the same few functions again and again."""


def _canonical_query(query: bytes, *, presigned: bool) -> bytes:
    pairs = [pair.partition(b"=")[::2] for pair in query.split(b"&") if pair]
    if presigned:
        pairs = [pair for pair in pairs if pair[0] != b"X-Amz-Signature"]
    encoded = sorted((_encoded(name), _encoded(value)) for name, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded).encode()


def _encoded(value: bytes) -> str:
    return quote(unquote_to_bytes(value), safe=_UNRESERVED)


def _pairs(query: bytes) -> list[tuple[str, str]]:
    pairs = (pair.partition(b"=")[::2] for pair in query.split(b"&"))
    return [tuple(unquote_to_bytes(part).decode("latin-1") for part in pair) for pair in pairs]  # type: ignore[misc]


def _incomplete(text: str) -> CallerRefused:
    return CallerRefused("IncompleteSignatureException", text)


def _mismatch() -> CallerRefused:
    return CallerRefused(
        "InvalidSignatureException",
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access "
        "Key and signing method. Consult the service documentation for details.",
    )
