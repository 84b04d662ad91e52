"""What a frontend hears of the others: all of them, or nothing."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

from tests.eventually import eventually
from tests.unit.frontend.empty_caches import empty_caches

from kubelambda.kube.errors import Gone, Unreachable
from kubelambda.kube.kube_client import KubeClient, Object


def part(name: str, *addresses: str) -> Object:
    """One of the EndpointSlices of the frontends."""
    endpoints = [{"addresses": [address], "conditions": {"ready": True}} for address in addresses]
    metadata = {"namespace": "system", "name": name, "resourceVersion": "1"}
    return {"metadata": metadata, "endpoints": endpoints}


class Pages:
    """In the place of a client: lists of two pages, of which the first one breaks off; and a watch that is too old."""

    def __init__(self) -> None:
        self.lists = [(part("one", "a"), None), (part("one", "a"), part("two", "b")), (part("one"), part("two", "c"))]
        self.events = [part("two", "b", "d")]

    async def pages(self, *_: Any, **__: Any) -> AsyncIterator[Object]:
        """One list."""
        for item in self.lists.pop(0):
            if item is None:
                raise Unreachable("connection reset")
            yield {"items": [item], "metadata": {"resourceVersion": "1"}}
            await asyncio.sleep(0)

    async def watch(self, *_: Any, **__: Any) -> AsyncIterator[Object]:
        """A change, and the end; then nothing, for ever."""
        if not self.events:
            await asyncio.Event().wait()
        yield {"type": "MODIFIED", "object": self.events.pop()}
        raise Gone(410, "too old")


async def test_of_a_list_of_frontends_nothing_is_told_before_all_of_it_is_there() -> None:
    """Not the first time, and not when a watch is lost: of a part of them, others own the accounts."""
    told: list[list[str]] = []
    caches = empty_caches(cast("KubeClient", Pages()), lambda: told.append(sorted(caches.ready_members())))
    task = asyncio.create_task(caches.members.run())
    await eventually(lambda: len(told) == 3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert told == [["a", "b"], ["a", "b", "d"], ["c"]]
