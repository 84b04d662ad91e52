"""Streams an object out of a bucket: bounded in size and time, continued where a connection breaks."""

from datetime import UTC, datetime
from typing import IO, Final

import aiohttp
from yarl import URL

from kubelambda.api import limits
from kubelambda.core.code.invalid_archive import too_large
from kubelambda.core.code.refused_networks import never_fetched
from kubelambda.core.code.remote_source import FetchFailed, FetchFailure, S3Source
from kubelambda.core.code.s3_request import object_request, refusal
from kubelambda.fetcher.s3_access import S3Access
from kubelambda.outbound.guarded_sockets import outside

ATTEMPTS: Final = 3
"""Connections for one object, when they break."""
_CONNECT_S: Final = 5.0
_SILENCE_S: Final = 15.0
_CHUNK_BYTES: Final = 1 << 18
_REFUSAL_MAX_BYTES: Final = 16_384


async def fetch_object(source: S3Source, access: S3Access, file: IO[bytes]) -> None:
    """Writes an object to an empty `file`. Raises `FetchFailed`; how long it may take, the caller decides."""
    connector = aiohttp.TCPConnector(socket_factory=outside(access.refused, never_fetched))
    limit = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_SILENCE_S)
    etag, attempt = "", 0
    async with aiohttp.ClientSession(
        connector=connector, timeout=limit, trust_env=True, auto_decompress=False
    ) as session:
        while True:
            attempt += 1
            request = object_request(source, access.place, datetime.now(UTC), offset=file.tell(), etag=etag)
            before = file.tell()
            try:
                # What comes is what is stored: nothing is decoded, and nobody is followed elsewhere with our keys.
                async with session.get(
                    URL(request.url, encoded=True), headers=request.headers, allow_redirects=False
                ) as answer:
                    await _check(source, answer, before)
                    etag = answer.headers.get("ETag", "")
                    await _keep(answer, file)
                    return
            except (aiohttp.ClientPayloadError, ConnectionError, aiohttp.ServerDisconnectedError) as error:
                # Whoever has no tag for what it sends cannot be asked for the rest of the same.
                if attempt == ATTEMPTS or (file.tell() and not etag):
                    raise _away(source, error) from error
            except (aiohttp.ClientError, ValueError, TimeoutError, OSError) as error:
                raise _away(source, error) from error


async def _check(source: S3Source, answer: aiohttp.ClientResponse, offset: int) -> None:
    if answer.status != (206 if offset else 200):
        if offset and answer.status == 200:
            raise FetchFailed(FetchFailure.UNAVAILABLE, f"{source.name} broke off, and its server sends no part of it")
        body = await answer.content.read(_REFUSAL_MAX_BYTES)
        raise refusal(source, answer.status, answer.headers, body.decode(errors="replace"))
    if offset + (answer.content_length or 0) >= limits.UNZIPPED_MAX_BYTES:
        raise FetchFailed(FetchFailure.INVALID, too_large())


async def _keep(answer: aiohttp.ClientResponse, file: IO[bytes]) -> None:
    async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
        if file.tell() + len(chunk) >= limits.UNZIPPED_MAX_BYTES:
            raise FetchFailed(FetchFailure.INVALID, too_large())
        file.write(chunk)


def _away(source: S3Source, error: Exception) -> FetchFailed:
    return FetchFailed(FetchFailure.UNAVAILABLE, f"{source.name} cannot be fetched: {error or type(error).__name__}")
