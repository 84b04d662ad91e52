"""An operator whose watch of aliases fails for good once its connections are cut, as the event loop was seen to do.

A program of the tests: the error is raised where kopf connects, and all else is the operator's and kopf's.
"""

import signal
from typing import Any

import aiohttp
from kopf._core.reactor import running

from kubelambda.apps import operator

_request = aiohttp.ClientSession._request


async def _failing(session: aiohttp.ClientSession, method: str, url: Any, **found: Any) -> Any:
    try:
        return await _request(session, method, url, **found)
    except aiohttp.ClientConnectionError as error:
        if "aliases" in str(url):
            raise RuntimeError("File descriptor 18 is used by transport") from error
        raise


class _Signals:
    """The module as it is for process 1: nothing that runs in a container kills that."""

    def __getattr__(self, name: str) -> Any:
        return (lambda *_: None) if name == "pthread_kill" else getattr(signal, name)


def main() -> None:
    """Runs as the operator does."""
    setattr(aiohttp.ClientSession, "_request", _failing)  # noqa: B010
    setattr(running, "signal", _Signals())  # noqa: B010
    operator.main()


if __name__ == "__main__":
    main()
