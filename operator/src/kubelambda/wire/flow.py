"""The two directions of a message: a head, data, then an end or an abort; and how a receiver makes a sender wait."""

from typing import Any, Protocol

type Headers = dict[bytes, bytes]
"""Field names are lower case; the values of a repeated field are joined by commas."""

HIGH_WATER_BYTES = 65_536
"""A sender is told to wait once this much could not be sent yet."""
LOW_WATER_BYTES = 16_384
"""And to go on once no more than this is left."""


class Transport(Protocol):
    """What a connection needs of an event loop's transport."""

    def write(self, data: bytes) -> None:
        """Sends, or keeps for when it can be sent."""

    def close(self) -> None:
        """Closes once everything is sent."""

    def abort(self) -> None:
        """Closes at once; what was not sent is lost."""

    def write_eof(self) -> None:
        """Closes this direction once everything is sent."""

    def is_closing(self) -> bool:
        """Whether nothing more can be written."""
        ...

    def pause_reading(self) -> None:
        """No more bytes, please. Does nothing when it is so already."""

    def resume_reading(self) -> None:
        """Bytes, please. Does nothing when it is so already."""

    def get_write_buffer_size(self) -> int:
        """Bytes that could not be sent yet."""
        ...

    def get_extra_info(self, name: str) -> Any:
        """The `socket`, as far as there is one; None for what is not known."""
        ...


class Flow(Protocol):
    """Something that sends, and can be told to wait."""

    def pause(self) -> None:
        """The receiver cannot take more now. What comes all the same is kept, so that little may come."""

    def resume(self) -> None:
        """The receiver can take more."""

    def cancel(self) -> None:
        """The receiver is gone: whatever still comes is lost."""


class BodySink(Protocol):
    """Takes a body as it comes."""

    def data(self, data: bytes) -> None:
        """Some bytes, never none."""

    def end(self, trailers: Headers) -> None:
        """The body is complete. Nothing comes after it."""

    def abort(self, why: str) -> None:
        """The body will never be complete. Nothing comes after it."""


class ResponseSink(BodySink, Protocol):
    """Takes a response as it comes; an abort may come before any head."""

    def head(self, status: int, headers: Headers) -> None:
        """Status and headers, ahead of everything else."""
