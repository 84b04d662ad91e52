"""Reviews are asked for once, remembered for a while, and never guessed."""

import asyncio

import pytest

from kubelambda.callers.review_cache import ReviewCache, TooManyReviews
from kubelambda.kube.errors import Unreachable


class ApiServer:
    """A stand-in that counts what it is asked, and can be away."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.away = False
        self.now = 0.0
        self.cache: ReviewCache[str, str] = ReviewCache(self.answer, fresh_s=10, stale_s=300, clock=lambda: self.now)

    async def answer(self, question: str) -> str:
        """Its answer is the question, with the time."""
        self.asked.append(question)
        await asyncio.sleep(0)
        if self.away:
            raise Unreachable("away")
        return f"{question} at {self.now:.0f}"


async def test_many_who_wait_ask_once() -> None:
    """And later ones not at all, for ten seconds."""
    server = ApiServer()
    answers = await asyncio.gather(*(server.cache.answer("a") for _ in range(50)))
    assert set(answers) == {"a at 0"}
    assert server.asked == ["a"]
    server.now = 9.9
    assert server.cache.known("a") == "a at 0"
    server.now = 10.1
    assert server.cache.known("a") is None
    assert await server.cache.answer("a") == "a at 10"


async def test_an_old_answer_counts_while_nobody_can_be_asked() -> None:
    """For five minutes; who was never seen is not let in on a guess."""
    server = ApiServer()
    await server.cache.answer("a")
    server.away, server.now = True, 290.0
    assert await server.cache.answer("a") == "a at 0"
    with pytest.raises(Unreachable):
        await server.cache.answer("b")
    server.now = 301.0
    with pytest.raises(Unreachable):
        await server.cache.answer("a")
    server.away = False
    assert await server.cache.answer("b") == "b at 301"


async def test_neither_memory_nor_questions_grow_without_bound() -> None:
    """Whoever sends a token after the other makes us ask only so many at once."""
    server = ApiServer()
    found = await asyncio.gather(*(server.cache.answer(str(n)) for n in range(400)), return_exceptions=True)
    assert sum(isinstance(each, TooManyReviews) for each in found) == 400 - 256
    for start in range(0, 5000, 200):
        await asyncio.gather(*(server.cache.answer(str(n)) for n in range(start, start + 200)))
    assert server.cache.known("0") is None
    assert server.cache.known("4999") is not None


async def test_who_goes_away_takes_no_answer_from_others() -> None:
    """The first to ask is cancelled."""
    server = ApiServer()
    first = asyncio.create_task(server.cache.answer("a"))
    second = asyncio.create_task(server.cache.answer("a"))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "a at 0"
