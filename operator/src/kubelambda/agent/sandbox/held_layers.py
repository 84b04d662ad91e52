"""Layers in `/opt` ahead of the function: what an idle environment unpacks, its next one need not wait for."""

from collections.abc import Callable, Sequence

from kubelambda.agent.process.configuration import Paths, Unusable
from kubelambda.agent.sandbox import archives, folder
from kubelambda.agent.sandbox.archives import NotFetched
from kubelambda.api.environment_protocol import ArchiveReference, Specialization
from kubelambda.wire.event_loop import EventLoop

type Held = Callable[[Exception | None], None]
"""Gets None once the layers are held, else why they are not."""


class Occupied(Exception):
    """Other layers are being unpacked."""


class HeldLayers:
    """What `/opt` holds. No code of a function has run while anything is held: only a claim lets it begin."""

    def __init__(self, paths: Paths, loop: EventLoop) -> None:
        self._paths = paths
        self._loop = loop
        self._digests: tuple[str, ...] = ()
        self._bytes: int | None = None
        """Of what is unpacked; None while it is not whole."""
        self._answers: list[Held] = []
        self._abandoned = False
        self._next: Callable[[], None] | None = None

    @property
    def _under_way(self) -> bool:
        return bool(self._answers)

    def hold(self, layers: Sequence[ArchiveReference], answer: Held) -> None:
        """Unpacks layers in place of those that are held; each has an address."""
        digests = _digests(layers)
        if self._under_way:
            if digests == self._digests:
                self._answers.append(answer)
            else:
                answer(Occupied("other layers are being unpacked"))
        elif digests == self._digests and self._bytes is not None:
            answer(None)
        else:
            self._answers = [answer]
            self._loop.in_thread(lambda: self._replace(layers), self._ended)

    def bring(self, wanted: Specialization, along: bytes, done: Held) -> None:
        """Unpacks code and layers of a function. Held layers are kept if they are the function's, and removed if not.

        The agent has been claimed: nothing is held after this.
        """

        def begin() -> None:
            self._loop.in_thread(lambda: self._bring(wanted, along), done)

        if self._under_way:
            self._abandoned = _digests(wanted.layers) != self._digests
            self._next = begin
        else:
            begin()

    # -- in a thread, one at a time ---------------------------------------------------------------------------------

    def _replace(self, layers: Sequence[ArchiveReference]) -> None:
        self._clear()
        self._digests = _digests(layers)
        try:
            self._bytes = archives.unpack_layers(layers, self._paths.opt, self._proceed)
        except BaseException:
            self._clear()
            raise

    def _bring(self, wanted: Specialization, along: bytes) -> None:
        if self._digests != _digests(wanted.layers) or self._bytes is None:
            self._clear()
        archives.unpack(wanted, along, self._paths, held_bytes=self._bytes)

    def _clear(self) -> None:
        """Nothing is held any more. Raises `NotFetched`: another environment may do."""
        if self._digests:
            self._bytes = None
            try:
                folder.clear(self._paths.opt)
            except OSError as error:
                raise NotFetched(f"the layers of another function cannot be removed: {error}") from error
            self._digests = ()

    def _proceed(self) -> None:
        if self._abandoned:
            raise Unusable("the environment became that of a function with other layers")

    # ---------------------------------------------------------------------------------------------------------------

    def _ended(self, error: Exception | None) -> None:
        answers, self._answers = self._answers, []
        for answer in answers:
            answer(error)
        begin, self._next = self._next, None
        if begin is not None:
            begin()


def _digests(layers: Sequence[ArchiveReference]) -> tuple[str, ...]:
    return tuple(layer.sha256 for layer in layers)
