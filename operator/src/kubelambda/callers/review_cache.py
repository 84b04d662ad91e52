"""What the API server said of somebody, for some seconds: asked once however many wait, and kept within bounds."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from kubelambda.kube.errors import KubeError
from kubelambda.wire.background_tasks import BackgroundTasks

FRESH_S = 10.0
"""How long an answer counts: what is revoked stops after it."""
STALE_S = 300.0
"""How long it counts while the API server cannot be asked."""
_ENTRIES_MAX = 4096
_WAITING_MAX = 256


class TooManyReviews(Exception):
    """More questions are on their way to the API server than it should get of us."""


class ReviewCache[Q, A]:
    """Answers by question. `ask` may raise `KubeError`."""

    def __init__(
        self,
        ask: Callable[[Q], Awaitable[A]],
        *,
        fresh_s: float = FRESH_S,
        stale_s: float = STALE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._fresh_s = fresh_s
        self._stale_s = stale_s
        self._clock = clock
        self._known: dict[Q, tuple[float, A]] = {}
        self._waiting: dict[Q, asyncio.Future[A]] = {}
        self._tasks = BackgroundTasks()

    def known(self, question: Q) -> A | None:
        """The answer, if it is fresh."""
        found = self._known.get(question)
        return found[1] if found is not None and self._clock() - found[0] < self._fresh_s else None

    async def answer(self, question: Q) -> A:
        """The answer, asked for where it is not fresh. Raises `KubeError` or `TooManyReviews`."""
        found = self.known(question)
        if found is not None:
            return found
        waiting = self._waiting.get(question)
        if waiting is None:
            if len(self._waiting) >= _WAITING_MAX:
                raise TooManyReviews("the API server is being asked about too many callers")
            waiting = self._waiting[question] = asyncio.get_running_loop().create_future()
            self._tasks.start(self._review(question, waiting))
        return await asyncio.shield(waiting)

    async def _review(self, question: Q, waiting: asyncio.Future[A]) -> None:
        try:
            answer = await self._ask(question)
        except KubeError as error:
            stale = self._known.get(question)
            if stale is not None and self._clock() - stale[0] < self._stale_s:
                waiting.set_result(stale[1])
            else:
                waiting.set_exception(error)
                waiting.exception()  # whoever waited may be gone
        except BaseException as error:
            waiting.set_exception(RuntimeError(str(error)))
            waiting.exception()
            raise
        else:
            self._keep(question, answer)
            waiting.set_result(answer)
        finally:
            del self._waiting[question]

    def _keep(self, question: Q, answer: A) -> None:
        self._known.pop(question, None)
        while len(self._known) >= _ENTRIES_MAX:
            del self._known[next(iter(self._known))]
        self._known[question] = (self._clock(), answer)
