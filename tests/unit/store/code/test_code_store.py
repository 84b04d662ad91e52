"""The code store over real sockets: digests verified, writing and reading authorised, nothing half-written."""

import asyncio
import errno
import hashlib
import io
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest
from tests.code_stores import served
from tests.eventually import eventually
from yarl import URL

from kubelambda.api import limits
from kubelambda.core.environment import tokens
from kubelambda.store.code.code_store import CodeStore, CodeStoreUnavailable
from kubelambda.store.code.code_store_server import CodeStoreServer
from kubelambda.wire.connections import Connections

KEY = b"the key of this installation, as long as needed"
CODE_KEY = tokens.code_key(KEY)
DATA = b"an archive, as far as the store cares" * 1000
DIGEST = hashlib.sha256(DATA).hexdigest()


def names(folder: Path) -> list[str]:
    """What is in a folder."""
    return [path.name for path in folder.iterdir()]


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    """Address of a running store with the folder `tmp_path`."""
    async with served(tmp_path, KEY) as address:
        yield address


@pytest.fixture
async def store(url: str) -> AsyncIterator[CodeStore]:
    """A client of it."""
    async with CodeStore(url, KEY) as found:
        yield found


async def test_what_is_put_can_be_read(store: CodeStore) -> None:
    """By its digest, out of memory or from a file; again and again."""
    assert await store.size(DIGEST) is None
    await store.put(DIGEST, DATA)
    await store.put(DIGEST, io.BytesIO(DATA))
    assert await store.size(DIGEST) == len(DATA)
    assert await store.get(DIGEST) == DATA
    assert await store.digests() == [DIGEST]


async def test_what_is_deleted_is_gone(store: CodeStore) -> None:
    """Deleting twice is no error."""
    await store.put(DIGEST, DATA)
    await store.delete(DIGEST)
    await store.delete(DIGEST)
    assert await store.size(DIGEST) is None
    assert await store.digests() == []


async def test_what_was_found_there_a_moment_ago_is_not_deleted(store: CodeStore, tmp_path: Path) -> None:
    """Whoever publishes an archive that is there names it next: its time begins anew, as if it had just come."""
    await store.put(DIGEST, DATA)
    os.utime(tmp_path / DIGEST, (0, 0))
    await store.publish(DIGEST, b"what is there already is not sent")
    assert not await store.delete(DIGEST, unused_s=900)
    assert await store.get(DIGEST) == DATA
    os.utime(tmp_path / DIGEST, (time.time() - 901,) * 2)
    assert await store.delete(DIGEST, unused_s=900)
    assert await store.size(DIGEST) is None


async def test_what_is_not_there_is_put_when_it_is_published(url: str, store: CodeStore) -> None:
    """By those who upload only too."""
    async with CodeStore.for_uploads(url, CODE_KEY) as uploads:
        await uploads.publish(DIGEST, io.BytesIO(DATA))
    assert await store.get(DIGEST) == DATA
    assert not await store.delete(DIGEST, unused_s=900)


async def test_only_who_uploads_says_that_an_archive_is_used(url: str, store: CodeStore, tmp_path: Path) -> None:
    """A signed address reads, and keeps nothing."""
    await store.put(DIGEST, DATA)
    os.utime(tmp_path / DIGEST, (0, 0))
    async with aiohttp.ClientSession() as session, session.put(f"{url}/blobs/{DIGEST}/used") as answer:
        assert answer.status == 401
    assert await store.delete(DIGEST, unused_s=900)


async def test_who_takes_code_in_uploads_and_reads_and_nothing_else(url: str, store: CodeStore, tmp_path: Path) -> None:
    """With a key of its own it neither lists nor deletes; addresses and proofs of origin are those of everybody."""
    async with CodeStore.for_uploads(url, CODE_KEY) as uploads:
        await uploads.put(DIGEST, DATA)
        assert await uploads.size(DIGEST) == len(DATA)
        assert await uploads.get(DIGEST) == DATA
        assert uploads.upload_signature("a", DIGEST) == store.upload_signature("a", DIGEST)
        with pytest.raises(CodeStoreUnavailable, match="401"):
            await uploads.digests()
        with pytest.raises(CodeStoreUnavailable, match="401"):
            await uploads.delete(DIGEST)
    assert names(tmp_path) == [DIGEST]


