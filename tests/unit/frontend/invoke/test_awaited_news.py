"""Requests that wait for what the caches may hear in a moment."""

import time
from dataclasses import dataclass, field

import pytest
from tests.eventually import eventually

from kubelambda.core.invoke import invoke_error, waiting_room
from kubelambda.core.invoke.waiting_room import WAITING_MAX
from kubelambda.frontend.invoke.awaited_news import AwaitedNews, NotYet
from kubelambda.wire.passing_answer import PassingAnswer
from kubelambda.wire.request import Request

F = ("team", "f")


class Caller(PassingAnswer):
    """The connection of a caller, who may go."""

    def __init__(self) -> None:
        self.there = True
        self.aborted = False

    def serves(self, request: Request) -> bool:
        """Whether it waits."""
        return self.there

    def abort(self, request: Request) -> None:
        """It is let go."""
        self.aborted = True


@dataclass
class Waiting:
    """Requests that wait for one function, which is pending until it is not."""

    news: AwaitedNews = field(default_factory=AwaitedNews)
    pending: bool = True
    went_on: list[Request] = field(default_factory=list)

    def request(self) -> tuple[Request, Caller]:
        """A request, and its caller."""
        caller = Caller()
        return Request(caller, b"POST", b"/", {}, b"{}", 2), caller

    def wait(self, request: Request, function: tuple[str, str] = F) -> bool:
        """Whether it may wait."""
        not_yet = NotYet(invoke_error.state_conflict("Pending"), function, lambda: self.pending)
        return self.news.wait(request, not_yet, lambda: self.went_on.append(request))


async def test_a_request_goes_on_once_there_is_news() -> None:
    """Not for whatever is heard of its function, nor for what is heard of another; and once."""
    found = Waiting()
    request, _ = found.request()
    assert found.wait(request)
    found.news.heard(F)
    assert found.went_on == []
    found.pending = False
    found.news.heard(("team", "g"))
    assert found.went_on == []
    found.news.heard(F)
    found.news.heard(F)
    assert found.went_on == [request]


async def test_news_that_are_not_of_one_function_are_for_all() -> None:
    """Those of them that were waited for."""
    found = Waiting()
    requests = [found.request()[0] for _ in range(2)]
    assert found.wait(requests[0])
    assert found.wait(requests[1], ("other", "g"))
    found.news.heard_by_all()
    assert found.went_on == []
    found.pending = False
    found.news.heard_by_all()
    assert found.went_on == requests


async def test_a_request_goes_on_without_news_after_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each after its own; and none waits a second time."""
    found = Waiting()
    first, second, third = (found.request()[0] for _ in range(3))
    begun = time.monotonic()
    monkeypatch.setattr(waiting_room, "WAIT_S", 0.2)
    assert found.wait(first)
    monkeypatch.setattr(waiting_room, "WAIT_S", 0.6)
    assert found.wait(second)
    monkeypatch.setattr(waiting_room, "WAIT_S", 3600.0)
    assert found.wait(third)
    await eventually(lambda: found.went_on)
    assert time.monotonic() - begun >= 0.2
    await eventually(lambda: len(found.went_on) == 2)
    assert time.monotonic() - begun >= 0.6
    assert (found.went_on, len(found.news)) == ([first, second], 1)
    assert not found.wait(first)


async def test_a_request_whose_caller_is_gone_ends_without_running() -> None:
    """Whether news come or not, or others need its place."""
    found = Waiting()
    gone, caller = found.request()
    assert found.wait(gone)
    caller.there, found.pending = False, False
    found.news.heard(F)
    assert (found.went_on, caller.aborted) == ([], True)


async def test_no_more_than_a_few_of_an_account_wait() -> None:
    """What is over that goes its way at once; those whose callers are gone are in nobody's way."""
    found = Waiting()
    callers = []
    for _ in range(WAITING_MAX):
        request, caller = found.request()
        callers.append(caller)
        assert found.wait(request)
    late = found.request()[0]
    assert not found.wait(late)
    assert found.wait(found.request()[0], ("other", "f"))
    callers[3].there = False
    assert found.wait(late)
    assert [caller.aborted for caller in callers].index(True) == 3
    found.pending = False
    found.news.heard(F)
    assert len(found.went_on) == WAITING_MAX
    assert found.went_on[-1] is late
