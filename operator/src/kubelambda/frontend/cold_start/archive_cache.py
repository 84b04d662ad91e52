"""Small archives in memory, so that the first invocation waits for no store; large ones by address."""

import asyncio
import logging
import math
import time
from collections import Counter, OrderedDict

from kubelambda.api.kinds.deployed_configuration import DeployedCode
from kubelambda.api.kinds.function_mounts import DeployedLayer
from kubelambda.kube.fair_slots import FairSlots
from kubelambda.store.code.code_store import CodeStore, CodeStoreUnavailable

INLINE_MAX_BYTES = 1 << 20
CACHE_MAX_BYTES = 32 << 20
_SEEN_S = 10.0
"""How long the store is believed to have a large archive that it had."""
_SEEN_MAX = 4096
_FETCHES = 16
_FETCHES_PER_NAMESPACE = 4

log = logging.getLogger(__name__)


class Archives:
    """Archives by digest. Of the namespace that has the most bytes here, the least recently used is dropped first."""

    def __init__(self, store: CodeStore) -> None:
        self._store = store
        self._cache: OrderedDict[str, tuple[str, bytes]] = OrderedDict()
        self._bytes: Counter[str] = Counter()
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._fetching: dict[str, asyncio.Task[bytes]] = {}
        self._slots: FairSlots[str] = FairSlots(_FETCHES_PER_NAMESPACE, _FETCHES)

    async def get(self, namespace: str, code: DeployedCode | DeployedLayer) -> tuple[bytes, str | None]:
        """The archive itself when it is small, else no bytes and its address. Raises `CodeStoreUnavailable`."""
        if code.size > INLINE_MAX_BYTES:
            await self._look(code.sha256)
            return b"", self._store.address(code.sha256)
        known = self._cache.get(code.sha256)
        if known is not None:
            self._cache.move_to_end(code.sha256)
            return known[1], None
        return await asyncio.shield(self._fetch(namespace, code.sha256)), None

    def address(self, code: DeployedCode | DeployedLayer) -> str:
        """Where an environment can fetch an archive itself, for a quarter of an hour."""
        return self._store.address(code.sha256)

    def prefetch(self, namespace: str, code: DeployedCode | DeployedLayer) -> None:
        """Fetches a small archive in the background."""
        if code.size <= INLINE_MAX_BYTES and code.sha256 not in self._cache:
            self._fetch(namespace, code.sha256)

    async def _look(self, digest: str) -> None:
        """An environment that cannot fetch its archive is lost to its pool: the store is asked first."""
        now = time.monotonic()
        if now - self._seen.get(digest, -math.inf) < _SEEN_S:
            return
        if await self._store.size(digest) is None:
            raise CodeStoreUnavailable(f"the code store has no archive {digest}")
        self._seen[digest] = now
        self._seen.move_to_end(digest)
        while len(self._seen) > _SEEN_MAX:
            self._seen.popitem(last=False)

    def _fetch(self, namespace: str, digest: str) -> "asyncio.Task[bytes]":
        """The one fetch of an archive that is on its way, whoever asked for it."""
        task = self._fetching.get(digest)
        if task is None:
            task = self._fetching[digest] = asyncio.get_running_loop().create_task(self._fetched(namespace, digest))
            task.add_done_callback(lambda done: self._ended(digest, done))
        return task

    def _ended(self, digest: str, task: "asyncio.Task[bytes]") -> None:
        del self._fetching[digest]
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.log(logging.INFO if isinstance(error, CodeStoreUnavailable) else logging.ERROR, "%s", error)

    async def _fetched(self, namespace: str, digest: str) -> bytes:
        async with self._slots.hold(namespace):
            data = await self._store.get(digest)
        self._cache[digest] = (namespace, data)
        self._bytes[namespace] += len(data)
        while self._bytes.total() > CACHE_MAX_BYTES:
            self._drop()
        return data

    def _drop(self) -> None:
        largest = self._bytes.most_common(1)[0][0]
        digest = next(digest for digest, (namespace, _) in self._cache.items() if namespace == largest)
        _, data = self._cache.pop(digest)
        self._bytes[largest] -= len(data)
        if not self._bytes[largest]:
            del self._bytes[largest]
