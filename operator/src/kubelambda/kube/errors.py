"""What the API server answers, one class for each status that somebody branches on.

KubeError
├── Unreachable        no answer: connection refused, reset, or timed out
└── StatusError        an answer of 400 or more
    ├── NotFound       404
    ├── Conflict       409: the resource version or field ownership is another one
    ├── Gone           410: a watch must list again
    ├── Invalid        400, 422: the object is refused; retrying cannot help
    ├── Forbidden      401, 403
    └── Overloaded     429, 5xx: later
"""

import re

_MESSAGE_MAX_CHARS = 2048
_PATCHED_OBJECT = re.compile(r'patch: Invalid value: "(?:[^"\\]|\\.)*+": ')
"""What a refused patch is told by: the whole object that it would have made, and behind it the reason."""


class KubeError(Exception):
    """Any failure to talk to the API server."""


class Unreachable(KubeError):
    """No answer at all."""


class StatusError(KubeError):
    """An answer that is an error. The message is the API server's own, cut to 2048 characters."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message[:_MESSAGE_MAX_CHARS]}")
        self.status = status


class NotFound(StatusError):
    """404."""


class Conflict(StatusError):
    """409."""


class Gone(StatusError):
    """410."""


class Invalid(StatusError):
    """400 or 422."""


class Forbidden(StatusError):
    """401 or 403."""


class Overloaded(StatusError):
    """429 or any 5xx."""


_CLASSES: dict[int, type[StatusError]] = {
    400: Invalid,
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: Overloaded,
}


def status_error(status: int, message: str) -> StatusError:
    """The error class of an HTTP status, with what the API server says of it, but not the object that it repeats."""
    kind = _CLASSES.get(status, Overloaded if status >= 500 else StatusError)
    return kind(status, _PATCHED_OBJECT.sub("", message))
