"""Which mappings are worked: one task for each that is enabled, begun anew when it changes."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from kubelambda.api import limits
from kubelambda.api.reasons import Reason
from kubelambda.core.function.object_name import object_names
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.reflector import Name, Reflector
from kubelambda.kube.resources import EVENT_SOURCE_MAPPINGS, FUNCTIONS
from kubelambda.outbound.service_credentials import CredentialsMissing
from kubelambda.pollers.mapping_report import MappingReport
from kubelambda.pollers.mapping_view import MappingView, WatchedMapping, timeout_view, watched_mapping
from kubelambda.pollers.poller import Poller, PollerMaker
from kubelambda.pollers.shard_checkpoints import MappingTaken
from kubelambda.pollers.sources.source_unreachable import SourceUnreachable
from kubelambda.wire.cancellation import is_of_this_task

_PAUSE_FIRST_S = 1.0
_PAUSE_MAX_S = 30.0
_PAUSED_AGAIN_S = 5.0
"""Before it is said again of a mapping that it is paused, when that could not be written."""

log = logging.getLogger(__name__)


class Supervisor:
    """Every mapping of the cluster."""

    def __init__(
        self, client: KubeClient, pollers: PollerMaker, *, owns: Callable[[str], bool] = lambda _: True
    ) -> None:
        """`owns` says by its uid whether a mapping is ours."""
        self._client = client
        self._pollers = pollers
        self._owns = owns
        self._running: dict[Name, MappingRunner] = {}
        self._stopping = False
        self.functions = Reflector(client, FUNCTIONS, timeout_view, on_change=lambda *_: None)
        self.mappings = Reflector(client, EVENT_SOURCE_MAPPINGS, watched_mapping, on_change=self._changed)

    @property
    def synced(self) -> bool:
        """Whether everything there is has been read."""
        return self.functions.synced.is_set() and self.mappings.synced.is_set()

    async def run(self) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.functions.run())
            await self.functions.synced.wait()
            group.create_task(self.mappings.run())

    async def drain(self, seconds: float) -> None:
        """Begins nothing new and waits for what runs. What does not end is brought again by its queue."""
        self._stopping = True
        tasks = [runner.task for runner in self._running.values()]
        for runner in self._running.values():
            runner.change(None)
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)

    def share_changed(self) -> None:
        """Other mappings may be ours now, and some of ours another's."""
        for name, mapping in list(self.mappings.items.items()):
            self._changed(name, mapping, mapping)

    def timeout_s(self, view: MappingView) -> int:
        """How long a mapping's function may take."""
        for name in object_names(view.function):
            found = self.functions.items.get((view.namespace, name))
            if found is not None:
                return found
        return limits.TIMEOUT_DEFAULT_S

    def _changed(self, name: Name, _before: WatchedMapping | None, after: WatchedMapping | None) -> None:
        ours = after is not None and self._owns(after.view.uid) and not self._stopping
        wanted = after if after is not None and after.view.enabled and ours else None
        paused = after if after is not None and wanted is None and ours else None
        runner = self._running.get(name)
        if runner is not None:
            runner.change(wanted, paused)
        elif wanted is not None or (paused is not None and paused.worked):
            runner = MappingRunner(self._client, self._pollers, self.timeout_s)
            self._running[name] = runner
            runner.begin(wanted, paused, lambda: self._running.pop(name, None))


class MappingRunner:
    """One mapping, spec after spec: the next begins when the last has come to its end."""

    def __init__(self, client: KubeClient, pollers: PollerMaker, timeout_s: Callable[[MappingView], int]) -> None:
        self._client = client
        self._pollers = pollers
        self._timeout_s = timeout_s
        self._wanted: MappingView | None = None
        self._paused: MappingView | None = None
        self._told: dict[str, Any] = {}
        """What the mapping's status said when it was last another."""
        self._changed = asyncio.Event()
        self._poller: Poller | None = None
        self._report: MappingReport | None = None
        self._latest: MappingReport | None = None
        self.task: asyncio.Task[None]

    def begin(self, wanted: WatchedMapping | None, paused: WatchedMapping | None, on_end: Callable[[], object]) -> None:
        """Works what is wanted, and what it changes to, until nothing is any more; `paused` as `change` has it."""
        self.change(wanted, paused)
        self.task = asyncio.get_running_loop().create_task(self._run(on_end))

    def change(self, wanted: WatchedMapping | None, paused: WatchedMapping | None = None) -> None:
        """What is wanted now; None: nothing more, and of `paused` it is to be said that nobody goes on with it."""
        self._paused = paused.view if paused is not None else None
        named = wanted or paused
        self._told = named.told if named is not None else {}
        if wanted is not None and wanted.view == self._wanted:
            lost = wanted.confirmed is None or not wanted.confirmed.works(wanted.view.generation)
            if lost and self._report is not None:
                self._report.lost()
            return
        self._wanted = wanted.view if wanted is not None else None
        if self._report is not None:
            self._report.end()
            self._report = None
        self._changed.set()
        if self._poller is not None:
            self._poller.stop()

    async def _run(self, on_end: Callable[[], object]) -> None:
        pause = _PAUSE_FIRST_S
        last: MappingView | None = None
        while (view := self._wanted) is not None or self._paused is not None:
            self._changed.clear()
            if view is None:
                self._report = last = None
                await self._say_paused()
                continue
            if self._report is None or view != last:
                self._report, last, pause = self._new_report(view), view, _PAUSE_FIRST_S
            began = time.monotonic()
            if await self._worked(view, self._report):
                continue
            if time.monotonic() - began > _PAUSE_MAX_S:
                pause = _PAUSE_FIRST_S
            try:
                await asyncio.wait_for(self._changed.wait(), pause)
            except TimeoutError:
                pause = min(_PAUSE_MAX_S, pause * 2)
        on_end()

    async def _worked(self, view: MappingView, report: MappingReport) -> bool:
        """Whether its work came to an end as it should; else the mapping has been told why not."""
        try:
            await self._work(view, report)
        except SourceUnreachable as error:
            await report.trouble(error.reason, str(error), result=error.result)
        except CredentialsMissing as error:
            await report.trouble(Reason.CREDENTIALS_MISSING, str(error))
        except MappingTaken as taken:
            log.info("%s/%s: left to another poller: %s", view.namespace, view.name, taken)
        except (Exception, asyncio.CancelledError) as error:
            if is_of_this_task(error):
                raise
            # A fault in one mapping must not end the others, nor this one for ever.
            log.exception("%s/%s: polling failed, and begins again", view.namespace, view.name)
            why = f"polling failed, and begins again: {type(error).__name__}"
            await report.trouble(Reason.SOURCE_UNAVAILABLE, why)
        else:
            return True
        return False

    def _new_report(self, view: MappingView) -> MappingReport:
        """One that begins with what was told last: by us, though it may not have been written, or by another."""
        latest = self._latest
        told = latest.told if latest is not None and latest.uid == view.uid else self._told
        self._latest = MappingReport(self._client, view, told)
        return self._latest

    async def _say_paused(self) -> None:
        """Says that nobody reads; when that cannot be written, soon again."""
        paused, self._paused = self._paused, None
        if paused is None or await self._new_report(paused).paused() or self._changed.is_set():
            return
        self._paused = paused
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), _PAUSED_AGAIN_S)

    async def _work(self, view: MappingView, report: MappingReport) -> None:
        async with self._pollers.open(view, report, lambda: self._timeout_s(view)) as poller:
            self._poller = poller
            try:
                if self._wanted is view:
                    await poller.run()
            finally:
                self._poller = None
