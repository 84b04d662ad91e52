"""What works one mapping, whatever its source is."""

from abc import ABC, abstractmethod


class Poller(ABC):
    """Reads a source and invokes a function until it is told to end."""

    @abstractmethod
    async def run(self) -> None:
        """Works until stopped. Raises `SourceUnreachable`, once nothing is under way any more."""

    @abstractmethod
    def stop(self) -> None:
        """Begins nothing new; what runs comes to its end."""
