"""Client of the code store: archives by digest, published once."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import IO, Self

import aiohttp

from kubelambda.core.environment import tokens

_QUICK = aiohttp.ClientTimeout(total=15, connect=5)
_TRANSFER = aiohttp.ClientTimeout(total=120, connect=5)
_ADDRESS_SECONDS = 900
_CHUNK_BYTES = 1 << 18


class CodeStoreUnavailable(Exception):
    """The store did not answer, or not as it should; the message says how."""


@contextmanager
def _transport_errors() -> Iterator[None]:
    """Raises `CodeStoreUnavailable` for whatever is wrong with the way to the store."""
    try:
        yield
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise CodeStoreUnavailable(f"the code store does not answer: {error or type(error).__name__}") from error


class CodeStore:
    """The store at `url`; `key` is the installation's key."""

    def __init__(self, url: str, key: bytes) -> None:
        self._url = url
        self._code_key = tokens.code_key(key)
        self._token = tokens.code_store_token(key)
        self._session: aiohttp.ClientSession | None = None

    @classmethod
    def for_uploads(cls, url: str, code_key: bytes) -> Self:
        """The store as `code_key` opens it (`tokens.code_key`): nothing is listed, and nothing deleted."""
        found = cls(url, b"")
        found._code_key, found._token = code_key, tokens.upload_token(code_key)
        return found

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    @property
    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the client is used outside of its context")
        return self._session

    def address(self, sha256: str) -> str:
        """Address of an archive that is good for a quarter of an hour and needs no further credentials."""
        expires = int(time.time()) + _ADDRESS_SECONDS
        signature = tokens.code_signature(self._code_key, sha256, expires)
        return f"{self._url}/blobs/{sha256}?expires={expires}&signature={signature}"

    def upload_signature(self, namespace: str, sha256: str) -> str:
        """What proves that an archive was uploaded for `namespace`."""
        return tokens.upload_signature(self._code_key, namespace, sha256)

    async def size(self, sha256: str) -> int | None:
        """Bytes of the archive; None when it is not there. Raises `CodeStoreUnavailable`."""
        status, headers, _ = await self._call("HEAD", self.address(sha256))
        if status == 404:
            return None
        if status != 200:
            raise CodeStoreUnavailable(f"the code store answers {status} when asked for an archive")
        return int(headers["Content-Length"])

    async def get(self, sha256: str) -> bytes:
        """The archive. Raises `CodeStoreUnavailable`."""
        status, _, body = await self._call("GET", self.address(sha256), timeout=_TRANSFER)
        if status != 200:
            raise CodeStoreUnavailable(f"the code store has no archive {sha256} ({status})")
        return body

    async def pieces(self, sha256: str) -> AsyncIterator[bytes]:
        """The archive, piece by piece. Raises `CodeStoreUnavailable`."""
        with _transport_errors():
            async with self._opened.get(self.address(sha256), timeout=_TRANSFER) as response:
                if response.status != 200:
                    raise CodeStoreUnavailable(f"the code store has no archive {sha256} ({response.status})")
                async for piece in response.content.iter_chunked(_CHUNK_BYTES):
                    yield piece

    async def fetch(self, sha256: str, signed: str) -> tuple[int, AsyncIterator[bytes]]:
        """Status and body of an archive's signed address, piece by piece. Raises `CodeStoreUnavailable`."""
        with _transport_errors():
            response = await self._opened.get(f"{self._url}/blobs/{sha256}?{signed}", timeout=_TRANSFER)

        async def chunks() -> AsyncIterator[bytes]:
            async with response:
                async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                    yield chunk

        return response.status, chunks()

    async def put(self, sha256: str, data: bytes | IO[bytes]) -> None:
        """Publishes an archive, out of memory or from the start of a file. Raises `CodeStoreUnavailable`."""
        if not isinstance(data, bytes):
            data.seek(0)
        status, _, body = await self._call("PUT", f"{self._url}/blobs/{sha256}", data, timeout=_TRANSFER)
        if status not in (200, 201):
            raise CodeStoreUnavailable(f"the code store refused the archive: {status} {body[:200].decode('latin-1')}")

    async def delete(self, sha256: str) -> None:
        """Forgets an archive. Raises `CodeStoreUnavailable`."""
        status, _, _ = await self._call("DELETE", f"{self._url}/blobs/{sha256}")
        if status != 204:
            raise CodeStoreUnavailable(f"the code store does not forget an archive: {status}")

    async def digests(self) -> list[str]:
        """Every archive. Raises `CodeStoreUnavailable`."""
        status, _, body = await self._call("GET", f"{self._url}/blobs")
        if status != 200:
            raise CodeStoreUnavailable(f"the code store does not list its archives: {status}")
        return body.decode().split()

    async def _call(
        self,
        method: str,
        url: str,
        data: bytes | IO[bytes] | None = None,
        *,
        timeout: aiohttp.ClientTimeout = _QUICK,  # noqa: ASYNC109 - this is aiohttp's own
    ) -> tuple[int, dict[str, str], bytes]:
        headers = {"Authorization": f"Bearer {self._token}"}
        with _transport_errors():
            async with self._opened.request(method, url, data=data, headers=headers, timeout=timeout) as response:
                return response.status, dict(response.headers), await response.read()
