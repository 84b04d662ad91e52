"""Says whoever sends a body when there is room for more."""

import asyncio


class Pace:
    """A `Flow` to wait for: `open` is set while the receiver takes more, and once it takes nothing any more."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()

    def pause(self) -> None:
        """The receiver cannot take more now."""
        self.open.clear()

    def resume(self) -> None:
        """The receiver can take more."""
        self.open.set()

    def cancel(self) -> None:
        """The receiver takes nothing more, or is gone: nobody need wait for it."""
        self.open.set()
