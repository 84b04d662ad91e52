"""Small archives in memory, so that the first invocation waits for no store; large ones by address."""

import asyncio
import logging
from collections import OrderedDict

from kubelambda.api.kinds.function import DeployedCode
from kubelambda.store.code.code_store import CodeStore, CodeStoreUnavailable

INLINE_MAX_BYTES = 1 << 20
CACHE_MAX_BYTES = 32 << 20

log = logging.getLogger(__name__)


class Archives:
    """Archives by digest, least recently used ones dropped first."""

    def __init__(self, store: CodeStore) -> None:
        self._store = store
        self._cache: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def get(self, code: DeployedCode) -> tuple[bytes, str | None]:
        """The archive itself when it is small, else no bytes and its address. Raises `CodeStoreUnavailable`."""
        if code.size > INLINE_MAX_BYTES:
            return b"", self._store.address(code.sha256)
        known = self._cache.get(code.sha256)
        if known is None:
            known = await self._store.get(code.sha256)
            self._keep(code.sha256, known)
        else:
            self._cache.move_to_end(code.sha256)
        return known, None

    def prefetch(self, code: DeployedCode) -> None:
        """Fetches a small archive in the background."""
        if code.size > INLINE_MAX_BYTES or code.sha256 in self._cache:
            return

        async def fetch() -> None:
            try:
                await self.get(code)
            except CodeStoreUnavailable as error:
                log.info("prefetch: %s", error)

        task = asyncio.get_running_loop().create_task(fetch())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _keep(self, digest: str, data: bytes) -> None:
        if digest in self._cache:
            return
        self._cache[digest] = data
        self._size += len(data)
        while self._size > CACHE_MAX_BYTES:
            _, dropped = self._cache.popitem(last=False)
            self._size -= len(dropped)
