"""Who works a mapping no more has no more to say of it: its name may be another's by then (§7.1.2)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, override

from tests.eventually import eventually
from tests.unit.pollers.test_mapping_view import body

from kubelambda.kube.kube_client import KubeClient, Object
from kubelambda.pollers.mapping_report import MappingReport
from kubelambda.pollers.mapping_view import MappingView, watched_mapping
from kubelambda.pollers.poller import Poller
from kubelambda.pollers.sources.source_unreachable import SourceUnreachable
from kubelambda.pollers.supervisor import MappingRunner


class Statuses(KubeClient):
    """Keeps what is written of mappings; the tests against a real API server are elsewhere."""

    def __init__(self) -> None:
        self.generations: list[int] = []
        self.uid = "uid"

    @override
    async def find(self, *_: Any, **__: Any) -> Object:
        """The mapping that is there now."""
        return {"metadata": {"uid": self.uid, "resourceVersion": "1"}}

    @override
    async def apply(self, *_: Any, **__: Any) -> Object:
        """The status of a mapping."""
        manifest = _[1]
        self.generations.append(manifest["status"]["conditions"][0]["observedGeneration"])
        return {}


class LastBatch(Poller):
    """One whose last batch is still at the function when it is stopped, and whose source is gone by then."""

    def __init__(self, report: MappingReport) -> None:
        self._report = report
        self.stopped = asyncio.Event()
        self.answered = asyncio.Event()

    @override
    async def run(self) -> None:
        """Works until stopped and answered."""
        await self._report.polling("the source answers", pollers=1)
        await self.stopped.wait()
        await self.answered.wait()
        await self._report.polling("the source answers", pollers=1, lag=1)
        raise SourceUnreachable("there is no queue")

    @override
    def stop(self) -> None:
        """Begins nothing new."""
        self.stopped.set()


class LastBatches:
    """Makes them."""

    def __init__(self) -> None:
        self.made: list[LastBatch] = []

    @asynccontextmanager
    async def open(
        self, _view: MappingView, report: MappingReport, _timeout_s: Callable[[], int]
    ) -> AsyncIterator[Poller]:
        """One more."""
        self.made.append(LastBatch(report))
        yield self.made[-1]


async def test_a_mapping_made_anew_hears_nothing_of_the_one_before() -> None:
    """It had another generation, by which the new one would be said to be worked before it is."""
    client, pollers, ended = Statuses(), LastBatches(), asyncio.Event()
    before = watched_mapping(body())
    assert before is not None
    after = replace(before, view=replace(before.view, uid="new", generation=1))
    runner = MappingRunner(client, pollers, lambda _: 1)
    runner.begin(before, None, ended.set)
    await eventually(lambda: client.generations == [2])
    runner.change(None)
    client.uid = "new"
    runner.change(after)
    pollers.made[0].answered.set()
    await eventually(lambda: len(pollers.made) == 2 and client.generations == [2, 1])
    runner.change(None)
    pollers.made[1].answered.set()
    await asyncio.wait_for(ended.wait(), 60)
    assert client.generations == [2, 1]


async def test_a_mapping_that_comes_back_is_spoken_of_again() -> None:
    """As it is when a poller was another's for a moment, and is ours again before the last batch has its answer."""
    client, pollers, ended = Statuses(), LastBatches(), asyncio.Event()
    mapping = watched_mapping(body())
    runner = MappingRunner(client, pollers, lambda _: 1)
    runner.begin(mapping, None, ended.set)
    await eventually(lambda: client.generations == [2])
    runner.change(None)
    runner.change(mapping)
    pollers.made[0].answered.set()
    await eventually(lambda: client.generations == [2, 2])
    runner.change(None)
    pollers.made[1].answered.set()
    await asyncio.wait_for(ended.wait(), 60)


class Cancelled(LastBatches):
    """The first one's client library cancels what it waits for."""

    @override
    @asynccontextmanager
    async def open(
        self, view: MappingView, report: MappingReport, timeout_s: Callable[[], int]
    ) -> AsyncIterator[Poller]:
        """One more."""
        async with super().open(view, report, timeout_s) as poller:
            if len(self.made) == 1:
                elsewhere: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                elsewhere.cancel()
                await elsewhere
            yield poller


async def test_a_poller_whose_library_cancels_what_it_waits_for_begins_again() -> None:
    """Its task would end, and nobody would notice that the mapping is worked no more."""
    client, pollers, ended = Statuses(), Cancelled(), asyncio.Event()
    runner = MappingRunner(client, pollers, lambda _: 1)
    runner.begin(watched_mapping(body()), None, ended.set)
    await eventually(lambda: len(pollers.made) == 2)
    runner.change(None)
    pollers.made[1].answered.set()
    await asyncio.wait_for(ended.wait(), 60)
