"""A JSON body as it arrives: megabytes of base64 go to a file piece by piece, and are never held as a whole."""

import base64
import binascii
import hashlib
import json
import re
import tempfile
from collections.abc import Mapping
from typing import IO, Any, Final

LARGE_BYTES: Final = 1 << 20
"""A string beyond this is code: no other parameter of any operation may be so long."""
_JSON_MAX_BYTES: Final = 6 << 20
_LARGE_MAX: Final = 4
_MARK: Final = "\x00large:"
_ESCAPES: Final = {b"u": 6}
_SHORT_ESCAPE: Final = 2
_INSIDE: Final = re.compile(rb'(?:[^"\\]++|\\u.{4}|\\[^u])*+', re.DOTALL)
"""Characters of a string and whole escapes; never the half of one that the next piece continues."""


class BodyTooLarge(Exception):
    """More than any operation takes, beside its code."""


class LargeBlob:
    """The bytes that a long base64 string stands for, in a file that is gone once it is closed."""

    def __init__(self) -> None:
        self.file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the request
        self.size = 0
        self.valid = True
        """Whether it was base64."""
        self._digest = hashlib.sha256()
        self._rest = b""
        self._padded = False

    @property
    def sha256(self) -> str:
        """In hex."""
        return self._digest.hexdigest()

    def write(self, text: bytes) -> None:
        """Takes the next piece of the string."""
        text = self._rest + text
        whole = len(text) // 4 * 4
        self._decode(text[:whole])
        self._rest = text[whole:]

    def end(self) -> None:
        """The string is over."""
        if self._rest:
            self.valid = False

    def _decode(self, text: bytes) -> None:
        if not self.valid or not text:
            return
        if self._padded:  # something comes after the end
            self.valid = False
            return
        self._padded = text.endswith(b"=")
        try:
            data = base64.b64decode(text, validate=True)
        except binascii.Error:
            self.valid = False
            return
        self.size += len(data)
        self._digest.update(data)
        self.file.write(data)


class BodyReceiver:
    """Takes a JSON body in pieces; close it when the request is over."""

    def __init__(self) -> None:
        self.size = 0
        """Bytes that came."""
        self._json = bytearray()
        self._in_string = False
        self._start = 0
        self._escape = b""
        self._large: list[LargeBlob] = []
        self._current: LargeBlob | None = None

    def feed(self, piece: bytes) -> None:
        """Takes the next piece. Raises `BodyTooLarge`."""
        self.size += len(piece)
        at = 0
        while at < len(piece):
            if self._escape:
                at = self._in_escape(piece, at)
            elif self._in_string:
                at = self._inside(piece, at)
            else:
                at = self._outside(piece, at)
        if len(self._json) > _JSON_MAX_BYTES:
            raise BodyTooLarge

    def document(self) -> Mapping[str, Any]:
        """The body as a JSON object, long strings as `LargeBlob`. Raises `ValueError`."""
        if not self._json and not self._large:
            return {}
        found = json.loads(self._json, object_hook=self._with_blobs)
        if not isinstance(found, dict):
            raise ValueError("it is no object")
        return found

    def close(self) -> None:
        """Forgets the files."""
        for blob in self._large:
            blob.file.close()

    def _outside(self, piece: bytes, at: int) -> int:
        quote = piece.find(b'"', at)
        end = len(piece) if quote < 0 else quote + 1
        self._json += piece[at:end]
        if quote >= 0:
            self._in_string, self._start = True, len(self._json)
        return end

    def _inside(self, piece: bytes, at: int) -> int:
        whole = _INSIDE.match(piece, at)
        end = whole.end() if whole else at
        text = piece[at:end]
        self._take(_unescaped(text) if self._current else text)
        if end == len(piece):
            return end
        if piece[end : end + 1] == b'"':
            self._end_string()
        else:
            self._escape = b"\\"
        return end + 1

    def _in_escape(self, piece: bytes, at: int) -> int:
        if len(self._escape) == 1:
            self._escape += piece[at : at + 1]
            at += 1
        wanted = _ESCAPES.get(self._escape[1:2], _SHORT_ESCAPE)
        more = piece[at : at + wanted - len(self._escape)]
        self._escape += more
        if len(self._escape) == wanted:
            escape, self._escape = self._escape, b""
            self._take(_unescaped(escape) if self._current else escape)
        return at + len(more)

    def _take(self, text: bytes) -> None:
        if self._current is not None:
            self._current.write(text)
            return
        self._json += text
        if len(self._json) - self._start > LARGE_BYTES:
            if len(self._large) == _LARGE_MAX:
                raise BodyTooLarge
            self._current = LargeBlob()
            self._large.append(self._current)
            self._current.write(_unescaped(bytes(self._json[self._start :])))
            del self._json[self._start :]

    def _end_string(self) -> None:
        self._in_string = False
        if self._current is not None:
            self._current.end()
            self._current = None
            self._json += json.dumps(f"{_MARK}{len(self._large) - 1}")[1:-1].encode()
        self._json += b'"'

    def _with_blobs(self, found: dict[str, Any]) -> dict[str, Any]:
        return {name: self._blob(value) for name, value in found.items()}

    def _blob(self, value: Any) -> Any:
        if isinstance(value, str) and value.startswith(_MARK):
            number = value.removeprefix(_MARK)
            if number.isdecimal() and int(number) < len(self._large):
                return self._large[int(number)]
        return value


def _unescaped(text: bytes) -> bytes:
    """A piece of a JSON string without its escapes; a wrong one makes what is no base64."""
    if b"\\" not in text:
        return text
    try:
        return json.loads(b'"' + text + b'"', strict=False).encode("utf-8", "replace")  # type: ignore[no-any-return]
    except ValueError:
        return b"\\"
