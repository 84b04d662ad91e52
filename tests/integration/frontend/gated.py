"""Functions that stay in an invocation until a test lets them go on, however long the steps of that take."""

import asyncio
from pathlib import Path

from tests.answer import Answer
from tests.eventually import eventually
from tests.integration.loopback import Cluster

WAITING = """
import os, time
def handler(event, context):
    if event:
        open(f"{event}.begun", "w").close()
    while event and not os.path.exists(event):
        time.sleep(0.02)
    return event
"""
"""Until the file is there that the event names."""
GATHERING = """
import os, time
def handler(event, context):
    if event:
        open(f"{event}/{context.aws_request_id}", "w").close()
        while not os.path.exists(f"{event}/go"):
            time.sleep(0.1)
    return event
"""
"""Until `go` is in the folder that the event names."""


def begun(gate: Path) -> bool:
    """Whether an invocation of `WAITING` waits for its file."""
    return gate.with_name(f"{gate.name}.begun").exists()


async def in_flight(cluster: Cluster, name: str, count: int, folder: Path) -> "list[asyncio.Task[Answer]]":
    """So many calls of `GATHERING`, each in an environment of its own; they end when `go` is in the folder."""
    await asyncio.to_thread(folder.mkdir)
    calls = cluster.calls(name, count, str(folder))
    await eventually(lambda: len(list(folder.iterdir())) == count)
    return calls


async def answered(calls: "list[asyncio.Task[Answer]]", folder: Path) -> list[Answer]:
    """Lets calls end; what they gave."""
    (folder / "go").touch()
    return await asyncio.gather(*calls)


async def in_use_once_each(cluster: Cluster, name: str, count: int, folder: Path) -> None:
    """So many environments of `GATHERING`, each of which has run something and is idle."""
    answers = await answered(await in_flight(cluster, name, count, folder), folder)
    assert {answer.status for answer in answers} == {200}
