"""Invocations that stay in their handlers until a test lets them go: how many are at once is nobody's speed then."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from botocore.exceptions import ClientError

from installation.account import Account, lambda_client
from installation.kubectl import KubectlError, eventually, kubectl

HOLD = """
import os, time

def hold(name):
    open(f"/tmp/inside-{name}", "w").close()
    while not os.path.exists(f"/tmp/go-{name}"):
        time.sleep(0.02)
"""
"""Code to put before a handler, which calls `hold` with what its event has as `hold`."""
HELD_S = 480
"""Timeout of a function that holds: nothing that a test waits for meanwhile takes longer."""
_AT_ONCE_S = 40.0
"""Who is over a limit is told sooner. A refusal after so long says only that the cluster has started no pod yet."""


def inside(account: Account, function: str, name: str) -> set[str]:
    """The function's pods whose code has called `hold` with `name`."""
    return {pod for pod in _pods(account, function) if _in_pod(account, pod, "test", "-e", f"/tmp/inside-{name}")}


def let_go(account: Account, function: str, name: str) -> None:
    """What holds by `name` in the function's pods of now goes on, and nothing holds by it there again."""
    command = ("touch", f"/tmp/go-{name}")
    eventually(lambda: all(_in_pod(account, pod, *command) for pod in _pods(account, function)))


@dataclass
class Held:
    """Callers of functions that `hold` by `name`, a new one; at the end of the block all are let go, and have ended."""

    account: Account
    name: str
    calls: list[Future[Any]] = field(default_factory=list)
    _client: Account = field(init=False)
    _functions: set[str] = field(default_factory=set)
    _inside: set[str] = field(default_factory=set)
    _free: set[str] = field(default_factory=set)
    _given_up: bool = False
    _callers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(16))

    def __post_init__(self) -> None:
        self._client = Account(self.account.namespace, lambda_client(read_timeout=2 * HELD_S), self.account.account_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            eventually(self._over)
        finally:
            self._given_up = True
            self._callers.shutdown(wait=False, cancel_futures=True)

    @property
    def event(self) -> dict[str, str]:
        """What the handlers are given."""
        return {"hold": self.name}

    def invoke(self, function: str, count: int = 1) -> None:
        """So many calls at once."""
        for _ in range(count):
            self.submit(function, self._answer, function)

    def submit(self, function: str, call: Callable[..., Any], *arguments: Any) -> None:
        """A call by other means, which gives the function the `event`."""
        self._functions.add(function)
        self.calls.append(self._callers.submit(call, *arguments))

    def inside(self) -> int:
        """In how many environments an invocation has come to its handler."""
        for pod in self._pods() - self._inside:
            if _in_pod(self.account, pod, "test", "-e", f"/tmp/inside-{self.name}"):
                self._inside.add(pod)
        return len(self._inside)

    @property
    def ended(self) -> list[Any]:
        """What came of the calls that are over. Before the end of the block those are calls that were refused."""
        return [call.result() for call in self.calls if call.done()]

    @property
    def answers(self) -> list[Any]:
        """What came of every call, answers and client errors alike; after the block."""
        return [call.result() for call in self.calls]

    def _answer(self, function: str) -> Any:
        while True:
            began = time.monotonic()
            try:
                return self._client.invoke(function, self.event)
            except ClientError as error:
                if self._given_up or time.monotonic() - began < _AT_ONCE_S:
                    return error

    def _pods(self) -> set[str]:
        return {pod for function in self._functions for pod in _pods(self.account, function)}

    def _over(self) -> bool:
        """Lets go, those too that come late, until all have ended."""
        for pod in self._pods() - self._free:
            if _in_pod(self.account, pod, "touch", f"/tmp/go-{self.name}"):
                self._free.add(pod)
        return all(call.done() for call in self.calls)


def _pods(account: Account, function: str) -> set[str]:
    return {pod["metadata"]["name"] for pod in account.environments(function)}


def _in_pod(account: Account, pod: str, *command: str) -> bool:
    try:
        kubectl("--namespace", account.namespace, "exec", pod, "--", *command)
    except KubectlError:  # its answer is no, or the pod has only begun, or ends
        return False
    return True
