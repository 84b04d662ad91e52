"""Invoking functions as everybody does: synchronously, at a frontend."""

import logging
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO
from typing import Self
from urllib.parse import quote

import aiohttp

from kubelambda.api import limits
from kubelambda.core.environment.component_callers import CALLER

_CONNECTIONS = 1500
_AT_ONCE_BYTES = 1 << 20
"""What is larger goes out piece by piece: other batches of this process need not wait for it."""
_MARGIN_S = 60.0
"""What a cold start may add to the function's own time."""

log = logging.getLogger(__name__)


class InvokeOutcome(StrEnum):
    """What came of an invocation."""

    SUCCEEDED = "succeeded"
    FUNCTION_ERROR = "function error"
    """The function ran and failed, or does not take what it is given."""
    TURNED_DOWN = "turned down"
    """Throttled, or no frontend could have it run: later it may."""


@dataclass(frozen=True, slots=True)
class InvokeResult:
    """The outcome, and what the function returned or why it did not."""

    outcome: InvokeOutcome
    payload: bytes = b""
    request_id: str = ""
    executed_version: str = "$LATEST"
    function_error: str | None = None


class FunctionInvoker:
    """Invocations at the frontends behind `url`. `proof` says that a poller asks, as `caller_proof` makes it."""

    def __init__(self, url: str, proof: str) -> None:
        self._url = url
        self._headers = {
            "X-Amz-Invocation-Type": "RequestResponse",
            "Content-Type": "application/json",
            CALLER: proof,
        }
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=_CONNECTIONS)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def invoke(self, arn: str, event: bytes, timeout_s: float, trace: str = "") -> InvokeResult:
        """One attempt. `trace` is the header that came with the records: the chain of invocations that led to them.

        Never raises for what a frontend or the way to it does.
        """
        assert self._session is not None, "used outside of its context"
        url = f"{self._url}/2015-03-31/functions/{quote(arn, safe='')}/invocations"
        most = min(timeout_s, limits.TIMEOUT_MAX_S) + _MARGIN_S
        timeout = aiohttp.ClientTimeout(total=most, connect=10)
        try:
            headers = self._headers | ({"X-Amzn-Trace-Id": trace} if trace else {})
            body = event if len(event) <= _AT_ONCE_BYTES else BytesIO(event)
            async with self._session.post(url, data=body, headers=headers, timeout=timeout) as response:
                payload = await response.read()
                error = response.headers.get("X-Amz-Function-Error")
                return InvokeResult(
                    _outcome(response.status, error is not None),
                    payload,
                    response.headers.get("x-amzn-RequestId", ""),
                    response.headers.get("X-Amz-Executed-Version", "$LATEST"),
                    error,
                )
        except (aiohttp.ClientError, TimeoutError, OSError) as fault:
            why = str(fault) or type(fault).__name__
            log.info("%s: no frontend answers: %s", arn, why)
            return InvokeResult(InvokeOutcome.TURNED_DOWN, why.encode())


def _outcome(status: int, function_error: bool) -> InvokeOutcome:
    if status == 200:
        return InvokeOutcome.FUNCTION_ERROR if function_error else InvokeOutcome.SUCCEEDED
    return InvokeOutcome.TURNED_DOWN if status == 429 or status >= 500 else InvokeOutcome.FUNCTION_ERROR
