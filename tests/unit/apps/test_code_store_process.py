"""The code store as it listens: what its callers cost its pod."""

import asyncio
import hashlib
import io
import signal
import socket
from pathlib import Path

from tests.eventually import eventually
from tests.ports import free_port
from yarl import URL

from kubelambda.apps import code_store
from kubelambda.store.code.code_store import CodeStore, CodeStoreUnavailable
from kubelambda.store.code.code_store_server import CodeStoreServer

KEY = b"k" * 32
LARGE = bytes(16 << 20)
DIGEST = hashlib.sha256(LARGE).hexdigest()


def unacknowledged(server: int, client: int) -> int:
    """Bytes that the system has of what was sent from one port to another."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues = line.split()[:5]
        if (int(local.partition(":")[2], 16), int(remote.partition(":")[2], 16)) == (server, client):
            return int(queues.partition(":")[0], 16)
    return 0


async def test_callers_who_read_nothing_cost_no_megabytes_each(tmp_path: Path) -> None:
    """A hundred nodes may fetch at once: the system kept three megabytes for each, and counted them as our pod's."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    serving = asyncio.create_task(code_store._run(CodeStoreServer(tmp_path, KEY), port))
    async with asyncio.timeout(120), CodeStore(url, KEY) as store:
        while True:
            try:
                await store.put(DIGEST, io.BytesIO(LARGE))
            except CodeStoreUnavailable:
                await asyncio.sleep(0.05)
            else:
                break
        asked = URL(store.address(DIGEST))
        with socket.socket() as idle:
            idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
            idle.connect(("127.0.0.1", port))
            idle.sendall(f"GET {asked.path_qs} HTTP/1.1\r\nHost: store\r\n\r\n".encode())
            await eventually(lambda: unacknowledged(port, idle.getsockname()[1]) > 1 << 16)
            await asyncio.sleep(0.5)  # in which it would be more
            assert unacknowledged(port, idle.getsockname()[1]) < 1 << 20
    signal.raise_signal(signal.SIGTERM)
    async with asyncio.timeout(60):
        await serving
    await asyncio.sleep(0.02)  # connections that were closed are lost a moment later
