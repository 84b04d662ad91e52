"""Code that comes by the API: checked, put into the code store, and named in the spec by what proves its origin."""

import asyncio
import base64
import binascii
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubelambda.api import limits
from kubelambda.awsapi.api_error import ApiError, invalid_parameter, unavailable
from kubelambda.awsapi.call import Services
from kubelambda.core.code import archive
from kubelambda.core.code.invalid_archive import UNREADABLE, InvalidArchive
from kubelambda.store.code.code_store import CodeStoreUnavailable

_checking = asyncio.Lock()


@dataclass(frozen=True, slots=True)
class ReceivedCode:
    """An archive that fits, not yet in the store."""

    data: bytes
    sha256: str

    def stored(self, services: Services, namespace: str) -> dict[str, Any]:
        """As `spec.code.stored` names it."""
        signature = services.store.upload_signature(namespace, self.sha256)
        return {"sha256": self.sha256, "size": len(self.data), "signature": signature}


async def received(code: Mapping[str, Any]) -> ReceivedCode | None:
    """The archive of `ZipFile`; None when the code is somewhere else. Raises `ApiError`."""
    text = code.get("ZipFile")
    if text is None:
        return None
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid_parameter(UNREADABLE) from error
    if len(data) >= limits.ZIP_MAX_BYTES:
        raise ApiError(
            "RequestEntityTooLargeException", f"Zipped size must be smaller than {limits.ZIP_MAX_BYTES} bytes"
        )
    try:
        async with _checking:
            await asyncio.to_thread(archive.check, io.BytesIO(data))
    except InvalidArchive as error:
        raise invalid_parameter(str(error)) from error
    return ReceivedCode(data, hashlib.sha256(data).hexdigest())


async def upload(services: Services, code: ReceivedCode) -> None:
    """Puts an archive into the store. One that no Function comes to name is collected there. Raises `ApiError`."""
    try:
        if await services.store.size(code.sha256) is None:
            await services.store.put(code.sha256, code.data)
    except CodeStoreUnavailable as error:
        raise unavailable(f"The code could not be stored: {error}") from error


def source(code: Mapping[str, Any], stored: Mapping[str, Any] | None) -> dict[str, Any]:
    """`spec.code` of what a caller gave: what was uploaded, or where the code is."""
    if stored is not None:
        return {"stored": dict(stored)}
    names = {"S3Bucket": "s3Bucket", "S3Key": "s3Key", "S3ObjectVersion": "s3ObjectVersion", "ImageUri": "imageUri"}
    found = {ours: code[theirs] for theirs, ours in names.items() if code.get(theirs) is not None}
    if not found:
        raise invalid_parameter("Please provide a source for function code.")
    return found
