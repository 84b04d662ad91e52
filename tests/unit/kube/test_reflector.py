"""The cache of one resource type, and watches that fail; what a real API server says to it is tried elsewhere."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

from tests.eventually import eventually

from kubelambda.kube.errors import Unreachable
from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.kube.reflector import Reflector
from kubelambda.kube.resources import CONFIG_MAPS


def item(version: int, value: str) -> Object:
    """A ConfigMap."""
    metadata = {"namespace": "a", "name": "one", "resourceVersion": str(version)}
    return {"metadata": metadata, "data": {"value": value}}


class History:
    """In the place of a client: watches tell what happened after their version, and the first one fails at its end."""

    def __init__(self) -> None:
        self.events = [item(2, "second"), item(3, "third")]
        self.begun: list[str] = []

    async def pages(self, *_: Any, **__: Any) -> AsyncIterator[Object]:
        """The beginning."""
        yield {"items": [item(1, "first")], "metadata": {"resourceVersion": "1"}}

    async def watch(self, *_: Any, resource_version: str, **__: Any) -> AsyncIterator[Object]:
        """All that came later; then nothing, for ever."""
        self.begun.append(resource_version)
        for each in self.events:
            if int(each["metadata"]["resourceVersion"]) > int(resource_version):
                yield {"type": "MODIFIED", "object": each}
        if len(self.begun) == 1:
            raise Unreachable("connection reset")
        await asyncio.Event().wait()


async def test_a_watch_that_fails_goes_on_after_what_it_told() -> None:
    """What it told would be shown once more, and a pod that was claimed as an idle one, before it is as it is."""
    history = History()
    seen: list[str | None] = []
    reflector = Reflector(
        cast("KubeClient", history),
        CONFIG_MAPS,
        lambda body: str(body["data"]["value"]),
        on_change=lambda _, __, after: seen.append(after),
    )
    task = asyncio.create_task(reflector.run())
    await eventually(lambda: len(history.begun) == 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert history.begun == ["1", "3"]
    assert seen == ["first", "second", "third"]
