"""Signatures of archives: who signed what and until when, as a JSON Web Signature in the archive's comment (§1.5.4).

`header.payload.signature`, each in base64url (RFC 7515, compact), by ECDSA over P-256 with SHA-256 (`ES256`):

```
header   {"alg": "ES256", "typ": "kubelambda-code", "kid": "<ARN of the signing profile's version>"}
payload  {"sha256": "<digest of the content>", "iat": <signed at>, "exp": <good until>, "jti": "<signing job>"}
```

The algorithm is the one that is expected, never the one that the header asks for. `cryptography` is imported where a
signature is made or verified: hardly any process ever does, and it takes memory.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

TYPE: Final = "kubelambda-code"
ALGORITHM: Final = "ES256"
PROFILE_VERSION_ARN: Final = (
    r"arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:([a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)"
)
"""What Lambda takes for a version of a signing profile."""
SIGNATURE_MAX_BYTES: Final = 20_480
"""The longest ARN in any letters, and all else several times."""
_COMPACT: Final = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_JOB: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_LATEST: Final = 253_402_300_799
"""The last second of the year 9999: no time after it can be shown."""
_NUMBER_BYTES: Final = 32
"""Of each of the two numbers of a signature."""


class UnreadableKey(Exception):
    """A key cannot be used; the message says why."""


class UnreadableSignature(Exception):
    """A comment pretends to be a signature and is none."""


@dataclass(frozen=True, slots=True)
class CodeStatement:
    """What is signed. Times are seconds since the epoch."""

    profile_version_arn: str
    sha256: str
    signed_at: int
    expires_at: int | None
    """None: it is good for ever."""
    job: str
    """Name of this one signature, by which it can be revoked."""


@dataclass(frozen=True, slots=True)
class CodeSignature:
    """A statement, and what proves it."""

    statement: CodeStatement
    signed: bytes
    """The bytes that were signed."""
    signature: bytes


def read_signature(comment: bytes) -> CodeSignature | None:
    """The signature in a comment; None where there is something else. Raises `UnreadableSignature`."""
    if len(comment) > SIGNATURE_MAX_BYTES or _COMPACT.fullmatch(comment) is None:
        return None
    header_text, payload_text, signature_text = comment.split(b".")
    try:
        header = _document(header_text)
    except ValueError:
        return None
    if header.get("typ") != TYPE:
        return None
    if header.get("alg") != ALGORITHM or "crit" in header:
        raise UnreadableSignature(f"it is not signed by {ALGORITHM}")
    try:
        statement = _statement(header, _document(payload_text))
        signature = _decoded(signature_text)
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableSignature("its members are not what they should be") from error
    return CodeSignature(statement, header_text + b"." + payload_text, signature)


def _statement(header: Mapping[str, Any], payload: Mapping[str, Any]) -> CodeStatement:
    expires = payload.get("exp")
    found = CodeStatement(header["kid"], payload["sha256"], payload["iat"], expires, payload["jti"])
    texts = all(isinstance(each, str) for each in (found.profile_version_arn, found.sha256, found.job))
    times = _is_time(found.signed_at) and (expires is None or _is_time(expires))
    if not texts or not times or not _DIGEST.fullmatch(found.sha256) or not _JOB.fullmatch(found.job):
        raise ValueError
    return found


def _is_time(value: object) -> bool:
    return type(value) is int and 0 <= value <= _LATEST


def sign(statement: CodeStatement, key: "EllipticCurvePrivateKey") -> bytes:
    """The comment that says and proves a statement."""
    from cryptography.hazmat.primitives.asymmetric import ec, utils  # noqa: PLC0415 - see above
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

    header = {"alg": ALGORITHM, "typ": TYPE, "kid": statement.profile_version_arn}
    payload = {"sha256": statement.sha256, "iat": statement.signed_at, "jti": statement.job}
    if statement.expires_at is not None:
        payload["exp"] = statement.expires_at
    signed = _encoded(json.dumps(header).encode()) + b"." + _encoded(json.dumps(payload).encode())
    numbers = utils.decode_dss_signature(key.sign(signed, ec.ECDSA(SHA256())))
    return signed + b"." + _encoded(b"".join(each.to_bytes(_NUMBER_BYTES) for each in numbers))


def is_signed_by(signature: CodeSignature, key: "EllipticCurvePublicKey") -> bool:
    """Whether the owner of a key made the signature."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - see above
    from cryptography.hazmat.primitives.asymmetric import ec, utils  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

    if len(signature.signature) != 2 * _NUMBER_BYTES:
        return False
    first, second = signature.signature[:_NUMBER_BYTES], signature.signature[_NUMBER_BYTES:]
    encoded = utils.encode_dss_signature(int.from_bytes(first), int.from_bytes(second))
    try:
        key.verify(encoded, signature.signed, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def public_key(pem: str) -> "EllipticCurvePublicKey":
    """The key in a PEM public key, or in a certificate. Raises `UnreadableKey`."""
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - see above
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415
    from cryptography.x509 import load_pem_x509_certificate  # noqa: PLC0415

    data = pem.strip().encode()
    try:
        if data.startswith(b"-----BEGIN CERTIFICATE-----"):
            found: Any = load_pem_x509_certificate(data).public_key()
        else:
            found = load_pem_public_key(data)
    except Exception as error:  # OpenSSL has many of them
        raise UnreadableKey("it is neither a PEM public key nor a PEM certificate") from error
    if not isinstance(found, ec.EllipticCurvePublicKey) or found.curve.name != "secp256r1":
        raise UnreadableKey("it is no key of the curve P-256")
    return found


def private_key(pem: bytes) -> "EllipticCurvePrivateKey":
    """The key of a signer, which has no password. Raises `UnreadableKey`."""
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - see above
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        found = load_pem_private_key(pem, password=None)
    except Exception as error:  # OpenSSL has many of them
        raise UnreadableKey("it is no PEM private key without a password") from error
    if not isinstance(found, ec.EllipticCurvePrivateKey) or found.curve.name != "secp256r1":
        raise UnreadableKey("it is no key of the curve P-256")
    return found


def _document(text: bytes) -> dict[str, Any]:
    """Raises `ValueError`."""
    try:
        found = json.loads(_decoded(text))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError("it is no object")
    return found


def _decoded(text: bytes) -> bytes:
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