async def test_another_digest_than_promised_is_refused(store: CodeStore, tmp_path: Path) -> None:
    """And leaves no file behind."""
    with pytest.raises(CodeStoreUnavailable, match=DIGEST):
        await store.put("0" * 64, DATA)
    assert names(tmp_path) == []


async def test_an_upload_that_breaks_off_leaves_nothing(url: str, store: CodeStore, tmp_path: Path) -> None:
    """Half an archive never gets the name of a whole one."""

    async def half() -> AsyncIterator[bytes]:
        yield DATA[:1000]
        raise RuntimeError("the line is cut")

    headers = {"Authorization": f"Bearer {tokens.code_store_token(KEY)}"}
    async with aiohttp.ClientSession() as session:
        with pytest.raises((aiohttp.ClientError, RuntimeError)):
            await session.put(f"{url}/blobs/{DIGEST}", data=half(), headers=headers)
    deadline = time.monotonic() + 5
    while names(tmp_path) and time.monotonic() < deadline:
        assert await store.size(DIGEST) is None
    assert names(tmp_path) == []


async def test_an_archive_over_the_limit_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is received, not after."""
    monkeypatch.setattr(limits, "UNZIPPED_MAX_BYTES", 1000)
    headers = {"Authorization": f"Bearer {tokens.code_store_token(KEY)}"}
    async with (
        aiohttp.ClientSession() as session,
        session.put(f"{url}/blobs/{DIGEST}", data=DATA, headers=headers) as r,
    ):
        assert r.status == 413


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", f"/blobs/{DIGEST}"), ("DELETE", f"/blobs/{DIGEST}"), ("GET", "/blobs")]
)
@pytest.mark.parametrize("token", ["", "Bearer wrong", f"Bearer {tokens.pool_token(KEY, 'default')}"])
async def test_only_the_operator_writes_and_lists(url: str, method: str, path: str, token: str) -> None:
    """Everybody else is unauthorised."""
    headers = {"Authorization": token} if token else {}
    async with aiohttp.ClientSession() as session, session.request(method, url + path, headers=headers) as response:
        assert response.status == 401


async def test_reading_needs_a_signed_address(url: str, store: CodeStore) -> None:
    """That is good for one archive, until it expires."""
    await store.put(DIGEST, DATA)
    soon, past = int(time.time()) + 60, int(time.time()) - 1
    cases = {
        f"expires={soon}&signature={tokens.code_signature(CODE_KEY, DIGEST, soon)}": 200,
        f"expires={past}&signature={tokens.code_signature(CODE_KEY, DIGEST, past)}": 403,
        f"expires={soon}&signature={tokens.code_signature(CODE_KEY, '0' * 64, soon)}": 403,
        f"expires={soon}&signature={tokens.code_signature(tokens.code_key(b'other'), DIGEST, soon)}": 403,
        f"expires={soon + 1}&signature={tokens.code_signature(CODE_KEY, DIGEST, soon)}": 403,
        "": 403,
    }
    async with aiohttp.ClientSession() as session:
        for query, status in cases.items():
            async with session.get(f"{url}/blobs/{DIGEST}?{query}") as response:
                assert response.status == status, query


async def test_names_that_are_no_digests_are_refused(url: str) -> None:
    """Nothing outside the folder can be named."""
    headers = {"Authorization": f"Bearer {tokens.code_store_token(KEY)}"}
    async with aiohttp.ClientSession() as session:
        for name in ("..%2Fkey", DIGEST.upper(), DIGEST[:-1]):
            async with session.put(f"{url}/blobs/{name}", data=b"x", headers=headers) as response:
                assert response.status == 400, name


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-9", (0, 10)),
        ("bytes=100-", (100, len(DATA))),
        ("bytes=-5", (len(DATA) - 5, len(DATA))),
        (f"bytes=-{10**30}", (0, len(DATA))),
        (f"bytes=7-{10**30}", (7, len(DATA))),
        ("Bytes= 1-1 ", (1, 2)),
        (f"bytes={len(DATA) - 1}-", (len(DATA) - 1, len(DATA))),
    ],
)
async def test_a_part_of_an_archive_is_sent(store: CodeStore, asked: str, part: tuple[int, int]) -> None:
    """One range of bytes, with what it is a part of."""
    await store.put(DIGEST, DATA)
    async with aiohttp.ClientSession() as session:
        async with session.get(store.address(DIGEST), headers={"Range": asked}) as answer:
            assert (answer.status, await answer.read()) == (206, DATA[slice(*part)])
            assert answer.headers["Content-Range"] == f"bytes {part[0]}-{part[1] - 1}/{len(DATA)}"
            assert (answer.headers["ETag"], answer.headers["Accept-Ranges"]) == (f'"{DIGEST}"', "bytes")
        async with session.head(store.address(DIGEST), headers={"Range": asked}) as answer:
            assert (answer.status, answer.content_length) == (200, len(DATA))


@pytest.mark.parametrize("asked", ["bytes=5-3", "bytes=-", "bytes=a-b", "lines=0-1", "bytes=0-1,3-4", "bytes 0-1", ""])
async def test_what_is_no_range_is_all_of_it(store: CodeStore, asked: str) -> None:
    """And so are several at once, as a server may."""
    await store.put(DIGEST, DATA)
    async with (
        aiohttp.ClientSession() as session,
        session.get(store.address(DIGEST), headers={"Range": asked}) as answer,
    ):
        assert (answer.status, await answer.read()) == (200, DATA)
        assert "Content-Range" not in answer.headers


@pytest.mark.parametrize("asked", [f"bytes={len(DATA)}-", "bytes=-0", f"bytes={10**30}-{10**31}"])
async def test_a_range_without_a_byte_of_the_archive_is_refused(store: CodeStore, asked: str) -> None:
    """With the size that it has."""
    await store.put(DIGEST, DATA)
    async with (
        aiohttp.ClientSession() as session,
        session.get(store.address(DIGEST), headers={"Range": asked}) as answer,
    ):
        assert (answer.status, await answer.read()) == (416, b"")
        assert answer.headers["Content-Range"] == f"bytes */{len(DATA)}"


async def test_a_part_goes_only_to_who_has_the_rest(store: CodeStore) -> None:
    """If-Range names it; a date names nothing, for no answer has one."""
    await store.put(DIGEST, DATA)
    conditions = [
        (f'"{DIGEST}"', 206),
        (f'W/"{DIGEST}"', 200),
        ('"other"', 200),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 200),
    ]
    async with aiohttp.ClientSession() as session:
        for condition, status in conditions:
            headers = {"Range": f"bytes={len(DATA)}-" if status == 200 else "bytes=3-", "If-Range": condition}
            async with session.get(store.address(DIGEST), headers=headers) as answer:
                assert (answer.status, await answer.read()) == (status, DATA if status == 200 else DATA[3:])


LARGE = bytes(16 << 20)
LARGE_DIGEST = hashlib.sha256(LARGE).hexdigest()


@asynccontextmanager
async def asked(address: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection with little room that has asked for an archive and read the head of the answer."""
    url = URL(address)
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    narrow.connect((url.host, url.port))
    reader, writer = await asyncio.open_connection(sock=narrow, limit=1 << 16)
    writer.write(f"GET {url.path_qs} HTTP/1.1\r\nHost: store\r\n\r\n".encode())
    assert f"Content-Length: {len(LARGE)}".encode() in await reader.readuntil(b"\r\n\r\n")
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


