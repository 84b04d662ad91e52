"""Code that comes by the API, or from a bucket: checked, stored, and named in the spec by what proves its origin."""

import asyncio
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any, Final

from kubelambda.api import limits
from kubelambda.awsapi.api_error import ApiError, invalid_parameter, unavailable
from kubelambda.awsapi.call import Services
from kubelambda.awsapi.model.body_receiver import LargeBlob
from kubelambda.awsapi.model.constraints import decoded
from kubelambda.awsapi.model.spec_members import field_name
from kubelambda.core.code import archive
from kubelambda.core.code.invalid_archive import UNREADABLE, InvalidArchive
from kubelambda.core.code.remote_source import FetchFailed, FetchFailure, S3Source
from kubelambda.store.code.code_store import CodeStoreUnavailable

_SOURCES: Final = ("ImageUri", "SourceKMSKeyArn")
_FETCH_S: Final = 45.0
"""Less than the minute after which callers stop to listen."""
_checking = asyncio.Lock()
"""One archive is checked at a time: it takes a core, and memory."""


@dataclass(frozen=True, slots=True)
class ReceivedCode:
    """An archive that fits; without a file one that is in the store already."""

    file: IO[bytes] | None
    size: int
    sha256: str

    def stored(self, services: Services, namespace: str) -> dict[str, Any]:
        """As `spec.code.stored` names it."""
        signature = services.store.upload_signature(namespace, self.sha256)
        return {"sha256": self.sha256, "size": self.size, "signature": signature}


async def received(services: Services, namespace: str, code: Mapping[str, Any]) -> ReceivedCode | None:
    """The archive of `ZipFile`, or in a bucket; None when the code is somewhere else. Raises `ApiError`."""
    given = code.get("ZipFile")
    if code.get("S3Bucket") or code.get("S3Key"):
        if given is not None:
            raise invalid_parameter("Please provide only one source for the code: ZipFile, or S3Bucket and S3Key.")
        return await _fetched(services, namespace, code)
    if given is None:
        return None
    found = _content(given)
    if found is None:
        raise invalid_parameter(UNREADABLE)
    if found.size >= limits.ZIP_MAX_BYTES:
        text = f"Zipped size must be smaller than {limits.ZIP_MAX_BYTES} bytes"
        raise ApiError("RequestEntityTooLargeException", text)
    assert found.file is not None, "it came with the request"
    try:
        async with _checking:
            await asyncio.to_thread(archive.check, found.file)
    except InvalidArchive as error:
        raise invalid_parameter(str(error)) from error
    return found


async def _fetched(services: Services, namespace: str, code: Mapping[str, Any]) -> ReceivedCode:
    """What is in the bucket now: as on Lambda, a copy is made, and the object is not looked at again (§1.3)."""
    if not code.get("S3Bucket") or not code.get("S3Key"):
        raise invalid_parameter("Please provide both S3Bucket and S3Key.")
    if code.get("S3ObjectStorageMode", "COPY") != "COPY":
        raise invalid_parameter("S3ObjectStorageMode REFERENCE is not served here: code is copied from its bucket.")
    source = S3Source(code["S3Bucket"], code["S3Key"], code.get("S3ObjectVersion"))
    try:
        found = await services.fetcher.fetch(namespace, source, _FETCH_S)
    except FetchFailed as failed:
        if failed.kind is FetchFailure.UNAVAILABLE:
            raise unavailable(str(failed)) from failed
        if failed.kind is FetchFailure.DENIED:
            raise ApiError("AccessDeniedException", str(failed)) from failed
        raise invalid_parameter(str(failed)) from failed
    return ReceivedCode(None, found.size, found.sha256)


def _content(given: str | LargeBlob) -> ReceivedCode | None:
    if isinstance(given, LargeBlob):
        return ReceivedCode(given.file, given.size, given.sha256) if given.valid else None
    data = decoded(given)
    return None if data is None else ReceivedCode(io.BytesIO(data), len(data), hashlib.sha256(data).hexdigest())


async def upload(services: Services, code: ReceivedCode) -> None:
    """Puts an archive into the store unless it is there. One that no Function comes to name is collected there.

    Raises `ApiError`.
    """
    if code.file is None:
        return
    try:
        await services.store.publish(code.sha256, code.file)
    except CodeStoreUnavailable as error:
        raise unavailable(f"The code could not be stored: {error}") from error


def source(code: Mapping[str, Any], stored: Mapping[str, Any] | None) -> dict[str, Any]:
    """`spec.code` of what a caller gave: what was uploaded, or where it is. What is not served, the kind refuses."""
    found = {field_name(member): code[member] for member in _SOURCES if code.get(member) is not None}
    if stored is not None:
        return {"stored": dict(stored), **found}
    if not found:
        raise invalid_parameter("Please provide a source for function code.")
    return found
