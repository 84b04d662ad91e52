"""Client of the code store: archives by digest, published once."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import IO, Self

from kubelambda.api import limits
from kubelambda.core.environment import tokens
from kubelambda.wire.flow import Headers
from kubelambda.wire.session import Session

_QUICK_S = 15.0
_TRANSFER_S = 120.0
_SILENCE_S = 30.0
"""Between two pieces of an archive."""
_ADDRESS_SECONDS = 900


class CodeStoreUnavailable(Exception):
    """The store did not answer, or not as it should; the message says how."""


@contextmanager
def _transport_errors() -> Iterator[None]:
    """Raises `CodeStoreUnavailable` for whatever is wrong with the way to the store."""
    try:
        yield
    except OSError as error:
        raise CodeStoreUnavailable(f"the code store does not answer: {error or type(error).__name__}") from error


class CodeStore:
    """The store at `url`; `key` is the installation's key."""

    def __init__(self, url: str, key: bytes) -> None:
        self._url = url
        self._code_key = tokens.code_key(key)
        self._token = tokens.code_store_token(key)
        self._session = Session(url)

    @classmethod
    def for_uploads(cls, url: str, code_key: bytes) -> Self:
        """The store as `code_key` opens it (`tokens.code_key`): nothing is listed, and nothing deleted."""
        found = cls(url, b"")
        found._code_key, found._token = code_key, tokens.upload_token(code_key)
        return found

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    def address(self, sha256: str) -> str:
        """Address of an archive that is good for a quarter of an hour and needs no further credentials."""
        return f"{self._url}{self._signed(sha256)}"

    def upload_signature(self, namespace: str, sha256: str) -> str:
        """What proves that an archive was uploaded for `namespace`."""
        return tokens.upload_signature(self._code_key, namespace, sha256)

    async def size(self, sha256: str) -> int | None:
        """Bytes of the archive; None when it is not there. Raises `CodeStoreUnavailable`."""
        status, headers, _ = await self._call("HEAD", self._signed(sha256))
        if status == 404:
            return None
        if status != 200:
            raise CodeStoreUnavailable(f"the code store answers {status} when asked for an archive")
        return int(headers[b"content-length"])

    async def get(self, sha256: str) -> bytes:
        """The archive. Raises `CodeStoreUnavailable`."""
        status, _, body = await self._call("GET", self._signed(sha256), seconds=_TRANSFER_S)
        if status != 200:
            raise CodeStoreUnavailable(f"the code store has no archive {sha256} ({status})")
        return body

    async def pieces(self, sha256: str) -> AsyncIterator[bytes]:
        """The archive, piece by piece. Raises `CodeStoreUnavailable`."""
        with _transport_errors():
            async with self._session.read(self._signed(sha256), {}, seconds=_QUICK_S) as answer:
                if answer.status != 200:
                    raise CodeStoreUnavailable(f"the code store has no archive {sha256} ({answer.status})")
                async for piece in answer.pieces(_SILENCE_S):
                    yield piece

    async def fetch(self, sha256: str, signed: str) -> tuple[int, AsyncIterator[bytes]]:
        """Status and body of an archive's signed address, piece by piece. Raises `CodeStoreUnavailable`."""
        opened = AsyncExitStack()
        with _transport_errors():
            reading = self._session.read(f"/blobs/{sha256}?{signed}", {}, seconds=_QUICK_S)
            answer = await opened.enter_async_context(reading)

        async def pieces() -> AsyncIterator[bytes]:
            async with opened:
                async for piece in answer.pieces(_SILENCE_S):
                    yield piece

        return answer.status, pieces()

    async def put(self, sha256: str, data: bytes | IO[bytes]) -> None:
        """Publishes an archive, out of memory or from the start of a file. Raises `CodeStoreUnavailable`."""
        target = f"/blobs/{sha256}"
        if isinstance(data, bytes):
            status, _, body = await self._call("PUT", target, data, seconds=_TRANSFER_S)
        else:
            data.seek(0)
            with _transport_errors():
                status, _, body = await self._session.upload("PUT", target, self._headers, data, seconds=_TRANSFER_S)
        if status not in (200, 201):
            raise CodeStoreUnavailable(f"the code store refused the archive: {status} {body[:200].decode('latin-1')}")

    async def publish(self, sha256: str, data: bytes | IO[bytes]) -> None:
        """Puts an archive unless it is there already. Either way it is nobody's to delete for a while.

        Raises `CodeStoreUnavailable`.
        """
        if not await self.renew(sha256):
            await self.put(sha256, data)

    async def renew(self, sha256: str) -> bool:
        """Makes an archive nobody's to delete for a while, as if it had just come. Raises `CodeStoreUnavailable`.

        False where it is not there, or in a store of another release, which does not know the question.
        """
        status, _, _ = await self._call("PUT", f"/blobs/{sha256}/used")
        return status == 204

    async def delete(self, sha256: str, *, unused_s: int = 0) -> bool:
        """Forgets an archive, or leaves one that was published within the last `unused_s` seconds: whether it is gone.

        Raises `CodeStoreUnavailable`.
        """
        status, _, _ = await self._call("DELETE", f"/blobs/{sha256}?unused={unused_s}")
        if status not in (204, 409):
            raise CodeStoreUnavailable(f"the code store does not forget an archive: {status}")
        return status == 204

    async def digests(self) -> list[str]:
        """Every archive. Raises `CodeStoreUnavailable`."""
        status, _, body = await self._call("GET", "/blobs")
        if status != 200:
            raise CodeStoreUnavailable(f"the code store does not list its archives: {status}")
        return body.decode().split()

    async def _call(
        self, method: str, target: str, data: bytes = b"", *, seconds: float = _QUICK_S
    ) -> tuple[int, Headers, bytes]:
        with _transport_errors():
            return await self._session.call(
                method, target, self._headers, data, seconds=seconds, limit=limits.UNZIPPED_MAX_BYTES
            )

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"}

    def _signed(self, sha256: str) -> str:
        """Path and query of `address`."""
        expires = int(time.time()) + _ADDRESS_SECONDS
        signature = tokens.code_signature(self._code_key, sha256, expires)
        return f"/blobs/{sha256}?expires={expires}&signature={signature}"
