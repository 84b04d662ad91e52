"""Bounded load from threads, with every outcome kept: how fault tests count what was lost or duplicated."""

import threading
import time
import uuid
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, EndpointConnectionError

from installation.account import Account, lambda_client

COUNT = """
import time
seen = []

def handler(event, context):
    time.sleep(event.get("seconds", 0))
    seen.append(event["number"])
    return {"number": event["number"], "times": seen.count(event["number"])}
"""
"""A handler that notices when it gets an event twice."""


@dataclass
class Outcome:
    """One request and what came of it."""

    number: str
    started: float
    seconds: float
    caller: int = 0
    payload: Any = None
    function_error: str | None = None
    error: str | None = None


@dataclass
class Load:
    """Callers that invoke one function in a closed loop until the block ends, at most `limit` requests each."""

    account: Account
    function: str
    callers: int = 4
    limit: int = 5000
    pause: float = 0.0
    event: dict[str, Any] = field(default_factory=dict)
    """What is in every event beside its number."""
    client: dict[str, Any] = field(default_factory=dict)
    """Settings of the callers' clients."""
    connects: int = 1
    """How often a caller tries to connect: what could not be sent may be sent again."""
    outcomes: list[Outcome] = field(default_factory=list)
    run: str = field(default_factory=lambda: uuid.uuid4().hex)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        self._threads = [threading.Thread(target=self._call, args=(index,)) for index in range(self.callers)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=120)

    def _call(self, index: int) -> None:
        account = Account(self.account.namespace, lambda_client(**self.client), self.account.account_id)
        for count in range(self.limit):
            if self._stop.is_set():
                return
            outcome = self._one(account, index, f"{self.run}-{index}-{count}")
            with self._lock:
                self.outcomes.append(outcome)
            if self.pause:
                time.sleep(self.pause)

    def _one(self, account: Account, caller: int, number: str) -> Outcome:
        started = time.monotonic()
        outcome = Outcome(number, started, 0.0, caller)
        try:
            answer = self._sent(account, {**self.event, "number": number})
            outcome.payload = answer["Payload"]
            outcome.function_error = answer.get("FunctionError")
        except (ClientError, BotoCoreError) as error:
            outcome.error = f"{type(error).__name__}: {error}"
        outcome.seconds = time.monotonic() - started
        return outcome

    def _sent(self, account: Account, event: dict[str, Any]) -> Any:
        for _ in range(self.connects - 1):
            with suppress(ConnectTimeoutError, EndpointConnectionError):
                return account.invoke(self.function, event)
            time.sleep(0.1)
        return account.invoke(self.function, event)

    @property
    def nothing_duplicated(self) -> bool:
        """Of `COUNT`: no environment saw one event twice, and every answer is that of its own request."""
        answered = [outcome for outcome in self.outcomes if not outcome.error and not outcome.function_error]
        return all(outcome.payload == {"number": outcome.number, "times": 1} for outcome in answered)

    @property
    def failed(self) -> list[Outcome]:
        """Requests that got no answer of the handler."""
        return [outcome for outcome in self.outcomes if outcome.error or outcome.function_error]

    def summary(self) -> str:
        """Counts by kind of outcome and the slowest request, for assertion messages and reports."""
        kinds = Counter(
            outcome.error or (f"function error {outcome.payload}" if outcome.function_error else "ok")
            for outcome in self.outcomes
        )
        slowest = max((outcome.seconds for outcome in self.outcomes), default=0.0)
        return f"{len(self.outcomes)} requests, slowest {slowest:.2f} s: {kinds.most_common(6)}"
