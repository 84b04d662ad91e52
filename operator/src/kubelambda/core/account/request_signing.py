"""Signing what we ask of others, as AWS's clients sign (Signature Version 4). The time is passed in."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

_ALGORITHM: Final = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class ClientKey:
    """Who we are at another service."""

    id: str
    secret: str
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """A request without a body. `path` and `query` are encoded, the query sorted."""

    host: str
    path: str
    query: str
    region: str
    service: str


def signed_headers(
    question: Question, key: ClientKey, now: datetime, more: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The headers of a GET request that prove who asks, `more` among them; names are lower case."""
    time = f"{now:%Y%m%dT%H%M%SZ}"
    headers = {**(more or {}), "host": question.host, "x-amz-date": time}
    if key.token is not None:
        headers["x-amz-security-token"] = key.token
    scope = f"{time[:8]}/{question.region}/{question.service}/aws4_request"
    headers = dict(sorted(headers.items()))
    names = ";".join(headers)
    lines = [f"{name}:{value}" for name, value in headers.items()]
    canonical = "\n".join(["GET", question.path, question.query, *lines, "", names, hashlib.sha256().hexdigest()])
    text = "\n".join([_ALGORITHM, time, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    signing = f"AWS4{key.secret}".encode()
    for part in scope.split("/"):
        signing = hmac.new(signing, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(signing, text.encode(), hashlib.sha256).hexdigest()
    credential = f"{_ALGORITHM} Credential={key.id}/{scope}, SignedHeaders={names}, Signature={signature}"
    return {**headers, "authorization": credential}