async def test_a_caller_who_reads_slowly_gets_all_of_a_large_archive(tmp_path: Path) -> None:
    """And meanwhile the store holds a few pieces of it, not the archive."""
    connections = Connections()
    async with served(tmp_path, KEY, connections) as address, CodeStore(address, KEY) as store:
        await store.put(LARGE_DIGEST, io.BytesIO(LARGE))
        async with asked(store.address(LARGE_DIGEST)) as (reader, _):
            await eventually(lambda: connections.buffered_bytes > 0)
            assert connections.buffered_bytes < 1 << 20
            assert await reader.readexactly(len(LARGE)) == LARGE


async def test_a_caller_who_leaves_halfway_costs_nothing(tmp_path: Path) -> None:
    """The next one is served."""
    connections = Connections()
    async with served(tmp_path, KEY, connections) as address, CodeStore(address, KEY) as store:
        await store.put(LARGE_DIGEST, io.BytesIO(LARGE))
        async with asked(store.address(LARGE_DIGEST)):
            await eventually(lambda: connections.buffered_bytes > 0)
        await eventually(lambda: connections.buffered_bytes == 0)
        assert await store.get(LARGE_DIGEST) == LARGE


async def test_health_says_whether_the_folder_can_be_written(url: str, tmp_path: Path) -> None:
    """A lost volume is seen."""
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{url}/healthz") as response:
            assert response.status == 200
        os.rmdir(tmp_path)  # noqa: PTH106
        async with session.get(f"{url}/healthz") as response:
            assert response.status == 503


