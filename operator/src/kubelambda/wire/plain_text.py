"""Answers that people read."""

from typing import Final

from kubelambda.wire.request import Request

_TEXT: Final = b"Content-Type: text/plain; charset=utf-8\r\n"


def respond_text(request: Request, status: int, text: str) -> None:
    """Answers with `text`; what no UTF-8 can say of it is replaced."""
    request.respond(status, text.encode(errors="replace"), _TEXT)
