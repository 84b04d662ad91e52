"""A poller all of whose sources answer and have nothing: what it says of mappings is the product's own supervisor's.

Clients of sources are not in this environment, and none is needed to tell how a mapping's state comes about.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import override

from kubelambda.kube.kube_client import KubeClient
from kubelambda.pollers.mapping_report import MappingReport
from kubelambda.pollers.mapping_view import MappingView
from kubelambda.pollers.poller import Poller
from kubelambda.pollers.supervisor import Supervisor

_REPORT_S = 0.2


class IdlePoller(Poller):
    """Says again and again that its source answers."""

    def __init__(self, report: MappingReport) -> None:
        self._report = report
        self._ended = asyncio.Event()

    @override
    async def run(self) -> None:
        """Works until stopped."""
        while not self._ended.is_set():
            await self._report.polling("the source answers", pollers=1, lag=7, result="OK")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), _REPORT_S)

    @override
    def stop(self) -> None:
        """Ends it."""
        self._ended.set()


class IdlePollers:
    """Makes them."""

    @asynccontextmanager
    async def open(
        self, _view: MappingView, report: MappingReport, _timeout_s: Callable[[], int]
    ) -> AsyncIterator[Poller]:
        """One of a source that is always there."""
        yield IdlePoller(report)


async def main() -> None:
    """Works until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", required=True)
    client = await KubeClient.connect(parser.parse_args().kubeconfig)
    await Supervisor(client, IdlePollers()).run()


if __name__ == "__main__":
    asyncio.run(main())
