"""Code that is fetched with somebody's credentials: from where, and why nothing came of it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True)
class S3Source:
    """An archive in a bucket."""

    bucket: str
    key: str
    version: str | None = None

    @property
    def name(self) -> str:
        """What it is called in statuses and messages."""
        return f"s3://{self.bucket}/{self.key}" + (f"?versionId={self.version}" if self.version else "")


@dataclass(frozen=True, slots=True)
class OciSource:
    """An artifact in a registry; `pull_secret` is the Secret with credentials, in the namespace that asks."""

    reference: str
    pull_secret: str | None = None

    @property
    def name(self) -> str:
        """What it is called in statuses and messages."""
        return f"oci://{self.reference}"


type RemoteSource = S3Source | OciSource


class FetchFailure(StrEnum):
    """Kinds of reasons why nothing came of fetching."""

    MISSING = "missing"
    """There is no such thing."""
    DENIED = "denied"
    """It is not given to us."""
    REFUSED = "refused"
    """The service refuses the request for another reason, or the source is not the one that was meant."""
    INVALID = "invalid"
    """What came is no archive that could be used."""
    CHANGED = "changed"
    """It was replaced while it was fetched."""
    UNAVAILABLE = "unavailable"
    """The service does not answer, or not in time."""


class FetchFailed(Exception):
    """Nothing came of fetching; the message is for whoever named the source."""

    def __init__(self, kind: FetchFailure, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def encoded(source: RemoteSource) -> dict[str, Any]:
    """As a request to the fetcher has it."""
    if isinstance(source, OciSource):
        return {"oci": {"reference": source.reference, "pullSecret": source.pull_secret}}
    found = {"bucket": source.bucket, "key": source.key}
    return {"s3": found if source.version is None else {**found, "version": source.version}}


def decoded_source(given: Mapping[str, Any]) -> RemoteSource:
    """What `encoded` made. Raises `ValueError`."""
    s3, oci = given.get("s3"), given.get("oci")
    if isinstance(oci, dict) and isinstance(oci.get("reference"), str):
        secret = oci.get("pullSecret")
        return OciSource(oci["reference"], secret if isinstance(secret, str) else None)
    if not isinstance(s3, dict) or not all(isinstance(s3.get(part), str) for part in ("bucket", "key")):
        raise ValueError("a source needs s3.bucket and s3.key, or oci.reference")
    version = s3.get("version")
    return S3Source(s3["bucket"], s3["key"], version if isinstance(version, str) and version else None)