async def test_a_fault_of_the_disk_is_answered(store: CodeStore, tmp_path: Path) -> None:
    """Whoever asked does not wait for what will never come, and nobody takes for deleted what is still there."""
    (tmp_path / DIGEST).mkdir()
    async with asyncio.timeout(60):
        with pytest.raises(CodeStoreUnavailable, match="500"):
            await store.size(DIGEST)
        with pytest.raises(CodeStoreUnavailable, match="500"):
            await store.delete(DIGEST)


async def test_an_archive_that_cannot_be_read_to_its_end_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest will never come: half an archive, of which that is known."""
    read = io.BufferedReader(io.BytesIO(DATA))

    class Broken(io.BytesIO):
        def fileno(self) -> int:
            return os.open(tmp_path / DIGEST, os.O_RDONLY)

        def read(self, size: int | None = -1) -> bytes:
            if read.tell():
                raise OSError(errno.EIO, "a bad sector")
            return read.read(1000)

    async with served(tmp_path, KEY) as address, CodeStore(address, KEY) as store, asyncio.timeout(60):
        await store.put(DIGEST, DATA)
        monkeypatch.setattr(Path, "open", lambda *_: Broken())
        with pytest.raises(CodeStoreUnavailable, match="does not answer"):
            await store.get(DIGEST)


async def test_uploads_of_an_earlier_life_are_removed(tmp_path: Path) -> None:
    """What a crash left is not kept for ever."""
    (tmp_path / ".upload-abc").write_bytes(b"half")
    (tmp_path / DIGEST).write_bytes(DATA)
    CodeStoreServer(tmp_path, KEY)
    assert names(tmp_path) == [DIGEST]


async def test_a_store_that_is_away_is_said_to_be(tmp_path: Path) -> None:
    """One error, whatever the socket said."""
    async with CodeStore("http://127.0.0.1:9", KEY) as store:
        with pytest.raises(CodeStoreUnavailable, match="does not answer"):
            await store.size(DIGEST)


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", f"/blobs/{DIGEST}?expires=9999999999&signature=%C3%A9", {}),
        ("GET", f"/blobs/{DIGEST}?expires=9999999999&signature=%ED%A0%80%FF", {}),
        ("GET", f"/blobs/{DIGEST}?expires=%C2%B2&signature=x", {}),
        ("GET", f"/blobs/{DIGEST}?expires={'9' * 5000}&signature=x", {}),
        ("GET", "/blobs/..%2f..%2fetc%2fpasswd?expires=1&signature=x", {}),
        ("PUT", f"/blobs/{DIGEST}", {"Authorization": "Bearer \u00e9\udcff"}),
        (
            "PUT",
            f"/blobs/{DIGEST}",
            {"Authorization": f"Bearer {tokens.code_store_token(KEY)}", "Content-Encoding": "gzip"},
        ),
        ("POST", "/blobs", {}),
    ],
)
async def test_bad_input_is_the_callers_fault(url: str, method: str, path: str, headers: dict[str, str]) -> None:
    """Whatever stands where a signature, a time, a digest, a token or an archive is expected."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, URL(url + path, encoded=True), headers=headers, data=b"x") as response,
    ):
        assert 400 <= response.status < 500
