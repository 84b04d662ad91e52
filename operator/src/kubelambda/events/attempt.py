"""One attempt: a synchronous invocation at a frontend, with the request id that the event was accepted with."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote

import aiohttp

from kubelambda.api import limits
from kubelambda.core.environment.component_callers import CALLER, CallerRole, caller_proof
from kubelambda.core.event.delivery import AttemptOutcome
from kubelambda.core.event.destination_record import LastAttempt
from kubelambda.store.event.event_queue import QueuedEvent

CONNECTIONS = 512
_TIMEOUT = aiohttp.ClientTimeout(total=limits.TIMEOUT_MAX_S + 120, connect=10)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """What a frontend answered. `gone`: there is no such function any more."""

    outcome: AttemptOutcome
    last: LastAttempt | None = None
    gone: bool = False


class Attempts:
    """Attempts at the frontends behind `url`."""

    def __init__(self, url: str, key: bytes) -> None:
        self._url = url
        self._proof = caller_proof(key, CallerRole.EVENTS)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=CONNECTIONS)
        self._session = aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT, auto_decompress=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def attempt(self, event: QueuedEvent) -> AttemptResult:
        """Tries an event once. Never raises for what a frontend or the way to it does."""
        assert self._session is not None, "used outside of its context"
        name = quote(event.headers["x-kubelambda-arn"], safe="")
        headers = {CALLER: self._proof, "x-amzn-requestid": event.request_id, "Content-Type": "application/json"}
        if "x-amzn-trace-id" in event.headers:
            headers["X-Amzn-Trace-Id"] = event.headers["x-amzn-trace-id"]
        url = f"{self._url}/2015-03-31/functions/{name}/invocations"
        try:
            async with self._session.post(url, data=event.payload, headers=headers) as response:
                return _result(response.status, response.headers, await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.info("event %s: no frontend answers: %s", event.request_id, error or type(error).__name__)
            return AttemptResult(AttemptOutcome.TURNED_DOWN)


def _result(status: int, headers: Mapping[str, str], body: bytes) -> AttemptResult:
    """`headers` know no case: a frontend that passes an answer on writes it otherwise than the one that made it."""
    if status == 200:
        error = headers.get("X-Amz-Function-Error")
        outcome = AttemptOutcome.FUNCTION_ERROR if error else AttemptOutcome.SUCCEEDED
        last = LastAttempt(status, headers.get("X-Amz-Executed-Version", "$LATEST"), error, body)
        return AttemptResult(outcome, last)
    if status == 404:
        return AttemptResult(AttemptOutcome.FUNCTION_ERROR, gone=True)
    return AttemptResult(AttemptOutcome.TURNED_DOWN)
