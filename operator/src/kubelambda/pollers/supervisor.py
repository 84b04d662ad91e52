"""Which mappings are worked: one task for each that is enabled, begun anew when it changes."""

import asyncio
import logging
import time
from collections.abc import Callable

from kubelambda.api import limits
from kubelambda.api.reasons import Reason
from kubelambda.core.function.object_name import object_names
from kubelambda.kube.kube_client import KubeClient
from kubelambda.kube.reflector import Name, Reflector
from kubelambda.kube.resources import EVENT_SOURCE_MAPPINGS, FUNCTIONS
from kubelambda.outbound.service_credentials import CredentialsMissing
from kubelambda.pollers.mapping_report import MappingReport
from kubelambda.pollers.mapping_view import MappingView, mapping_view, timeout_view
from kubelambda.pollers.poller import Poller
from kubelambda.pollers.poller_factory import PollerFactory
from kubelambda.pollers.shard_checkpoints import MappingTaken
from kubelambda.pollers.sources.source import SourceUnreachable

_PAUSE_FIRST_S = 1.0
_PAUSE_MAX_S = 30.0

log = logging.getLogger(__name__)


class Supervisor:
    """Every mapping of the cluster."""

    def __init__(
        self, client: KubeClient, pollers: PollerFactory, *, owns: Callable[[str], bool] = lambda _: True
    ) -> None:
        """`owns` says by its uid whether a mapping is ours."""
        self._client = client
        self._pollers = pollers
        self._owns = owns
        self._running: dict[Name, MappingRunner] = {}
        self._stopping = False
        self.functions = Reflector(client, FUNCTIONS, timeout_view, on_change=lambda *_: None)
        self.mappings = Reflector(client, EVENT_SOURCE_MAPPINGS, mapping_view, on_change=self._changed)

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
        for name, view in list(self.mappings.items.items()):
            self._changed(name, view, view)

    def timeout_s(self, view: MappingView) -> int:
        """How long a mapping's function may take."""
        for name in object_names(view.function):
            found = self.functions.items.get((view.namespace, name))
            if found is not None:
                return found
        return limits.TIMEOUT_DEFAULT_S

    def _changed(self, name: Name, _before: MappingView | None, after: MappingView | None) -> None:
        ours = after is not None and self._owns(after.uid) and not self._stopping
        wanted = after if after is not None and after.enabled and ours else None
        runner = self._running.get(name)
        if runner is not None:
            runner.change(wanted, paused=ours and wanted is None)
        elif wanted is not None:
            runner = MappingRunner(self._client, self._pollers, self.timeout_s)
            self._running[name] = runner
            runner.begin(wanted, lambda: self._running.pop(name, None))


class MappingRunner:
    """One mapping, spec after spec: the next begins when the last has come to its end."""

    def __init__(self, client: KubeClient, pollers: PollerFactory, timeout_s: Callable[[MappingView], int]) -> None:
        self._client = client
        self._pollers = pollers
        self._timeout_s = timeout_s
        self._wanted: MappingView | None = None
        self._paused = False
        self._changed = asyncio.Event()
        self._poller: Poller | None = None
        self.task: asyncio.Task[None]

    def begin(self, view: MappingView, on_end: Callable[[], object]) -> None:
        """Works `view`, and what it changes to, until it is not wanted any more."""
        self._wanted = view
        self.task = asyncio.get_running_loop().create_task(self._run(on_end))

    def change(self, view: MappingView | None, *, paused: bool = False) -> None:
        """What is wanted now; None: nothing more, and `paused` says that nobody else goes on with it."""
        self._paused = paused
        if view is not None and view == self._wanted:
            return
        self._wanted = view
        self._changed.set()
        if self._poller is not None:
            self._poller.stop()

    async def _run(self, on_end: Callable[[], object]) -> None:
        pause = _PAUSE_FIRST_S
        report: MappingReport | None = None
        last: MappingView | None = None
        while (view := self._wanted) is not None or (self._paused and report is not None):
            if view is None:
                assert report is not None
                await report.trouble(Reason.PAUSED, "the mapping is not enabled")
                self._paused = False
                continue
            self._changed.clear()
            if report is None or view != last:
                report, last, pause = MappingReport(self._client, view), view, _PAUSE_FIRST_S
            began = time.monotonic()
            try:
                await self._work(view, report)
                continue
            except SourceUnreachable as error:
                await report.trouble(error.reason, str(error), result=error.result)
            except CredentialsMissing as error:
                await report.trouble(Reason.CREDENTIALS_MISSING, str(error))
            except MappingTaken as taken:
                log.info("%s/%s: left to another poller: %s", view.namespace, view.name, taken)
            except Exception:  # a fault in one mapping must not end the others
                log.exception("%s/%s: polling failed, and begins again", view.namespace, view.name)
            if time.monotonic() - began > _PAUSE_MAX_S:
                pause = _PAUSE_FIRST_S
            try:
                await asyncio.wait_for(self._changed.wait(), pause)
            except TimeoutError:
                pause = min(_PAUSE_MAX_S, pause * 2)
        on_end()

    async def _work(self, view: MappingView, report: MappingReport) -> None:
        async with self._pollers.open(view, report, lambda: self._timeout_s(view)) as poller:
            self._poller = poller
            try:
                if self._wanted is view:
                    await poller.run()
            finally:
                self._poller = None
