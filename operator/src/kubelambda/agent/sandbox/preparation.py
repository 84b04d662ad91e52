"""Between the handing over of a function and its first line of code: all has to be there, and it must be allowed.

Whoever opens the network of an environment, or gives it its size, needs the API server for it. What runs no code of the
function goes on meanwhile.
"""

from collections.abc import Callable

from kubelambda.agent.process.configuration import Unusable
from kubelambda.agent.sandbox.initialization import Initialization, Initialized
from kubelambda.wire.event_loop import EventLoop

WORD_S = 120.0
"""For so long a function waits to be allowed: longer than any frontend goes on with a claim."""


class Preparation:
    """Calls `begin` once, when everything was brought and it was allowed; or fails, also when nobody allows it."""

    def __init__(
        self,
        loop: EventLoop,
        initialization: Initialization,
        *,
        begin: Callable[[Initialization], None],
        failed: Callable[[], None],
    ) -> None:
        self._initialization = initialization
        self._begin = begin
        self._failed = failed
        self._brought = self._allowed = self._over = False
        self._error: Exception | None = None
        self._timer = loop.call_later(WORD_S, self._abandoned)

    @property
    def waits(self) -> bool:
        """Whether it is still to be allowed."""
        return not self._allowed and not self._over

    def brought(self, error: Exception | None) -> None:
        """Code and layers are there, or cannot be."""
        self._brought, self._error = True, error
        self._proceed()

    def allow(self, answer: Callable[[Initialized], None]) -> None:
        """Code of the function may run. `answer` gets the outcome of its INIT."""
        self._initialization.answer = answer
        self._allowed = True
        self._timer.cancel()
        self._proceed()

    def _proceed(self) -> None:
        if not self._brought or not self._allowed or self._over:
            return
        self._over = True
        if self._error is None:
            self._begin(self._initialization)
        else:
            self._fail(self._error)

    def _abandoned(self) -> None:
        self._over = True
        self._fail(Unusable("nobody let the function begin"))

    def _fail(self, error: Exception) -> None:
        self._failed()
        self._initialization.unusable(error)
