"""How the control API ends: it goes on for a moment, so that nobody's request is lost on its way there."""

import asyncio
import signal
from collections.abc import Generator
from contextlib import contextmanager

import uvicorn


class DrainingServer(uvicorn.Server):
    """Ends each connection with its next answer once it is asked to end, and itself `linger_s` later.

    uvicorn alone closes what is idle at that moment: whoever has just written a request there never hears what became
    of it, and must not send it again. And it has the signal end the process, whatever is left to be written.
    """

    def __init__(self, config: uvicorn.Config, linger_s: float) -> None:
        super().__init__(config)
        self._linger_s = linger_s
        self._draining = False

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Called by uvicorn."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_end)
        yield

    def _asked_to_end(self) -> None:
        if self._draining:
            return
        self._draining = True
        last = (b"connection", b"close")
        self.config.encoded_headers.append(last)
        self.server_state.default_headers = [*self.server_state.default_headers, last]
        asyncio.get_running_loop().call_later(self._linger_s, self._end)

    def _end(self) -> None:
        self.should_exit = True
