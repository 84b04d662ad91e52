"""Archives in memory: shared fairly, fetched once."""

import asyncio

import pytest

from kubelambda.api.kinds.deployed_configuration import DeployedCode
from kubelambda.frontend.cold_start import archive_cache
from kubelambda.frontend.cold_start.archive_cache import Archives
from kubelambda.store.code.code_store import CodeStore, CodeStoreUnavailable

MB = 1 << 20


class CountingStore(CodeStore):
    """A store that has every archive but those it lost, and counts what it is asked for."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9", b"k" * 32)
        self.gets: list[str] = []
        self.lost: set[str] = set()

    async def get(self, sha256: str) -> bytes:
        """A megabyte."""
        self.gets.append(sha256)
        await asyncio.sleep(0)
        if sha256 in self.lost:
            raise CodeStoreUnavailable("away")
        return b"x" * MB

    async def size(self, sha256: str) -> int | None:
        """Two megabytes, or nothing."""
        return None if sha256 in self.lost else 2 * MB


def code(digest: str, size: int = MB) -> DeployedCode:
    """An archive."""
    return DeployedCode(sha256=digest, size=size)


async def test_an_archive_that_many_want_at_once_is_fetched_once() -> None:
    """A burst of cold starts is one request to the store."""
    store = CountingStore()
    archives = Archives(store)
    found = await asyncio.gather(*(archives.get("a", code("one")) for _ in range(50)))
    assert {len(data) for data, _ in found} == {MB}
    assert store.gets == ["one"]


async def test_a_namespace_with_many_functions_drops_its_own_archives_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of others stay."""
    monkeypatch.setattr(archive_cache, "CACHE_MAX_BYTES", 4 * MB)
    store = CountingStore()
    archives = Archives(store)
    await archives.get("small", code("mine"))
    for n in range(20):
        await archives.get("large", code(f"theirs-{n}"))
    store.gets.clear()
    await archives.get("small", code("mine"))
    await archives.get("large", code("theirs-19"))
    assert store.gets == []


async def test_a_failure_is_for_those_who_waited_and_nobody_else() -> None:
    """The next one asks again."""
    store = CountingStore()
    archives = Archives(store)
    store.lost.add("one")
    found = await asyncio.gather(*(archives.get("a", code("one")) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(each, CodeStoreUnavailable) for each in found)
    store.lost.clear()
    assert len((await archives.get("a", code("one")))[0]) == MB


async def test_a_large_archive_is_known_to_be_there_before_a_pod_is_taken() -> None:
    """Its environment fetches it by address; one that cannot is lost to its pool."""
    store = CountingStore()
    archives = Archives(store)
    data, url = await archives.get("a", code("large", 2 * MB))
    assert data == b""
    assert url is not None
    store.lost.add("other")
    with pytest.raises(CodeStoreUnavailable):
        await archives.get("a", code("other", 2 * MB))
