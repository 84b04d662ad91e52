"""Reading on in HTTP/1.1 after the offer of another protocol, which a server may ignore (RFC 9110 §7.8)."""

from typing import Protocol

from kubelambda.wire.flow import Headers


class _Body(Protocol):
    """Whoever reads the message."""

    def on_header(self, name: bytes, value: bytes) -> None: ...

    def on_body(self, body: bytes) -> None: ...

    def on_message_complete(self) -> None: ...


class BodyReader:
    """Passes on what a parser says after the head, which was read before."""

    def __init__(self, reader: _Body) -> None:
        self._reader = reader
        self._in_body = False
        self.on_body = reader.on_body
        self.on_message_complete = reader.on_message_complete

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        self._in_body = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser: what comes after the body are trailers."""
        if self._in_body:
            self._reader.on_header(name, value)


def rewritten_head(headers: Headers) -> bytes:
    """A head that has nothing but the framing of the body."""
    lines = [name + b": " + headers[name] for name in (b"content-length", b"transfer-encoding") if name in headers]
    return b"\r\n".join([b"POST / HTTP/1.1", *lines, b"", b""])
