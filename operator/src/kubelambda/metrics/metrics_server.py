"""Serves the metrics of a process over HTTP."""

import asyncio
import zlib
from typing import Final, Self

from kubelambda.metrics.metric_registry import MetricRegistry
from kubelambda.wire.background_tasks import BackgroundTasks
from kubelambda.wire.connections import Bounds, Connections
from kubelambda.wire.protocol import ServerProtocol
from kubelambda.wire.request import Request

_CONNECTIONS = 64
_TEXT: Final = b"Content-Type: text/plain; version=0.0.4; charset=utf-8\r\nVary: Accept-Encoding\r\n"
_GZIP_WINDOW: Final = 31
"""zlib's number for a gzip frame of the largest window."""


async def respond_metrics(request: Request, registry: MetricRegistry) -> None:
    """Answers with all metrics, rendered and packed in a thread."""
    packed = b"gzip" in request.headers.get(b"accept-encoding", b"")
    body = await asyncio.to_thread(_body, registry, packed)
    request.respond(200, body, _TEXT + b"Content-Encoding: gzip\r\n" if packed else _TEXT)


def _body(registry: MetricRegistry, packed: bool) -> bytes:
    text = registry.text()
    return zlib.compress(text, wbits=_GZIP_WINDOW) if packed else text


def admit_bodiless(request: Request) -> int | None:
    """Nobody who asks has anything to say: whoever sends slowly would take the place of another."""
    if request.size or b"transfer-encoding" in request.headers:
        request.respond(413)
        return None
    return 0


class MetricsServer:
    """A listener that has nothing but `/metrics`."""

    def __init__(self, registry: MetricRegistry, connections: Connections) -> None:
        self._registry = registry
        self._connections = connections
        self._tasks = BackgroundTasks()
        self._server: asyncio.Server | None = None

    @classmethod
    async def listen(cls, registry: MetricRegistry, port: int) -> Self:
        """Serves from now on. Raises `OSError`."""
        loop = asyncio.get_running_loop()
        found = cls(registry, Connections(Bounds(connections=_CONNECTIONS), loop.call_later))
        found._server = await loop.create_server(
            found._protocol,
            "0.0.0.0",  # noqa: S104 - the pod's address
            port,
        )
        return found

    def close(self) -> None:
        """Serves no more."""
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.close()

    def _protocol(self) -> ServerProtocol:
        return ServerProtocol(self._answer, max_body=0, admit=admit_bodiless, connections=self._connections)

    def _answer(self, request: Request) -> None:
        if request.target.partition(b"?")[0] == b"/metrics":
            self._tasks.answer(request, respond_metrics(request, self._registry))
        else:
            request.respond(404)
