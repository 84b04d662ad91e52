"""Client of the code store: archives by digest, published once."""

import time
from typing import Self

import aiohttp

from kubelambda.core import tokens

_TIMEOUT = aiohttp.ClientTimeout(total=120, connect=5)
_ADDRESS_SECONDS = 900


class CodeStoreUnavailable(Exception):
    """The store did not answer, or not as it should; the message says how."""


class CodeStore:
    """The store at `url`; `key` is the installation's key."""

    def __init__(self, url: str, key: bytes) -> None:
        self._url = url
        self._key = key
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=_TIMEOUT)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    def address(self, sha256: str) -> str:
        """Address of an archive that is good for a quarter of an hour and needs no further credentials."""
        expires = int(time.time()) + _ADDRESS_SECONDS
        signature = tokens.code_signature(self._key, sha256, expires)
        return f"{self._url}/blobs/{sha256}?expires={expires}&signature={signature}"

    async def has(self, sha256: str) -> bool:
        """Whether the archive is there. Raises `CodeStoreUnavailable`."""
        status, _ = await self._call("HEAD", self.address(sha256))
        return status == 200

    async def get(self, sha256: str) -> bytes:
        """The archive. Raises `CodeStoreUnavailable`."""
        status, body = await self._call("GET", self.address(sha256))
        if status != 200:
            raise CodeStoreUnavailable(f"the code store has no archive {sha256} ({status})")
        return body

    async def put(self, sha256: str, data: bytes) -> None:
        """Publishes an archive. Raises `CodeStoreUnavailable`."""
        status, body = await self._call("PUT", f"{self._url}/blobs/{sha256}", data)
        if status not in (200, 201):
            raise CodeStoreUnavailable(f"the code store refused the archive: {status} {body[:200]!r}")

    async def delete(self, sha256: str) -> None:
        """Forgets an archive. Raises `CodeStoreUnavailable`."""
        await self._call("DELETE", f"{self._url}/blobs/{sha256}")

    async def digests(self) -> list[str]:
        """Every archive that is old enough to be collected. Raises `CodeStoreUnavailable`."""
        status, body = await self._call("GET", f"{self._url}/blobs")
        if status != 200:
            raise CodeStoreUnavailable(f"the code store does not list its archives: {status}")
        return body.decode().split()

    async def _call(self, method: str, url: str, data: bytes | None = None) -> tuple[int, bytes]:
        if self._session is None:
            raise RuntimeError("the client is used outside of its context")
        headers = {"Authorization": f"Bearer {tokens.code_store_token(self._key)}"}
        try:
            async with self._session.request(method, url, data=data, headers=headers) as response:
                return response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise CodeStoreUnavailable(f"the code store does not answer: {error or type(error).__name__}") from error
