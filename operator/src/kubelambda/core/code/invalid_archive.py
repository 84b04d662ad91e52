"""Why an archive is refused. Operator and agent refuse with the same words (§1.3, Appendix A)."""

from typing import Final

from kubelambda.api import limits

UNREADABLE: Final = "Could not unzip uploaded file. Please check your file, then try to upload again."

_SHOWN_CHARS = 100


class InvalidArchive(Exception):
    """The code cannot be used; the message is Lambda's own where Lambda has one."""


def too_large(max_bytes: int = limits.UNZIPPED_MAX_BYTES) -> str:
    """Lambda's text for code that unpacks to too much."""
    return f"Unzipped size must be smaller than {max_bytes} bytes"


def refused(reason: str) -> InvalidArchive:
    """Lambda's text and, in brackets, what is wrong."""
    return InvalidArchive(f"{UNREADABLE} ({reason})")


def shown(name: str) -> str:
    """A name of an entry in a message: quoted, printable, and not longer than a person reads."""
    return repr(name if len(name) <= _SHOWN_CHARS else f"{name[:_SHOWN_CHARS]}…")
